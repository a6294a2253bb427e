#!/usr/bin/env python3
"""What tensor parallelism costs more between processes than between threads: `herd serve -tp 2` against a cluster of one node whose two
ranks are processes. One stream's decode, and the prefill of one prompt. Both run side by side and take turns; the median of the pairs'
ratios stands beside its bar.

    rank_processes.py HERD [--model MODEL] [--pairs 9] [--tokens 64] [--prompt-tokens 512] [--output-json FILE]

MODEL: the demo model, or a file of random_gguf.py for the shape of 1B.
"""
import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster_process import ClusterFile, UpCluster
from serve_load import cpu_model, post_bytes, run
from serve_process import DEMO_MODEL, Checks, Server, TestFolder

BAR = 0.90  # of what two threads do
checks = Checks()


async def stream(port, prompt, tokens):
    request = post_bytes("/v1/completions", {"prompt": prompt, "stream": True, "max_tokens": tokens, "ignore_eos": True, "temperature": 0})
    exchange = await run(port, request)
    if exchange.status != 200 or not exchange.whole or exchange.frames != tokens + 1:
        raise RuntimeError("a stream was not whole")
    return exchange


def measure(port, flags, seed):
    """Tokens a second: (decode, prefill). Every prompt is a new one, so that no cache knows its beginning."""
    rng = random.Random(seed)
    prompt = [rng.randrange(10, 250) for _ in range(flags.prompt_tokens)]
    short = asyncio.run(stream(port, prompt[:16], flags.tokens))
    long = asyncio.run(stream(port, prompt[::-1], 1))
    return (flags.tokens - 1) / (short.times[-1] - short.times[0]), flags.prompt_tokens / (long.times[0] - long.sent_at)


def pairs_of(sides, flags):
    found = []
    for pair in range(flags.pairs + 1):
        rates = {}
        for name in sorted(sides, reverse=pair % 2 == 1):
            rates[name] = measure(sides[name], flags, pair)
            time.sleep(0.2)
        if pair > 0:  # the first one warms
            found.append((rates["threads"], rates["processes"]))
    return found


def waits(cluster):
    """How the ranks wait for each other: who has CPUs of its own spins for a moment before it sleeps."""
    cpus = [sorted(os.sched_getaffinity(rank.pid)) for rank in cluster.status().of("rank")]
    apart = len(set(sum(cpus, []))) == len(sum(cpus, []))
    return f"ranks on CPUs {cpus}: {'each has its own, they spin' if apart else 'shared, they spin where there is one for each'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--model", type=Path, default=DEMO_MODEL)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--output-json", type=Path)
    flags = parser.parse_args()
    gc.disable()
    print(cpu_model(), flush=True)
    model = flags.model.resolve()
    rows = {}
    with TestFolder() as folder:
        file = ClusterFile(folder, model=model, tensor_parallel=2, more={"kv": {"kv_cache_memory": "256MiB"}})
        with Server(flags.herd, "-tp", 2, "--kv-cache-memory", "256MiB", folder=folder, model=(model,), checks=checks) as server, \
             UpCluster(flags.herd, file, checks=checks, data_parallel=1) as cluster:
            cluster.await_serving()
            print(f"  {waits(cluster)}", flush=True)
            found = pairs_of({"threads": server.port, "processes": cluster.gateway().port}, flags)
    for at, what in enumerate(("decode", "prefill")):
        threads, processes = ([pair[side][at] for pair in found] for side in (0, 1))
        ratio = statistics.median(b / a for a, b in zip(threads, processes))
        rows[what] = {"threads": threads, "processes": processes, "ratio": ratio}
        checks.check(f"{what}: {statistics.median(processes):.1f} tokens/s in two processes, {statistics.median(threads):.1f} on two "
                     f"threads: {ratio:.2f}; bar {BAR:g}", ratio >= BAR)
    if flags.output_json:
        flags.output_json.write_text(json.dumps({"cpu": cpu_model(), "rows": rows}, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
