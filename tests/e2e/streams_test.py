#!/usr/bin/env python3
"""Thousands of streams at one time: each token its own frame, none lost, none twice; clients that hang up leave nothing
behind; clients that hardly read stop nobody and are cut.

    streams_test.py HERD_BINARY
"""
import asyncio
import json
import random
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from serve_load import SlowReaders, begin, event_progress, post_bytes, run, scrape, total
from serve_process import Checks, Server, TestFolder, parse_event

STREAMS = 1000
HANG_UPS = 200
SLOW_READERS = 200
NORMAL_STREAMS = 20
SERVER_FLAGS = ["--max-num-seqs", 64, "--max-num-queued-reqs", 4 * STREAMS, "--max-num-batched-tokens", 512]
PATIENCE_S = 120  # of one phase; a bound, not a measure

checks = Checks()
check = checks.check


def bodies(count):
    """Requests of all kinds: chat and completions, greedy and drawn, with and without an end of their own."""
    rng = random.Random(17)
    places = ["France", "Italy", "Spain", "Japan", "Peru", "Norway", "Kenya", "Egypt"]
    made = []
    for i in range(count):
        body = {"max_tokens": 8 + i % 25, "seed": i, "temperature": 0 if i % 3 == 0 else 1.0, "ignore_eos": i % 4 != 0}
        prompt = f"The capital of {rng.choice(places)} is"
        if i % 5 == 0:
            body["stop"] = ["."]
        if i % 2 == 0:
            made.append(("/v1/completions", body | {"prompt": prompt}))
        else:
            made.append(("/v1/chat/completions", body | {"messages": [{"role": "user", "content": f"{prompt}? {i}"}]}))
    return made


def text_of(choice):
    """Of a chunk, or of a whole answer."""
    if "text" in choice:
        return choice["text"]
    return (choice.get("delta") or choice.get("message"))["content"]


def what_is_wrong(exchange, chat, expected):
    """None when the stream is the expected answer, each token in its own frame, each event counted once."""
    if exchange.status != 200 or not exchange.whole:
        return f"status {exchange.status}, whole {exchange.whole}: {exchange.body()[:200]!r}"
    chunks = [chunk for chunk in exchange.chunks() if not chunk.startswith(b":")]
    if any(chunk.count(b"\n\n") != 1 or not chunk.endswith(b"\n\n") for chunk in chunks):
        return "a chunk that is not one frame"
    frames = [parse_event(chunk[:-2]) for chunk in chunks]
    if not frames[-1].done:
        return f"the last event is {frames[-1].data!r}"
    usage = frames[-2].json()
    tokens = [frame.json() for frame in frames[:-2]]
    if len(tokens) != usage["usage"]["completion_tokens"] + chat:
        return f"{len(tokens)} frames for {usage['usage']['completion_tokens']} tokens"
    progress = [event_progress(frame.id)[0] for frame in frames]
    if progress != [*((at, at == len(tokens)) for at in range(1, len(tokens) + 1)), (len(tokens), True), (len(tokens), True)]:
        return f"events are counted {progress}"
    text = "".join(text_of(chunk["choices"][0]) for chunk in tokens)
    if text != text_of(expected["choices"][0]):
        return f"{text!r} instead of {text_of(expected['choices'][0])!r}"
    if tokens[-1]["choices"][0]["finish_reason"] != expected["choices"][0]["finish_reason"]:
        return "another finish reason"
    if any(chunk["choices"][0]["finish_reason"] for chunk in tokens[:-1]):
        return "a finish reason before the last token"
    counted = ("prompt_tokens", "completion_tokens", "total_tokens")
    if any(usage["usage"][name] != expected["usage"][name] for name in counted):
        return f"usage {usage['usage']}, not {expected['usage']}"
    return None


async def thousand_streams(port):
    distinct = bodies(100)
    whole = await asyncio.gather(*(run(port, post_bytes(path, body)) for path, body in distinct))
    if not check("100 requests are answered without streaming", all(one.status == 200 for one in whole),
                 [one.status for one in whole]):
        return
    expected = [json.loads(one.body()) for one in whole]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    requests = [post_bytes(path, body | options) for path, body in distinct]
    exchanges = await asyncio.gather(*(begin(port, requests[i % 100], keep=True) for i in range(STREAMS)))
    open_at_once = 0
    for _ in range(50):  # all wait or run before the first ones end, unless the machine is very fast
        samples = await scrape(port)
        open_at_once = max(open_at_once, total(samples, "herd_connections_open") - 1)
        if open_at_once >= STREAMS * 0.9 or all(exchange.ended.done() for exchange in exchanges):
            break
    ended = await asyncio.gather(*(exchange.ended for exchange in exchanges))
    print(f"note: {int(open_at_once)} of {STREAMS} streams seen open at one time", flush=True)
    wrong = [f"{i}: {problem}" for i, exchange in enumerate(ended)
             if (problem := what_is_wrong(exchange, distinct[i % 100][0].startswith("/v1/chat"), expected[i % 100]))]
    check(f"{STREAMS} concurrent streams: each token its own frame, none lost, none twice", not wrong,
          f"{len(wrong)} wrong, such as {wrong[:3]}")
    frames = sum(exchange.frames for exchange in ended)
    print(f"note: {frames} frames", flush=True)


