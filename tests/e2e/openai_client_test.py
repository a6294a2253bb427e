#!/usr/bin/env python3
"""The `openai` Python client, sync and async, and curl work with `herd serve` unchanged. Needs the package openai.

    openai_client_test.py HERD_BINARY [--only PART]
"""
import asyncio
import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import openai
import requests
from serve_process import DEMO_MODEL, Checks, Server, TestFolder, certificate, key_file, wait_until

HERD = sys.argv[1]
HELLO = [{"role": "user", "content": "What is the capital of France?"}]
FOX = [{"role": "user", "content": "Tell me a story about a fox."}]
FRANCE = "The capital of France is"
STORY = "Once upon a time, in a village by the sea, there lived an old man who had a cat and a dog"
LONG = {"prompt": [STORY] * 8, "n": 8, "max_tokens": 1900, "temperature": 1, "extra_body": {"ignore_eos": True}}


def client_of(server, kind=openai.OpenAI, **options):
    options = {"api_key": "not-needed", "max_retries": 0, "timeout": 60, **options}
    return kind(base_url=f"{server.url}/v1", **options)


def refusal(checks, name, kind, call, status=None, param=None, code=None):
    """The call raises that class of the client, with the error's parts where the client keeps them."""
    try:
        answer = call()
    except openai.APIError as error:
        found = (type(error), getattr(error, "status_code", None), error.param, error.code)
        wanted = (kind, status, param, found[3] if code is None else code)
        checks.check(f"{name}: {kind.__name__}", found == wanted, f"{found}, wanted {wanted}: {error}")
        return error
    checks.check(f"{name}: {kind.__name__}", False, f"an answer: {answer}")
    return None


def models(checks, server):
    client = client_of(server)
    listed = client.models.list().data
    checks.check("models.list", [model.id for model in listed] == ["demo_model"] and listed[0].object == "model"
                 and listed[0].owned_by == "herd" and listed[0].max_model_len == 2048, listed)
    one = client.models.retrieve("demo_model")
    checks.check("models.retrieve", one == listed[0], one)
    refusal(checks, "models.retrieve of another name", openai.NotFoundError, lambda: client.models.retrieve("other"),
            404, None, "model_not_found")
    raw = client.models.with_raw_response.list()
    checks.check("with_raw_response: x-request-id", raw.headers.get("x-request-id") and
                 raw.parse().data[0].id == "demo_model", raw.headers)
    raw = client.chat.completions.with_raw_response.create(model="demo_model", messages=HELLO, max_tokens=1,
                                                           extra_headers={"x-request-id": "abc-1"})
    checks.equal("x-request-id in and out", raw.headers.get("x-request-id"), "abc-1")
    checks.equal("_request_id", raw.parse()._request_id, "abc-1")


