#!/usr/bin/env python3
"""What running streams notice of a long prompt that arrives beside them, and what the prompt notices of them: the time between
two tokens of a stream undisturbed and while the prompt is computed, the prompt's time to its first token alone and beside the
streams. Each figure stands beside its bar and its goal.

    arriving_prompt.py HERD MODEL [--streams 1,8] [--prompt-tokens 2000] [--rounds 2] [--max-step-ms auto,0] [--json FILE]
                       [-- SERVE_FLAGS]

MODEL: a checkpoint, or a folder with a config.json and `-- --load-format random`. A server for each of --max-step-ms: auto is
what herd does by itself, 0 leaves chunks as long as --max-num-batched-tokens allows.
"""
import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from serve_load import Exchange, cpu_model, percentile, post_bytes
from serve_process import Server

STREAM_PROMPT_TOKENS = 64
UNDISTURBED_TOKENS = 40  # of each stream, before a prompt arrives
VOCABULARY = 1000  # token ids of prompts lie below it: every model has them
ITL_BAR, ITL_GOAL = 2.0, 1.5    # p99 beside the undisturbed p50
TTFT_BAR, TTFT_GOAL = 2.5, 2.0  # beside the prompt's alone


class Prompts:
    """No two share a prefix, so that each is computed."""

    def __init__(self):
        self.random = random.Random(1)

    def request(self, model, tokens, max_tokens):
        ids = [self.random.randrange(10, VOCABULARY) for _ in range(tokens)]
        return post_bytes("/v1/completions", {"model": model, "prompt": ids, "max_tokens": max_tokens, "temperature": 0,
                                              "ignore_eos": True, "stream": True})


async def open_exchange(port, request):
    _, exchange = await asyncio.get_running_loop().create_connection(lambda: Exchange(request, keep=True), "127.0.0.1", port)
    return exchange


async def first_token_seconds(port, request):
    exchange = await open_exchange(port, request)
    await exchange.ended
    if exchange.status != 200 or not exchange.times:
        raise RuntimeError(f"a prompt was answered with {exchange.status}: {exchange.body()[:300]!r}")
    return exchange.sent_at, exchange.times[0]


async def wait_for_tokens(streams, tokens):
    while any(stream.frames < tokens for stream in streams):
        if ended := [stream for stream in streams if stream.ended.done()]:
            raise RuntimeError(f"a stream ended with {ended[0].status}: {ended[0].body()[-300:]!r}")
        await asyncio.sleep(0.005)


def gaps_between(streams, begin, end):
    """Between tokens of a stream of which the later came in [begin, end)."""
    return [later - earlier for stream in streams for earlier, later in zip(stream.times, stream.times[1:])
            if begin <= later < end]


async def measure(port, model, streams, prompt_tokens, rounds, prompts):
    alone, beside, undisturbed, disturbed = [], [], [], []
    for _ in range(rounds):
        sent, first = await first_token_seconds(port, prompts.request(model, prompt_tokens, 1))
        alone.append(first - sent)
    tokens_max = rounds * (2 * UNDISTURBED_TOKENS + prompt_tokens // 8) + UNDISTURBED_TOKENS
    running = [await open_exchange(port, prompts.request(model, STREAM_PROMPT_TOKENS, tokens_max)) for _ in range(streams)]
    for _ in range(rounds):
        await wait_for_tokens(running, max(stream.frames for stream in running) + 3)
        quiet_from = time.perf_counter()
        await wait_for_tokens(running, min(stream.frames for stream in running) + UNDISTURBED_TOKENS)
        undisturbed += gaps_between(running, quiet_from, time.perf_counter())
        sent, first = await first_token_seconds(port, prompts.request(model, prompt_tokens, 1))
        beside.append(first - sent)
        disturbed += gaps_between(running, sent, first + max(undisturbed))
    for stream in running:
        stream.transport.abort()
    await asyncio.gather(*(stream.ended for stream in running))
    return alone, beside, undisturbed, disturbed


def report(max_step_ms, streams, figures):
    alone, beside, undisturbed, disturbed = figures
    p50 = percentile(undisturbed, 0.5)
    p99 = percentile(disturbed, 0.99)
    ttft_alone, ttft_beside = (percentile(values, 0.5) for values in (alone, beside))
    row = {"max_step_ms": max_step_ms, "streams": streams, "itl_undisturbed_p50_s": p50,
           "itl_undisturbed_p99_s": percentile(undisturbed, 0.99), "itl_p50_s": percentile(disturbed, 0.5), "itl_p99_s": p99,
           "itl_max_s": max(disturbed), "ttft_alone_s": ttft_alone, "ttft_s": ttft_beside, "itl_ratio": p99 / p50,
           "ttft_ratio": ttft_beside / ttft_alone}
    verdict = lambda ratio, bar, goal: "goal" if ratio <= goal else "bar" if ratio <= bar else "missed"
    print(f"{max_step_ms:>7} {streams:>7} | {1e3 * p50:8.1f} {1e3 * row['itl_p50_s']:8.1f} {1e3 * p99:8.1f} "
          f"{1e3 * row['itl_max_s']:8.1f} {row['itl_ratio']:6.2f} {verdict(row['itl_ratio'], ITL_BAR, ITL_GOAL):>7} | "
          f"{ttft_alone:7.2f} {ttft_beside:7.2f} {row['ttft_ratio']:6.2f} "
          f"{verdict(row['ttft_ratio'], TTFT_BAR, TTFT_GOAL):>7}", flush=True)
    return row


def run_server(flags, max_step_ms, serve_flags, prompts):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        with Server(flags.herd, "--max-step-ms", max_step_ms, "--served-model-name", "m", *serve_flags, folder=folder,
                    model=(flags.model,)) as server:
            for streams in flags.streams:
                figures = asyncio.run(measure(server.port, "m", streams, flags.prompt_tokens, flags.rounds, prompts))
                rows.append(report(max_step_ms, streams, figures))
    return rows


def main():
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("model")
    parser.add_argument("--streams", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8])
    parser.add_argument("--prompt-tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2, help="prompts alone, and beside the streams")
    parser.add_argument("--max-step-ms", type=lambda text: text.split(","), default=["auto", "0"])
    parser.add_argument("--json", help="also write the figures here")
    flags = parser.parse_args(words[:cut])
    print(f"{cpu_model()}; a prompt of {flags.prompt_tokens} tokens beside streams; bars: ITL p99 {ITL_BAR:g} x the undisturbed "
          f"p50 (goal {ITL_GOAL:g}), TTFT {TTFT_BAR:g} x alone (goal {TTFT_GOAL:g})")
    print("    max         | ITL, ms: p50  with the prompt:                  | TTFT, s")
    print("step ms streams |    alone      p50      p99      max  ratio         |   alone  beside  ratio")
    prompts = Prompts()
    rows = [row for ms in flags.max_step_ms for row in run_server(flags, ms, words[cut + 1:], prompts)]
    if flags.json:
        Path(flags.json).write_text(json.dumps({"cpu": cpu_model(), "prompt_tokens": flags.prompt_tokens, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
