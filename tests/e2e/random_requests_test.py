#!/usr/bin/env python3
"""Random requests to both endpoints of `herd serve`: fields known and unknown, null and default, right and wrong.

    random_requests_test.py HERD [--count N] [--seed S] [--threads T]

Each body is sent whole and as a stream. Whatever it holds:
  - no 5xx but a 503 with Retry-After; a refusal is a 400 that names a field of the body (or the context's length), or
    the 404 of a model that is not served, and it is the same refusal both times;
  - what is accepted says the same whole and streamed: text, finish and stop reasons, logprobs, ids, usage;
  - x-herd-ignored-fields names the unknown fields that are not null, and nothing else;
  - text_offset of a streamed token is not before the end of what the events before it released.
The same seed makes the same requests.
"""
import argparse
import collections
import concurrent.futures
import http.client
import json
import random
import re
import sys
import threading
import time
from pathlib import Path

from api_fields_test import CHAT, COMPLETION, DEFAULTS, HEADER, OWN_DEFAULTS
from serve_edge_rows import COMMON, OWN
from serve_process import Checks, Server, TestFolder

TOKENS_MAX = 8
SPECIAL = "<|eot_id|>"
WORDS = ["Once", " upon", " a", " time", "the", "é", "🎉", "日本語", "\n", "1 2 3", " ok", SPECIAL, "<|", "\0", "\u2028"]
STOPS = ["e", "the", " a", "1", "a b", "é", "\n", SPECIAL, "<|reserved_special_token_0|>", SPECIAL + "x", "\ufffd"]


def text(rng, most=4):
    return "".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def some_json(rng, depth=0):
    kinds = [lambda: None, lambda: rng.random() < 0.5, lambda: rng.randint(-3, 1 << 40), lambda: rng.uniform(-2, 2),
             lambda: text(rng)]
    if depth < 3:
        kinds += [lambda: [some_json(rng, depth + 1) for _ in range(rng.randint(0, 3))],
                  lambda: {text(rng): some_json(rng, depth + 1) for _ in range(rng.randint(0, 3))}]
    return rng.choice(kinds)()


def unknown_name(rng):
    return "x_" + rng.choice([text(rng), "field", "thinking", "é\r\nEvil: 1", "a" * 90, "é" * 90, "a,b", "a.b", ""])


def token_ids(rng, most=6):
    # All of them: plain ones, parts of characters, special ones.
    return [rng.choice([rng.randrange(4096), rng.randrange(256), 4026 + rng.randrange(10)])
            for _ in range(rng.randint(1, most))]


# Right values of the fields that change an answer, whatever the other fields are but for a few that go together.
RIGHT = {
    "n": lambda rng: rng.choice([1, 2, 3]),
    "temperature": lambda rng: rng.choice([0, 0.0, 0.7, 1, 1.5, 100, 1e-9]),
    "top_p": lambda rng: rng.choice([0, 1e-31, 0.1, 0.9, 1]),
    "min_p": lambda rng: rng.choice([0, 0.05, 1]),
    "top_k": lambda rng: rng.choice([-1, 0, 1, 5, 40, 5000]),
    "repetition_penalty": lambda rng: rng.choice([1, 1.2, 0.8, 100, 1e-31]),
    "presence_penalty": lambda rng: rng.choice([-2, 0.5, 2]),
    "frequency_penalty": lambda rng: rng.choice([-2, 0.5, 2]),
    "seed": lambda rng: rng.choice([0, 1, -1, (1 << 63) - 1, -(1 << 63)]),
    "logit_bias": lambda rng: {str(id): rng.choice([-100, 5, 100]) for id in token_ids(rng)},
    "stop": lambda rng: rng.choice([rng.choice(STOPS), [rng.choice(STOPS) for _ in range(rng.randint(0, 4))]]),
    "stop_token_ids": lambda rng: token_ids(rng),
    "include_stop_str_in_output": lambda rng: rng.random() < 0.5,
    "skip_special_tokens": lambda rng: rng.random() < 0.5,
    "ignore_eos": lambda rng: rng.random() < 0.5,
    "min_tokens": lambda rng: rng.randint(0, TOKENS_MAX),
    "return_token_ids": lambda rng: rng.random() < 0.5,
    "max_tokens": lambda rng: rng.randint(1, TOKENS_MAX),
    "user": lambda rng: text(rng).replace("\0", ""),
    "metadata": lambda rng: {text(rng): text(rng)},
    "response_format": lambda rng: {"type": "text"},
}
RIGHT_OWN = {
    CHAT: {"logprobs": lambda rng: rng.random() < 0.7, "top_logprobs": lambda rng: rng.choice([0, 2]),
           "add_generation_prompt": lambda rng: rng.random() < 0.5,
           "chat_template_kwargs": lambda rng: {"x" + text(rng): rng.choice([text(rng), 5, 1.5, None, [True], {"a": text(rng)}])},
           "documents": lambda rng: [{"title": text(rng), text(rng): rng.randint(0, 9)}]},
    COMPLETION: {"logprobs": lambda rng: rng.choice([0, 2]), "echo": lambda rng: rng.random() < 0.7,
                 "add_special_tokens": lambda rng: rng.random() < 0.5, "parse_special": lambda rng: rng.random() < 0.5},
}