def chat(checks, server):
    create = client_of(server).chat.completions.create
    answer = create(model="demo_model", messages=HELLO, temperature=0)
    choice = answer.choices[0]
    checks.check("chat", "Paris" in choice.message.content and choice.message.role == "assistant"
                 and choice.finish_reason == "stop" and answer.object == "chat.completion"
                 and answer.id.startswith("chatcmpl-") and answer.model == "demo_model"
                 and abs(answer.created - time.time()) < 60, answer)
    usage = answer.usage
    checks.check("usage adds up", usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, usage)
    whole = choice.message.content

    messages = [{"role": "system", "content": "You are a helpful assistant. " * 8}, *HELLO]
    first, second = (create(model="demo_model", messages=messages, max_tokens=1).usage for _ in range(2))
    checks.check("usage.prompt_tokens_details.cached_tokens of a repeated prompt",
                 first.prompt_tokens_details.cached_tokens < second.prompt_tokens_details.cached_tokens
                 < second.prompt_tokens, (first, second))

    chunks = list(create(model="demo_model", messages=HELLO, temperature=0, stream=True))
    checks.check("streamed: the same text", "".join(c.choices[0].delta.content or "" for c in chunks) == whole, chunks)
    checks.check("streamed: role first, finish_reason last", chunks[0].choices[0].delta.role == "assistant"
                 and [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["stop"])
    checks.check("streamed: one id, one token a chunk", len({c.id for c in chunks}) == 1
                 and len(chunks) == usage.completion_tokens + 1 and chunks[0].object == "chat.completion.chunk",
                 (len(chunks), usage))
    chunks = list(create(model="demo_model", messages=HELLO, temperature=0, stream=True,
                         stream_options={"include_usage": True}))
    so_far = list(create(model="demo_model", messages=HELLO, temperature=0, stream=True, stream_options={
        "include_usage": True, "continuous_usage_stats": True}))
    counts = [chunk.usage.completion_tokens if chunk.usage else None for chunk in so_far]
    checks.equal("stream_options.continuous_usage_stats", counts,
                 [*range(usage.completion_tokens + 1), usage.completion_tokens])
    checks.check("stream_options.include_usage", chunks[-1].choices == []
                 and chunks[-1].usage.completion_tokens == usage.completion_tokens
                 and all(c.usage is None for c in chunks[:-1]), chunks[-1])

    fox = {"model": "demo_model", "messages": FOX, "temperature": 2, "max_completion_tokens": 24}
    answer = create(**fox, n=2, seed=5)
    checks.check("n = 2", [c.index for c in answer.choices] == [0, 1]
                 and answer.choices[0].message.content != answer.choices[1].message.content, answer.choices)
    again = create(**fox, n=2, seed=5)
    checks.check("seed: repeats", [c.message.content for c in again.choices] ==
                 [c.message.content for c in answer.choices], again.choices)
    texts = {create(**fox).choices[0].message.content for _ in range(6)}
    checks.check("no seed: differs", len(texts) > 1, texts)
    answer = create(model="demo_model", messages=HELLO, temperature=0, max_completion_tokens=2)
    checks.check("max_completion_tokens", answer.usage.completion_tokens == 2
                 and answer.choices[0].finish_reason == "length", answer)
    answer = create(model="demo_model", messages=HELLO, temperature=0, stop=["Par", "xyz"])
    checks.check("stop", answer.choices[0].message.content == whole[:whole.index("Par")]
                 and answer.choices[0].finish_reason == "stop", answer.choices)
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is the capital "},
                                          {"type": "text", "text": "of France?"}]}]
    answer = create(model="demo_model", messages=parts, temperature=0)
    checks.equal("text parts are one text", answer.choices[0].message.content, whole)


