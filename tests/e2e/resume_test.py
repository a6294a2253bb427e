#!/usr/bin/env python3
"""A stream that was cut goes on: for every event of a stream, the same body sent again with that event's id as
Last-Event-ID answers the rest, byte for byte; on the same server, on another one, after a restart, after a cut
connection. Ids that are forged or of another request are refused. Standard library only.

    resume_test.py HERD_BINARY
"""
import json
import re
import socket
import struct
import sys
from itertools import zip_longest

from serve_process import Answer, Checks, StreamEnd, TestFolder, key_file, parse_event, wait_until
from serve_process import Server as AnyServer

HERD = sys.argv[1]
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "What is the capital of France?"}]
STORY = "Once upon a time, in a village by the sea, there lived an old man who had a cat and a dog and"

# (name, path, body, choices). Without a seed the server draws one; the id carries it.
STREAMS = (
    ("chat, greedy", CHAT, {"messages": HELLO, "temperature": 0, "max_tokens": 12}, 1),
    ("chat, sampled, seed given", CHAT,
     {"messages": HELLO, "temperature": 1.5, "seed": 42, "max_tokens": 12, "ignore_eos": True}, 1),
    ("chat, sampled, seed drawn, usage, log-probabilities", CHAT,
     {"messages": HELLO, "temperature": 1.5, "max_tokens": 12, "ignore_eos": True, "logprobs": True, "top_logprobs": 2,
      "stream_options": {"include_usage": True}}, 1),
    ("completion, greedy, to its end", COMPLETION, {"prompt": "The capital of France is", "temperature": 0,
                                                    "max_tokens": 20}, 1),
    ("completion, seed drawn, token ids, usage", COMPLETION,
     {"prompt": STORY, "temperature": 1.2, "max_tokens": 16, "ignore_eos": True, "return_token_ids": True,
      "stream_options": {"include_usage": True}}, 1),
    ("completion, letters of several tokens and broken UTF-8", COMPLETION,
     {"prompt": STORY, "temperature": 2, "seed": 6, "max_tokens": 24, "ignore_eos": True,
      "logit_bias": {str(token): 20 for token in (127, 162, 94, 95, 96, 97, 98, 99)}}, 1),
    ("completion, stop strings", COMPLETION,
     {"prompt": STORY, "temperature": 0, "max_tokens": 24, "ignore_eos": True, "stop": [". ", "qqq", "the old"]}, 1),
    ("completion, echo, log-probabilities", COMPLETION,
     {"prompt": STORY, "temperature": 1, "max_tokens": 8, "ignore_eos": True, "echo": True, "logprobs": 2}, 1),
    ("completion, echo of the prompt alone", COMPLETION, {"prompt": STORY, "max_tokens": 0, "echo": True}, 1),
    ("completion, penalties over the whole text", COMPLETION,
     {"prompt": STORY, "temperature": 1, "max_tokens": 20, "ignore_eos": True, "repetition_penalty": 1.3,
      "presence_penalty": 0.5, "frequency_penalty": 0.5, "min_tokens": 4}, 1),
    ("chat, n = 2, seed drawn, usage", CHAT,
     {"messages": HELLO, "temperature": 1.3, "n": 2, "max_tokens": 10, "ignore_eos": True,
      "stream_options": {"include_usage": True}}, 2),
    ("completion, two prompts, seed drawn, usage", COMPLETION,
     {"prompt": [STORY, "One, two, three"], "temperature": 1.3, "max_tokens": 10, "ignore_eos": True,
      "stream_options": {"include_usage": True}}, 2),
    ("completion, usage in every event", COMPLETION,
     {"prompt": STORY, "temperature": 1, "max_tokens": 8, "ignore_eos": True,
      "stream_options": {"include_usage": True, "continuous_usage_stats": True}}, 1),
    ("chat, n = 2, usage in every event", CHAT,
     {"messages": HELLO, "temperature": 1.3, "n": 2, "max_tokens": 8, "ignore_eos": True,
      "stream_options": {"include_usage": True, "continuous_usage_stats": True}}, 2),
    ("completion, two prompts in the prefix cache, usage", COMPLETION,
     {"prompt": [STORY, STORY[5:]], "temperature": 1.3, "max_tokens": 6, "ignore_eos": True,
      "stream_options": {"include_usage": True}}, 2),
    ("completion, two prompts, n = 2, stop strings", COMPLETION,
     {"prompt": [STORY, "One, two, three"], "temperature": 1.3, "seed": 7, "n": 2, "max_tokens": 10, "stop": ["e"]}, 4),
)


class Server(AnyServer):
    """Whose events all have ids."""

    def __enter__(self):
        return super().__enter__().await_event_ids()


def text_of(body):
    return json.dumps({**body, "stream": True})


def whole_stream(server, path, body):
    end = server.stream(path, text_of(body))
    if not isinstance(end, StreamEnd) or not end.whole or not end.events or not end.events[-1].done:
        raise RuntimeError(f"no whole stream of {body}: {end}")
    return end.events