async def nothing_is_left(port, after):
    """Polls until all is quiet; then says what is not."""
    names = ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
             "herd_gateway_waiting_requests", "herd_gateway_waiting_tokens"]
    left = {}
    for _ in range(PATIENCE_S * 10):
        samples = await scrape(port)
        left = {name: total(samples, name) for name in names if total(samples, name) != 0}
        open_connections = total(samples, "herd_connections_open")
        if open_connections != 1:
            left["herd_connections_open"] = open_connections
        if not left:
            break
        await asyncio.sleep(0.1)
    check(f"{after}, nothing runs, waits or holds blocks, and one connection is open: ours", not left, left)
    return samples


async def hang_up_once(port, kind, rng, request):
    """One client that leaves: 0 before its request is whole, 1 at once behind it, 2 in the middle of its answer,
    3 after a while, wherever its request then is."""
    if kind == 0:
        exchange = await begin(port, request, send_bytes=rng.randrange(1, len(request)))
        await asyncio.sleep(rng.random() * 0.2)
    elif kind == 1:
        exchange = await begin(port, request)
    elif kind == 2:
        exchange = await begin(port, request, hang_up_after=rng.randrange(1, 20000))
        await exchange.ended
    else:
        exchange = await begin(port, request)
        await asyncio.sleep(rng.random() * 1.5)
    if rng.random() < 0.5:
        exchange.transport.abort()
    else:
        exchange.transport.close()
    return exchange


async def hang_ups(port):
    rng = random.Random(23)
    before = await scrape(port)
    requests = []
    for i in range(HANG_UPS):
        body = {"prompt": f"Count to {i}:", "max_tokens": 300, "ignore_eos": True, "stream": i // 4 % 4 != 3,
                "n": 1 + i % 3}
        requests.append(post_bytes("/v1/completions", body))
    left = await asyncio.gather(*(hang_up_once(port, i % 4, rng, requests[i]) for i in range(HANG_UPS)))
    after = await nothing_is_left(port, f"after {HANG_UPS} clients hung up")
    aborted = {key: value - before.get(key, 0.0) for key, value in after.items()
               if key.startswith("vllm:request_success_total") and 'finished_reason="abort"' in key}
    check("requests that had started are counted as aborted", sum(aborted.values()) > 0, aborted)
    whole = sum(exchange.whole for exchange in left)
    print(f"note: {whole} of {HANG_UPS} had a whole answer when they left", flush=True)


async def slow_readers(port):
    before = total(await scrape(port), "herd_streams_cut_total")
    long = {"prompt": "Once upon a time", "max_tokens": 1900, "ignore_eos": True, "stream": True, "logprobs": 20,
            "return_token_ids": True}
    readers = SlowReaders(port, [post_bytes("/v1/completions", long | {"seed": i, "temperature": 1.0})
                                 for i in range(SLOW_READERS)])
    reading = asyncio.create_task(readers.read())
    usual = post_bytes("/v1/completions", {"prompt": "The capital of France is", "max_tokens": 40, "ignore_eos": True,
                                           "stream": True, "stream_options": {"include_usage": True}})
    ended = await asyncio.gather(*(run(port, usual, keep=True) for _ in range(NORMAL_STREAMS)))
    events = [sum(not chunk.startswith(b":") for chunk in exchange.chunks()) for exchange in ended]  # comments apart
    check(f"{NORMAL_STREAMS} streams finish beside {SLOW_READERS} that take a byte a second",
          all(exchange.whole for exchange in ended) and events == [42] * NORMAL_STREAMS, events)
    cut = 0
    for _ in range(PATIENCE_S * 5):
        cut = total(await scrape(port), "herd_streams_cut_total") - before
        if cut == SLOW_READERS:
            break
        await asyncio.sleep(0.2)
    checks.equal("every slow reader is cut when it is out of credit", cut, SLOW_READERS)
    readers.stop()
    await reading
    checks.equal("no answer that was cut looks whole", readers.close(), 0)
    await nothing_is_left(port, "after them")


async def all_phases(server):
    for phase in (thousand_streams, hang_ups, slow_readers):
        began = time.monotonic()
        try:
            await asyncio.wait_for(phase(server.port), PATIENCE_S)
        except asyncio.TimeoutError:
            check(f"{phase.__name__} ends within {PATIENCE_S} s", False)
        print(f"note: {phase.__name__} took {time.monotonic() - began:.1f} s", flush=True)
    code = (await run(server.port, b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).status
    checks.equal("the server is ready for more", code, 200)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with TestFolder() as folder, Server(sys.argv[1], *SERVER_FLAGS, folder=folder, checks=checks) as server:
        server.await_event_ids()
        asyncio.run(all_phases(server))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