def message(rng):
    role = rng.choice(["system", "developer", "user", "assistant", "tool", "function", "ipython"])
    said = {"role": role, "content": text(rng)}
    if rng.random() < 0.3 and role != "function":
        kind = "refusal" if role == "assistant" and rng.random() < 0.5 else "text"
        said["content"] = [{"type": kind, kind: text(rng)}, {"type": "text", "text": text(rng)}]
    if role == "assistant" and rng.random() < 0.3:
        said["refusal"] = text(rng)
        said["content"] = rng.choice([None, said["content"]])
    if role == "assistant" and rng.random() < 0.3:
        arguments = {text(rng): text(rng)}
        said["tool_calls"] = [{"id": "c", "type": "function", "function": {
            "name": "f", "arguments": rng.choice([arguments, json.dumps(arguments), "{", None])}}]
        said["reasoning_content"] = rng.choice([None, text(rng)])
    if rng.random() < 0.2:
        said["name"] = rng.choice([None, "n"])
    if role == "function" and rng.random() < 0.3:
        said["content"] = None
    return said


def prompt(rng):
    one = rng.choice([lambda: text(rng), lambda: token_ids(rng)])
    return rng.choice([one, lambda: [text(rng), text(rng)], lambda: [token_ids(rng), token_ids(rng)]])()