def chat_logprobs(checks, server):
    create = client_of(server).chat.completions.create
    asked = {"model": "demo_model", "messages": HELLO, "temperature": 0, "logprobs": True, "top_logprobs": 3}
    answer = create(**asked)
    content = answer.choices[0].logprobs.content
    checks.check("logprobs: one a token", len(content) == answer.usage.completion_tokens, len(content))
    checks.check("logprobs: greedy takes the likeliest", all(
        len(one.top_logprobs) == 3 and one.top_logprobs[0].token == one.token
        and one.top_logprobs[0].logprob == one.logprob <= 0 for one in content), content[:1])
    checks.check("logprobs: at most a probability of 1", all(
        sum(math.exp(top.logprob) for top in one.top_logprobs) < 1.0001 for one in content))
    text = b"".join(bytes(one.bytes) for one in content[:-1]).decode()  # the last is the end of the turn
    checks.equal("logprobs: bytes are the text", text, answer.choices[0].message.content)
    chunks = list(create(**asked, stream=True))
    streamed = [one for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    checks.check("logprobs: the same when streamed", streamed == content, streamed[:1])
    biased = content[0].token
    token = server.post("/tokenize", {"prompt": biased, "add_special_tokens": False}).json()["tokens"]
    answer = create(**asked, logit_bias={str(token[0]): -100})
    checks.check("logit_bias", answer.choices[0].logprobs.content[0].token != biased, answer.choices[0].logprobs)


def completions(checks, server):
    create = client_of(server).completions.create
    answer = create(model="demo_model", prompt=FRANCE, temperature=0, max_tokens=8)
    text = answer.choices[0].text
    checks.check("completion", "Paris" in text and answer.object == "text_completion"
                 and answer.id.startswith("cmpl-"), answer)
    checks.equal("max_tokens: 16 unless given",
                 create(model="demo_model", prompt=STORY, extra_body={"ignore_eos": True}).usage.completion_tokens, 16)
    ids = server.post("/tokenize", {"prompt": FRANCE}).json()["tokens"]
    for name, prompt, count in (("a list of strings", [FRANCE, FRANCE], 2), ("token ids", ids, 1),
                                ("lists of ids", [ids, ids], 2)):
        choices = create(model="demo_model", prompt=prompt, temperature=0, max_tokens=8).choices
        checks.check(f"prompt as {name}", [choice.text for choice in choices] == [text] * count
                     and [choice.index for choice in choices] == list(range(count)), choices)
    answer = create(model="demo_model", prompt=[FRANCE, STORY], n=2, max_tokens=4, temperature=1, seed=1)
    checks.check("n = 2 of two prompts: choices in order", [c.index for c in answer.choices] == [0, 1, 2, 3]
                 and answer.usage.prompt_tokens == len(ids) + len(server.post("/tokenize", {"prompt": STORY})
                                                                 .json()["tokens"]), answer)
    chunks = list(create(model="demo_model", prompt=FRANCE, temperature=0, max_tokens=8, stream=True))
    checks.equal("streamed: the same text", "".join(chunk.choices[0].text for chunk in chunks), text)
    answer = create(model="demo_model", prompt=FRANCE, temperature=0, max_tokens=8, echo=True)
    checks.equal("echo", answer.choices[0].text, FRANCE + text)
    answer = create(model="demo_model", prompt=FRANCE, temperature=0, max_tokens=8, stop="Par")
    checks.check("stop", answer.choices[0].text == text[:text.index("Par")], answer.choices)
    refusal(checks, "suffix", openai.BadRequestError, lambda: create(model="demo_model", prompt="x", suffix="y"), 400,
            "suffix")
    refusal(checks, "best_of", openai.BadRequestError, lambda: create(model="demo_model", prompt="x", best_of=3), 400,
            "best_of")


def completion_logprobs(checks, server):
    create = client_of(server).completions.create
    answer = create(model="demo_model", prompt=STORY, temperature=0, max_tokens=6, logprobs=2,
                    extra_body={"ignore_eos": True})
    parts = answer.choices[0].logprobs
    checks.check("logprobs", len(parts.tokens) == len(parts.token_logprobs) == len(parts.top_logprobs) == 6
                 and "".join(parts.tokens) == answer.choices[0].text and parts.text_offset[0] == 0
                 and all(top[token] == logprob for token, logprob, top in
                         zip(parts.tokens, parts.token_logprobs, parts.top_logprobs)), parts)
    # What evaluation harnesses ask for: the probability of a text, without a new token. Twice: the second is cached.
    ids = server.post("/tokenize", {"prompt": STORY}).json()["tokens"]
    scored = score(ids)
    for time_ in ("first", "again, its prefix cached"):
        answer = create(model="demo_model", prompt=ids, max_tokens=0, echo=True, logprobs=1)
        parts = answer.choices[0].logprobs
        checks.check(f"echo and logprobs without new tokens, {time_}: one a token, none of the first",
                     len(parts.token_logprobs) == len(ids) and parts.token_logprobs[0] is None
                     and None not in parts.token_logprobs[1:] and answer.usage.completion_tokens == 0, parts)
        # The sampler adds 4096 exponentials as floats, score() as doubles: a float sum of n terms is off by at most
        # n · 2^-24 of itself, its logarithm by as much; twice that leaves room for exp() and the logits' own rounding.
        close = all(abs(a - b) < 2 * 4096 / 2**24 for a, b in zip(parts.token_logprobs[1:], scored))
        checks.check(f"echo and logprobs without new tokens, {time_}: as `herd score`", close,
                     list(zip(parts.token_logprobs[1:], scored))[:4])
    added = create(model="demo_model", prompt=ids, max_tokens=3, echo=True, logprobs=0, temperature=0)
    both = added.choices[0].logprobs
    checks.check("echo and logprobs with new tokens", len(both.tokens) == len(ids) + 3
                 and both.token_logprobs[:len(ids)] == parts.token_logprobs, both)


def score(ids):
    """Log-probabilities of ids[1:] after `herd score`."""
    run = subprocess.run([HERD, "score", DEMO_MODEL, "--quiet", "--prompt-token-ids", ",".join(map(str, ids)),
                          "--return-logits", "all"], capture_output=True, timeout=120, check=True)
    logits = json.loads(run.stdout)["logits"]
    found = []
    for row, token in zip(logits, ids[1:]):
        largest = max(row)
        found.append(row[token] - largest - math.log(sum(math.exp(value - largest) for value in row)))
    return found


def extra_fields(checks, server):
    create = client_of(server).completions.create

    def asked(prompt=STORY, max_tokens=12, **extra):
        return create(model="demo_model", prompt=prompt, max_tokens=max_tokens, temperature=extra.pop("temperature", 1),
                      seed=3, extra_body=extra).choices[0]

    greedy = asked(temperature=0, ignore_eos=True, return_token_ids=True)
    checks.check("return_token_ids", len(greedy.token_ids) == 12 and len(greedy.prompt_token_ids) > 10, greedy)
    checks.equal("top_k = 1 is greedy", asked(top_k=1, ignore_eos=True).text, greedy.text)
    checks.equal("min_p = 1 is greedy", asked(min_p=1, ignore_eos=True).text, greedy.text)
    long, penalised = (asked(max_tokens=60, temperature=0, ignore_eos=True, return_token_ids=True,
                             repetition_penalty=penalty).token_ids for penalty in (1, 10))
    checks.check("repetition_penalty", len(set(penalised)) > len(set(long)), (penalised, long))
    end = greedy.token_ids[4]
    stopped = asked(temperature=0, ignore_eos=True, return_token_ids=True, stop_token_ids=[end])
    checks.check("stop_token_ids", stopped.token_ids == greedy.token_ids[:greedy.token_ids.index(end) + 1]
                 and stopped.finish_reason == "stop" and stopped.stop_reason == end, stopped)
    # A prompt whose answer ends by itself.
    chat_ids = server.post("/tokenize", {"messages": HELLO}).json()["tokens"]
    ended = asked(prompt=chat_ids, max_tokens=40, temperature=0, return_token_ids=True)
    checks.check("an answer that ends by itself", ended.finish_reason == "stop" and len(ended.token_ids) < 40, ended)
    longer = asked(prompt=chat_ids, max_tokens=40, temperature=0, return_token_ids=True, min_tokens=30)
    checks.check("min_tokens", len(longer.token_ids) >= 30, longer)
    endless = asked(prompt=chat_ids, max_tokens=40, temperature=0, ignore_eos=True)
    checks.equal("ignore_eos", endless.finish_reason, "length")
    shown = asked(temperature=0, ignore_eos=True, stop=["the "], include_stop_str_in_output=True, max_tokens=60)
    checks.check("include_stop_str_in_output", shown.finish_reason == "stop" and shown.text.endswith("the ")
                 and shown.stop_reason == "the ", shown)
    refusal(checks, "priority without the policy", openai.BadRequestError, lambda: asked(priority=3), 400, "priority")
    refusal(checks, "a field herd cannot honour", openai.BadRequestError, lambda: asked(thinking_token_budget=3), 400,
            "thinking_token_budget")


def errors(checks, server):
    client = client_of(server)
    create = client.chat.completions.create
    refusal(checks, "temperature -1", openai.BadRequestError,
            lambda: create(model="demo_model", messages=HELLO, temperature=-1), 400, "temperature")
    refusal(checks, "an empty chat", openai.BadRequestError, lambda: create(model="demo_model", messages=[]), 400,
            "messages")
    refusal(checks, "tools", openai.BadRequestError, lambda: create(model="demo_model", messages=HELLO, tools=[
        {"type": "function", "function": {"name": "f", "parameters": {}}}]), 400, "tools")
    refusal(checks, "too long", openai.BadRequestError,
            lambda: create(model="demo_model", messages=HELLO, max_tokens=4000), 400, None, "context_length_exceeded")
    refusal(checks, "an unknown model", openai.NotFoundError,
            lambda: create(model="gpt-9", messages=HELLO), 404, None, "model_not_found")
    refusal(checks, "an unknown route", openai.NotFoundError,
            lambda: client.embeddings.create(model="demo_model", input="x"), 404)
    # The client gives up before the answer is there: its own error, and the server lets go.
    slow = client.with_options(timeout=0.5)
    refusal(checks, "the client's time is over", openai.APITimeoutError,
            lambda: slow.completions.create(model="demo_model", **LONG))
    freed = wait_until(lambda: server.open_requests() == 0)
    checks.check("a client that gave up frees its work", freed, server.open_requests())
    error = refusal(checks, "the server's time is over", openai.InternalServerError, lambda: client.completions.create(
        model="demo_model", extra_headers={"X-Request-Timeout": "0.2"}, **LONG), 504)
    checks.check("the server's time is over: the message says so", error and "time limit" in str(error), error)

    def cut_stream():
        for _ in client.completions.create(model="demo_model", stream=True,
                                           extra_headers={"X-Request-Timeout": "0.3"}, **LONG):
            pass
    refusal(checks, "a stream whose time is over", openai.APIError, cut_stream)


def keys(checks, folder):
    path = key_file(folder / "api.keys", "free key=sk-free-0123456789",
                    "few key=sk-few-0123456789 requests_per_minute=3")
    with Server(HERD, "--api-key-file", path, folder=folder, checks=checks) as server:
        def asking(key):
            client = client_of(server, api_key=key)
            return lambda: client.completions.create(model="demo_model", prompt="x", max_tokens=1)

        refusal(checks, "a wrong key", openai.AuthenticationError, asking("sk-none-0123456789"), 401, None,
                "invalid_api_key")
        checks.check("a right key", asking("sk-free-0123456789")().usage.completion_tokens == 1)
        few, answered, error = asking("sk-few-0123456789"), 0, None
        for _ in range(10):
            try:
                few()
                answered += 1
            except openai.RateLimitError as limited:
                error = limited
                break
        checks.check("a key of 3 requests a minute: RateLimitError after 3", answered == 3 and error is not None
                     and error.status_code == 429 and error.code == "rate_limit_exceeded", (answered, error))
        wait = error.response.headers.get("retry-after") if error else None
        checks.check("RateLimitError: Retry-After in seconds", wait and 1 <= int(wait) <= 60, wait)
        checks.check("other keys are free", asking("sk-free-0123456789")().usage.completion_tokens == 1)


def overload(checks, folder):
    """One sequence runs, one request waits; the rest are told when to come back, do, and all are answered."""
    with Server(HERD, "--max-num-queued-reqs", "1", "--max-num-seqs", "1", folder=folder, checks=checks) as server:
        async def run():
            asked = {"model": "demo_model", "prompt": STORY, "max_tokens": 200, "temperature": 0,
                     "extra_body": {"ignore_eos": True}}
            once = client_of(server, openai.AsyncOpenAI)
            outcomes = await asyncio.gather(*(once.completions.create(**asked) for _ in range(12)),
                                            return_exceptions=True)
            refused = [one for one in outcomes if isinstance(one, openai.InternalServerError)]
            checks.check("overload: some are answered, some refused with 503, none otherwise",
                         0 < len(refused) < 12 and all(one.status_code == 503 for one in refused)
                         and all(isinstance(one, openai.types.Completion) for one in outcomes if one not in refused),
                         [str(one)[:80] for one in outcomes])
            waits = [one.response.headers.get("retry-after") for one in refused]
            checks.check("overload: every 503 has Retry-After", all(wait and int(wait) >= 1 for wait in waits), waits)
            patient = client_of(server, openai.AsyncOpenAI, max_retries=20)
            answers = await asyncio.gather(*(patient.completions.create(**asked) for _ in range(8)))
            checks.check("overload: a client that retries succeeds",
                         len({answer.choices[0].text for answer in answers}) == 1 and len(answers) == 8)
            await once.close()
            await patient.close()

        asyncio.run(run())


def asynchronous(checks, server):
    async def run():
        client = client_of(server, openai.AsyncOpenAI)
        checks.equal("async: models.list", [model.id async for model in client.models.list()], ["demo_model"])
        whole = await client.chat.completions.create(model="demo_model", messages=HELLO, temperature=0)
        checks.check("async: chat", "Paris" in whole.choices[0].message.content, whole)

        async def streamed():
            stream = await client.chat.completions.create(model="demo_model", messages=HELLO, temperature=0,
                                                          stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        texts = await asyncio.gather(*(streamed() for _ in range(32)))
        checks.check("async: 32 streams at once", set(texts) == {whole.choices[0].message.content}, set(texts))
        asked = {"model": "demo_model", "prompt": FRANCE, "max_tokens": 6, "temperature": 1, "logprobs": 1}
        parts = await asyncio.gather(*(client.completions.create(**asked, seed=seed) for seed in range(16)))
        alone = client_of(server).completions.create(**asked, seed=7)
        checks.check("async: a seed is a seed among others", parts[7].choices[0] == alone.choices[0], parts[7].choices)
        # A client that leaves a stream early.
        stream = await client.completions.create(model="demo_model", stream=True, **LONG)
        async for _ in stream:
            break
        await stream.close()
        await client.close()

    asyncio.run(run())
    freed = wait_until(lambda: server.open_requests() == 0)
    checks.check("async: a stream left early frees its work", freed, server.open_requests())
    stream = client_of(server).beta.chat.completions.stream if hasattr(client_of(server).beta, "chat") else \
        client_of(server).chat.completions.stream
    with stream(model="demo_model", messages=HELLO, temperature=0) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    checks.check("the client's own stream helper", "content.delta" in kinds
                 and "Paris" in final.choices[0].message.content, (kinds, final))


def repeats(checks, server):
    """The client with its defaults sends some errors again by itself; one that would end the same way it does not."""
    def requests():
        return sum(value for (name, labels), value in server.metrics().items()
                   if name == "http_requests_total" and ("handler", "/v1/completions") in labels)

    client = client_of(server, max_retries=openai.DEFAULT_MAX_RETRIES)
    for name, kind, status, extra in (("a time limit", openai.InternalServerError, 504, {"X-Request-Timeout": "0.2"}),
                                      ("a gzip body", openai.APIStatusError, 415, {"Content-Encoding": "gzip"})):
        before = requests()
        refusal(checks, f"repeats: {name}", kind,
                lambda: client.completions.create(model="demo_model", extra_headers=extra, **LONG), status)
        checks.equal(f"repeats: after {name} the server has seen one request", requests() - before, 1)


def pauses(checks, folder):
    """Comments before the first event and between events: no client may stumble over them."""
    body = {"model": "demo_model", "prompt": FRANCE, "max_tokens": 600, "extra_body": {"ignore_eos": True},
            "stream": True}
    # Every look of the timer (20 a second) finds a silence; of two streams the second waits for its turn.
    with Server(HERD, "--keep-alive-interval", "0.000001", "--max-num-seqs", "1", folder=folder,
                checks=checks) as server:
        plain = {key: value for key, value in body.items() if key != "extra_body"} | body["extra_body"]
        end = server.stream("/v1/completions", plain)
        checks.check("pauses: comments come between events", end.comments > 0 and end.whole, end.comments)

        async def both():
            async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
                async def read():
                    return len([chunk async for chunk in await client.completions.create(**body)])
                return await asyncio.gather(*(read() for _ in range(3)))

        try:
            checks.equal("pauses: the async client reads three streams, two after a wait", asyncio.run(both()), [600] * 3)
            checks.equal("pauses: the client reads a stream",
                         sum(1 for _ in client_of(server).completions.create(**body)), 600)
        except ValueError as error:  # json.JSONDecodeError
            checks.check("pauses: no event without data", False, repr(error))

        # Clients that cut a stream into lines as Python's str does, which knows more line ends than a stream has.
        odd = "a\u0085b\u2028c\u2029d\v\f\x1c\x1d\x1e"
        with requests.post(server.url + "/v1/completions", stream=True, timeout=60,
                           json={"prompt": odd, "echo": True, "max_tokens": 0, "stream": True}) as answer:
            lines = [line for line in answer.iter_lines(decode_unicode=True) if line.startswith("data: ")]
        checks.check("pauses: no character of a text ends a line", len(lines) == 3 and json.loads(lines[0][6:])
                     ["choices"][0]["text"] == odd and lines[-1] == "data: [DONE]", lines)

        def out_of_time():
            for _ in client_of(server).completions.create(**body | {"max_tokens": 1900},
                                                          extra_headers={"X-Request-Timeout": "0.3"}):
                pass
        error = refusal(checks, "pauses: an error event behind comments", openai.APIError, out_of_time)
        checks.check("pauses: its message arrives", error and "time limit" in str(error), error)


def curl(checks, server, folder):
    if not shutil.which("curl"):
        checks.skip("curl", "curl is not installed")
        return

    def run(*words, url=server.url, path="/v1/chat/completions", code=0):
        done = subprocess.run(["curl", "-sS", *words, url + path], capture_output=True, timeout=60)
        checks.check(f"curl {' '.join(words)[:60]} {path}: exit {code}", done.returncode == code,
                     (done.returncode, done.stderr))
        return done.stdout.decode()

    def parts(text):
        """(status, headers, body) of curl -i."""
        head, _, body = text.replace("\r\n", "\n").partition("\n\n")
        lines = head.split("\n")
        return (int(lines[0].split()[1]),
                {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}, body)

    body = json.dumps({"model": "demo_model", "messages": HELLO, "temperature": 0})
    post = ("-H", "Content-Type: application/json", "-d", body)
    whole = json.loads(run(*post))["choices"][0]["message"]["content"]
    checks.check("curl: chat", "Paris" in whole, whole)
    streamed = run("-N", "-H", "Content-Type: application/json", "-d", json.dumps({**json.loads(body), "stream": True}))
    data = [line[6:] for line in streamed.splitlines() if line.startswith("data: ")]
    checks.check("curl -N: a stream", data[-1] == "[DONE]" and whole == "".join(
        json.loads(line)["choices"][0]["delta"]["content"] for line in data[:-1]), data[-3:])
    status, headers, _ = parts(run("-i", *post))
    checks.check("curl: headers", status == 200 and headers["content-type"] == "application/json"
                 and int(headers["content-length"]) > 100 and headers["x-request-id"], headers)
    old = parts(run("-i", "-0", *post))
    checks.check("curl --http1.0", old[0] == 200 and whole in old[2], old)
    old = parts(run("-i", "-0", "-N", "-H", "Content-Type: application/json", "-d",
                    json.dumps({**json.loads(body), "stream": True})))
    checks.check("curl --http1.0: a stream without chunks", old[2].rstrip().endswith("data: [DONE]")
                 and "transfer-encoding" not in old[1], (old[1], old[2][-80:]))
    status, headers, rest = parts(run("-i", "--head", path="/v1/models"))
    checks.check("curl --head", status == 200 and rest == "" and int(headers["content-length"]) > 0, headers)
    status, headers, rest = parts(run("-i", "-X", "PUT", "-d", "x", path="/v1/models"))
    checks.check("curl -X PUT: 405", status == 405 and headers["allow"] == "GET, HEAD" and "error" in rest, headers)
    status, _, rest = parts(run("-i", path="/v1/nothing"))
    checks.check("curl: an unknown route is 404", status == 404 and json.loads(rest)["error"]["code"] == 404, rest)
    status, headers, rest = parts(run("-i", "-d", body))
    checks.check("curl without a content type: 415", status == 415, rest)
    status, headers, _ = parts(run("-i", "-X", "OPTIONS", "-H", "Origin: https://a.example"))
    checks.check("curl OPTIONS without --allowed-origins: no CORS", "access-control-allow-origin" not in headers,
                 headers)
    checks.check("curl -x: taken for a proxy, the server answers itself",
                 json.loads(run("-x", server.url, url="http://any.example", path="/health")) == {"status": "ok"})
    twice = run("-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", f"{server.url}/health",
                path="/v1/models")
    checks.equal("curl: keep-alive, one connection for two requests", twice.split(), ["1", "0"])
    large = json.dumps({"prompt": "a " * 4000, "max_tokens": 1})
    (folder / "large.json").write_text(large)
    status, _, rest = parts(run("-i", "-H", "Content-Type: application/json", "-H", "Expect: 100-continue",
                                "--data-binary", f"@{folder / 'large.json'}", path="/v1/completions"))
    checks.check("curl with Expect: 100-continue", status == 100 and "context_length_exceeded" in rest,
                 (status, rest[:200]))


def origins(checks, folder):
    with Server(HERD, "--allowed-origins", "https://a.example,https://b.example", folder=folder,
                checks=checks) as server:
        for origin, allowed in (("https://b.example", True), ("https://c.example", False)):
            ask = {"Origin": origin, "Access-Control-Request-Method": "POST",
                   "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os"}
            answer = server.request("OPTIONS", "/v1/chat/completions", None, ask)
            found = answer.headers.get("access-control-allow-origin")
            checks.check(f"preflight of {origin}", answer.status == 204 and found == (origin if allowed else None),
                         answer)
            if allowed:
                checks.check("preflight: methods and headers", "POST" in answer.headers["access-control-allow-methods"]
                             and "x-stainless-os" in answer.headers["access-control-allow-headers"], answer.headers)
            answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 1}, {"Origin": origin})
            checks.check(f"an answer to {origin}", answer.status == 200 and
                         answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
                         and ("vary" in answer.headers) == allowed, answer.headers)
        answer = server.post("/v1/completions", {"prompt": 5}, {"Origin": "https://a.example"})
        checks.check("refusals carry it too", answer.status == 400
                     and answer.headers.get("access-control-allow-origin") == "https://a.example", answer.headers)
        answer = server.get("/v1/models")
        checks.check("no origin, no CORS", "access-control-allow-origin" not in answer.headers, answer.headers)