def resumed(server, path, body, event_id, headers=None):
    return server.stream(path, body if isinstance(body, str) else text_of(body),
                         {**(headers or {}), "Last-Event-ID": event_id})


def choice_of(event):
    """The index of its choice; None: usage or [DONE]."""
    if event.done:
        return None
    choices = event.json()["choices"]
    return choices[0]["index"] if choices else None


def per_choice(events, choices):
    """Data of each choice's events in order, then of those that belong to none."""
    parts = {index: [] for index in (*range(choices), None)}
    for event in events:
        parts[choice_of(event)].append(event.data)
    return parts


def uncounted(events):
    return [re.sub(rb'"cached_tokens":\d+', b"", event) for event in events]


def difference(whole, at, rest, choices):
    """What of the rest after event `at` is not as it was; None: nothing."""
    if not isinstance(rest, StreamEnd):
        return f"after event {at}: {rest}"
    if not rest.whole:
        return f"after event {at}: no whole stream, {len(rest.events)} events"
    if whole[at].done:  # its id is that of the event before it: nothing new is owed but the end
        expected = [b"[DONE]"]
        return None if [event.data for event in rest.events] == expected else f"after [DONE]: {rest.events}"
    if choices == 1:
        expected, actual = {0: [event.raw for event in whole[at + 1:]]}, {0: [event.raw for event in rest.events]}
    else:  # choices interleave as they come: the order between them is not promised, nor are ids, which count all
        seen, all_of_it = per_choice(whole[:at + 1], choices), per_choice(whole, choices)
        expected = {index: all_of_it[index][len(seen[index]):] for index in all_of_it}
        actual = per_choice(rest.events, choices)
        # How much of a prompt is cached is known when its first token comes. An id from before cannot tell, and no
        # client has seen a number that could differ.
        if not all(seen[index] for index in range(choices)):
            expected[None], actual[None] = (uncounted(events) for events in (expected[None], actual[None]))
    for index, events in expected.items():
        for got, wanted in zip_longest(actual[index], events):
            if got != wanted:
                return f"after event {at}, choice {index}: {got}, wanted {wanted}"
    return None


def resume_everywhere(checks, name, server, path, body, whole, choices, every=1):
    wrong = [found for at in range(0, len(whole), every)
             if (found := difference(whole, at, resumed(server, path, body, whole[at].id), choices))]
    checks.check(f"{name}: {len(whole)} events, resumed after {len(range(0, len(whole), every))}", not wrong,
                 f"{len(wrong)} wrong; {wrong[:1]}")


def cut_after(server, path, body, events):
    """Reads so many events, then resets the connection. Their bytes."""
    sent = text_of(body).encode()
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n")
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + sent)
        while received.count(b"\n\n") < events:
            piece = connection.recv(4096)
            if not piece:
                break
            received += piece
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    chunks = received.partition(b"\r\n\r\n")[2]
    events = []
    while chunks:  # each frame is a chunk of its own
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16) if size else 0
        if length == 0 or len(rest) < length + 2:
            break
        frame = rest[:length]
        chunks = rest[length + 2:]
        if frame.startswith(b":"):
            continue
        if not frame.endswith(b"\n\n") or frame.count(b"\n\n") != 1:
            raise RuntimeError(f"a chunk that is not one frame: {frame}")
        events.append(parse_event(frame[:-2]))
    return events


def refused(checks, name, answer, param="Last-Event-ID"):
    checks.check(f"{name}: 400 naming {param}",
                 isinstance(answer, Answer) and answer.status == 400 and answer.error().get("param") == param, answer)


def forged_ids(checks, server, path, body, whole):
    event_id = whole[2].id
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    wrong = []
    for at, letter in enumerate(event_id):
        forged = event_id[:at] + alphabet[(alphabet.index(letter) + 1) % 64] + event_id[at + 1:]
        answer = resumed(server, path, body, forged)
        if not isinstance(answer, Answer) or answer.status != 400 or answer.error().get("param") != "Last-Event-ID":
            wrong.append((at, answer))
    checks.check(f"each of {len(event_id)} characters changed: 400", not wrong and len(event_id) > 60, wrong[:1])
    for name, forged in (("cut", event_id[:-1]), ("longer", event_id + "A"), ("padded", event_id + "="),
                         ("twice", event_id * 2), ("no base64url", "*" * len(event_id)), ("a word", "x"),
                         ("huge", "A" * 7000)):
        refused(checks, f"an id that is {name}", resumed(server, path, body, forged))