def random_body(rng):
    """(path, body, the unknown fields that must be named)"""
    path = rng.choice([CHAT, COMPLETION])
    body = {"max_tokens": TOKENS_MAX}
    right = {**RIGHT, **RIGHT_OWN[path]}
    for name in rng.sample(sorted(right), rng.randint(0, 6)):
        body[name] = right[name](rng)
    defaults = {**DEFAULTS, **OWN_DEFAULTS[path]}
    for name in rng.sample(sorted(defaults), rng.randint(0, 4)):
        body.setdefault(name, rng.choice([None, defaults[name]]))
    if rng.random() < 0.15:
        wrong = {**COMMON, **OWN[path]}
        name = rng.choice(sorted(set(wrong) - {"stream", "stream_options", "messages", "prompt"}))
        body[name] = rng.choice(wrong[name])
    names = {}
    for _ in range(rng.choice([0, 0, 1, 2])):
        name = unknown_name(rng)
        body[name] = value = rng.choice([None, some_json(rng)])
        names[name] = value is not None
    expected = {field_name(name) for name, told in names.items() if told}
    if path == CHAT:
        body["messages"] = [message(rng) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.1:
            body["messages"][0]["x_in"] = 1
            expected.add("messages[].x_in")
        if rng.random() < 0.9 and body.get("top_logprobs"):
            body["logprobs"] = True
    else:
        body["prompt"] = prompt(rng)
    if body.get("best_of") is not None:
        body["best_of"] = body.get("n") or 1
    if not isinstance(body.get("seed"), (int, float, str, list, dict, bool)):
        body["seed"] = rng.randrange(1 << 32)  # whole and streamed must draw alike
    body = dict(rng.sample(sorted(body.items(), key=lambda item: item[0]), len(body)))
    return path, body, expected


def field_name(name):
    """As the header spells it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name or '""')[:64]


class Client:
    """A connection a thread, kept open."""

    def __init__(self, server):
        self.server, self.local = server, threading.local()

    def post(self, path, body):
        """(status, headers, the body's bytes); a 503 that says when to come back is obeyed."""
        sent = json.dumps(body).encode()
        for _ in range(50):
            if not getattr(self.local, "connection", None):
                self.local.connection = self.server.connect()
            try:
                self.local.connection.request("POST", path, sent, {"Content-Type": "application/json"})
                answer = self.local.connection.getresponse()
                got = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.local.connection.close()
                self.local.connection = None
                raise
            if got[0] != 503 or "retry-after" not in got[1]:
                return got
            time.sleep(min(float(got[1]["retry-after"]), 1))
        return got


def empty_choice():
    return {"text": "", "finish_reason": None, "stop_reason": None, "token_ids": [], "logprobs": None}


def add_logprobs(choice, more):
    if more is None:
        return
    if choice["logprobs"] is None:
        choice["logprobs"] = {}
    for key, values in more.items():
        joined = choice["logprobs"].setdefault(key, None if values is None else [])
        if values is not None:
            joined.extend(values)


def of_whole(raw, path):
    """What an answer says: by choice, and its usage."""
    answer = json.loads(raw)
    choices = {}
    for one in answer["choices"]:
        choice = choices[one["index"]] = empty_choice()
        choice["text"] = one["message"]["content"] if path == CHAT else one["text"]
        choice["finish_reason"], choice["stop_reason"] = one["finish_reason"], one["stop_reason"]
        choice["token_ids"] = one.get("token_ids", [])
        add_logprobs(choice, one["logprobs"])
    return choices, answer["usage"]


def of_stream(raw, path, asked_usage):
    """The same of a stream, or what is wrong with it."""
    choices, usage = collections.defaultdict(empty_choice), None
    events = [event for event in raw.decode().split("\n\n") if event and not event.startswith(":")]
    if not events or not events[-1].endswith("data: [DONE]"):
        raise ValueError(f"the stream has no end: {events[-1:]}")
    chunks = [json.loads(event.partition("data: ")[2]) for event in events[:-1]]
    for i, chunk in enumerate(chunks):
        last = asked_usage and i + 1 == len(chunks)
        if asked_usage and (chunk["usage"] is None) == last:
            raise ValueError(f"usage {chunk['usage']} in chunk {i} of {len(chunks)}")
        usage = chunk.get("usage") or usage
        for one in chunk["choices"]:
            choice = choices[one["index"]]
            offsets = (one["logprobs"] or {}).get("text_offset", [])
            if path == COMPLETION and len(offsets) == 1 and choice["logprobs"] and offsets[0] < len(choice["text"]):
                raise ValueError(f"text_offset {offsets[0]} behind {len(choice['text'])} characters")
            choice["text"] += one["delta"]["content"] if path == CHAT else one["text"]
            choice["finish_reason"] = one["finish_reason"] or choice["finish_reason"]
            choice["stop_reason"] = one.get("stop_reason", choice["stop_reason"])
            choice["token_ids"] += one.get("token_ids", [])
            add_logprobs(choice, one["logprobs"])
    return dict(choices), usage


def tokens_of(usage):
    return usage and (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])


def refusal_problem(status, raw, body):
    try:
        error = json.loads(raw)["error"]
    except (ValueError, KeyError):
        return f"{status} without an error object: {raw[:200]}"
    if status == 404 and error["code"] == "model_not_found" and body.get("model"):
        return ""
    if status != 400:
        return f"{status}: {error}"
    if error["code"] == "context_length_exceeded":
        return ""
    named = re.split(r"[.\[]", error["param"] or "")[0]
    known = set(body) | {"min_tokens"}  # it may not fit the default of max_tokens
    return "" if named in known and named in error["message"] else f"400 names {error['param']!r}: {error['message']}"


def one_request(client, number, seed):
    """(what came of it, what is wrong; "" when nothing is)"""
    rng = random.Random(f"{seed}/{number}")
    path, body, expected = random_body(rng)
    status, headers, raw = client.post(path, body)
    asked_usage = rng.random() < 0.5
    stream = {**body, "stream": True}
    if asked_usage:
        stream["stream_options"] = {"include_usage": True}
    stream_status, stream_headers, stream_raw = client.post(path, stream)
    shown = f"request {number}, {path} {json.dumps(body)[:700]}"
    if status != stream_status:
        return "failed", f"{shown}: {status} whole, {stream_status} streamed: {raw[:200]} {stream_raw[:200]}"
    if status != 200:
        if problem := refusal_problem(status, raw, body):
            return "failed", f"{shown}: {problem}"
        if json.loads(raw) != json.loads(stream_raw):
            return "failed", f"{shown}: {raw} whole, {stream_raw} streamed"
        return f"refused with {status}", ""
    for got in (headers, stream_headers):
        names = {name for name in got.get(HEADER, "").split(",") if name}
        if names != expected:
            return "failed", f"{shown}: ignored {sorted(names)}, wanted {sorted(expected)}"
    try:
        choices, usage = of_whole(raw, path)
        streamed, stream_usage = of_stream(stream_raw, path, asked_usage)
    except (ValueError, KeyError, TypeError) as error:
        return "failed", f"{shown}: {error!r}"
    if choices != streamed:
        return "failed", f"{shown}: whole {choices}, streamed {streamed}"
    if asked_usage and tokens_of(usage) != tokens_of(stream_usage):
        return "failed", f"{shown}: usage {usage} whole, {stream_usage} streamed"
    return "answered, with unknown fields" if expected else "answered", ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("herd", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    checks = Checks()
    tally, problems = collections.Counter(), []
    with TestFolder() as folder, Server(arguments.herd, folder=folder, checks=checks) as server:
        client = Client(server)
        with concurrent.futures.ThreadPoolExecutor(arguments.threads) as pool:
            for what, problem in pool.map(lambda number: one_request(client, number, arguments.seed),
                                          range(arguments.count)):
                tally[what] += 1
                if problem:
                    problems.append(problem)
                    if len(problems) <= 10:
                        print(problem, flush=True)
        print(f"{arguments.count} requests, each whole and streamed: " +
              ", ".join(f"{count} {what}" for what, count in tally.most_common()))
        checks.check(f"{arguments.count} random requests (seed {arguments.seed})", not problems,
                     f"{len(problems)} of them are wrong")
        checks.check("some were answered and some refused", tally["answered"] > 0 and tally["refused with 400"] > 0, tally)
        checks.equal("/health afterwards", server.get("/health").status, 200)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