def names(checks, folder):
    with Server(HERD, "--served-model-name", "first", "second", folder=folder, checks=checks) as server:
        client = client_of(server)
        checks.equal("two names: both are listed", [model.id for model in client.models.list()], ["first", "second"])
        asked = {"prompt": FRANCE, "temperature": 0, "max_tokens": 4}
        one, two = (client.completions.create(model=name, **asked) for name in ("first", "second"))
        checks.check("two names: one model, the name that was asked for", (one.model, two.model) == ("first", "second")
                     and one.choices[0].text == two.choices[0].text, (one, two))
        refusal(checks, "two names: the folder's is none of them", openai.NotFoundError,
                lambda: client.completions.create(model="demo_model", **asked), 404, None, "model_not_found")


def tls(checks, folder):
    if not shutil.which("openssl") or not shutil.which("curl"):
        checks.skip("TLS", "openssl or curl is not installed")
        return
    cert, key = certificate(folder)
    with Server(HERD, "--ssl-certfile", cert, "--ssl-keyfile", key, folder=folder, checks=checks) as server:
        checks.check("TLS: the address says https", server.url.startswith("https://"), server.url)
        run = ["curl", "-sS", "--cacert", str(cert), f"{server.url}/v1/models"]
        done = subprocess.run(run, capture_output=True, timeout=30)
        checks.check("TLS: curl --cacert", done.returncode == 0 and b"demo_model" in done.stdout, done)
        done = subprocess.run(run[:2] + run[4:], capture_output=True, timeout=30)
        checks.check("TLS: curl does not trust a stranger", done.returncode == 60, done)
        done = subprocess.run([*run[:4], "--tls-max", "1.1", "--tlsv1.0", run[4]], capture_output=True, timeout=30)
        checks.check("TLS: nothing below 1.2", done.returncode != 0, done)
        done = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{server.port}/health"], capture_output=True,
                              timeout=30)
        checks.check("TLS: plain HTTP on that port fails", done.returncode != 0 or b"error" in done.stdout, done)
        client = client_of(server, http_client=trusting_client(cert))
        chunks = list(client.chat.completions.create(model="demo_model", messages=HELLO, temperature=0, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        checks.check("TLS: the openai client streams", "Paris" in text, text)
        ids = [5 + 37 * i % 4000 for i in range(1900)]
        chunks = list(client.completions.create(model="demo_model", prompt=ids, n=8, max_tokens=4, echo=True, logprobs=5,
                                                stream=True, extra_body={"ignore_eos": True}))
        checks.equal("TLS: eight long openings go out whole", len(chunks), 40)
        client.close()


def trusting_client(cert):
    """The client's own HTTP client, trusting one certificate."""
    import ssl
    return openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=str(cert)), timeout=60)


def main():
    checks = Checks()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    print(f"openai {openai.__version__}")

    def part(function, *arguments):
        if only in function.__name__:
            function(checks, *arguments)

    with TestFolder() as folder:
        with Server(HERD, folder=folder, checks=checks) as server:
            for function in (models, chat, chat_logprobs, completions, completion_logprobs, extra_fields, errors,
                             asynchronous, repeats):
                part(function, server)
            part(curl, server, Path(folder))
        for function in (keys, overload, pauses, origins, names, tls):
            part(function, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