def foreign_ids(checks, server, folder, path, body, whole):
    other = {**body, "max_tokens": body["max_tokens"] + 1}
    refused(checks, "an id of another body", resumed(server, path, other, whole[1].id))
    spaced = text_of(body).replace(": ", ":  ", 1)
    refused(checks, "a body that differs by a blank", resumed(server, path, spaced, whole[1].id))
    answer = server.post(path, body, {"Last-Event-ID": whole[1].id})
    refused(checks, "a body that asks for no stream", answer)
    with Server(HERD, folder=folder, resume_key="other.key", checks=checks) as stranger:
        refused(checks, "a server with another resume key", resumed(stranger, path, body, whole[1].id))
    with Server(HERD, "--served-model-name", "renamed", folder=folder, checks=checks) as renamed:
        refused(checks, "a server of another model name", resumed(renamed, path, body, whole[1].id))
    with Server(HERD, "--quantization-encoding", "float32", folder=folder, checks=checks) as exact:
        answer = resumed(exact, path, body, whole[1].id)
        refused(checks, "a server that computes in another encoding", answer)
        why = answer.error()["message"] if isinstance(answer, Answer) else ""
        checks.check("the refusal names both numerics", "made under numerics" in why and "/float32/float32/" in why, why)


def tenants(checks, folder):
    keys = key_file(folder / "api.keys", "anna key=sk-anna-0123456789", "bert key=sk-bert-0123456789")
    _, path, body, _ = STREAMS[1]
    with Server(HERD, "--api-key-file", keys, folder=folder, checks=checks) as server:
        server.key = "sk-anna-0123456789"
        whole = whole_stream(server, path, body)
        rest = resumed(server, path, body, whole[3].id)
        checks.check("the key's own id goes on", difference(whole, 3, rest, 1) is None, rest)
        server.key = "sk-bert-0123456789"
        refused(checks, "an id of another key's", resumed(server, path, body, whole[3].id))
        server.key = None
        answer = resumed(server, path, body, whole[3].id)
        checks.check("without a key: 401", isinstance(answer, Answer) and answer.status == 401, answer)


def cut_connections(checks, server):
    body = {"prompt": STORY, "temperature": 1.1, "max_tokens": 600, "ignore_eos": True,
            "stream_options": {"include_usage": True}}
    for events in (1, 7, 100):
        got = cut_after(server, COMPLETION, body, events)
        checks.check(f"cut after {events} events: in the middle", events <= len(got) < 602, len(got))
        freed = wait_until(lambda: server.open_requests() == 0)
        checks.check(f"cut after {events} events: the request ends", freed, server.open_requests())
        rest = resumed(server, COMPLETION, body, got[-1].id)
        ok = isinstance(rest, StreamEnd) and rest.whole and len(got) + len(rest.events) == 602
        checks.check(f"cut after {events} events: the rest comes, none lost, none twice", ok,
                     (len(got), rest if isinstance(rest, Answer) else len(rest.events)))
        if not ok:
            continue
        joined = [*got, *rest.events]
        # The seed was drawn: only the joined stream itself can say what is right. Its first event's rest must be it.
        again = resumed(server, COMPLETION, body, joined[0].id)
        checks.check(f"cut after {events} events: the joined parts are one stream",
                     [event.raw for event in again.events] == [event.raw for event in joined[1:]])


def chained(checks, server):
    """Resumed, cut after one event, resumed with that one's id, and so on to the end."""
    name, path, body, _ = STREAMS[4]
    whole = whole_stream(server, path, body)
    got = [whole[0]]
    while not got[-1].done and len(got) < len(whole) + 2:
        rest = resumed(server, path, body, got[-1].id)
        if not isinstance(rest, StreamEnd) or not rest.events:
            break
        got.append(rest.events[0])
    checks.check(f"{name}: one event a connection, {len(whole)} connections",
                 [event.raw for event in got] == [event.raw for event in whole], (len(got), len(whole)))


def main():
    checks = Checks()
    with TestFolder() as folder:
        kept = []
        with Server(HERD, folder=folder, checks=checks) as server:
            for name, path, body, choices in STREAMS:
                if "prefix cache" in name:
                    whole_stream(server, path, body)
                whole = whole_stream(server, path, body)
                kept.append(whole)
                checks.check(f"{name}: every event has an id", all(event.id for event in whole))
                resume_everywhere(checks, name, server, path, body, whole, choices)
            chained(checks, server)
            forged_ids(checks, server, STREAMS[0][1], STREAMS[0][2], kept[0])
            foreign_ids(checks, server, folder, STREAMS[3][1], STREAMS[3][2], kept[3])
            cut_connections(checks, server)
            with Server(HERD, "-tp", "2", "--max-num-batched-tokens", "64", folder=folder, checks=checks) as second:
                for (name, path, body, choices), whole in zip(STREAMS, kept):
                    resume_everywhere(checks, f"a second server with two ranks: {name}", second, path, body, whole,
                                      choices, every=5)
        with Server(HERD, folder=folder, checks=checks) as restarted:
            for (name, path, body, choices), whole in zip(STREAMS, kept):
                resume_everywhere(checks, f"after a restart: {name}", restarted, path, body, whole, choices, every=3)
        tenants(checks, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
