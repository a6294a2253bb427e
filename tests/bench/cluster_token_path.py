#!/usr/bin/env python3
"""What a token costs more when it comes from another process: `herd serve` in one process against gateway -> leader over loopback TLS, at
1, 32 and 256 streams. Time: of a stream's mean gap between two tokens, and to its first one. CPU: of all threads of all processes but
those that compute (they are niced), per token. Both run side by side and take turns; medians of pairs stand beside their bars.

    cluster_token_path.py HERD [--streams 1,32,256] [--pairs 9] [--tokens 256] [--output-json FILE]

One rank and one compute thread on either side; the client runs on the same cores.
"""
import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster_process import ClusterFile, UpCluster, make_certificates
from serve_load import CpuTimes, cpu_model, post_bytes, run
from serve_process import Checks, Server, TestFolder

BARS = {32: (150.0, 30.0)}  # streams -> µs of time, µs of CPU that a token may cost more
VOCABULARY = 4000           # of the demo model: ordinary tokens
PROMPT_TOKENS = 16

checks = Checks()


@dataclass
class Round:
    """Seconds; CPU ones per token."""
    gap: float
    first: float
    serving: float
    computing: float


def cpu_seconds(pids):
    """(serving, computing)"""
    threads = [CpuTimes.of(pid).threads for pid in pids]
    computing = sum(each.get("compute", 0.0) for each in threads)
    return sum(sum(each.values()) for each in threads) - computing, computing


async def measure(port, pids, streams, tokens, seed):
    rng = random.Random(seed)
    requests = [post_bytes("/v1/completions", {"prompt": [rng.randrange(10, VOCABULARY) for _ in range(PROMPT_TOKENS)], "stream": True,
                                               "max_tokens": tokens, "ignore_eos": True, "temperature": 0}) for _ in range(streams)]
    before = cpu_seconds(pids)
    exchanges = await asyncio.gather(*(run(port, request) for request in requests))
    after = cpu_seconds(pids)
    if not all(each.status == 200 and each.whole and each.frames == tokens + 1 for each in exchanges):
        raise RuntimeError("a stream was not whole")
    count = streams * tokens
    return Round(statistics.mean((each.times[-1] - each.times[0]) / (tokens - 1) for each in exchanges),
                 statistics.mean(each.times[0] - each.sent_at for each in exchanges),
                 *((later - earlier) / count for earlier, later in zip(before, after)))


def compared(sides, streams, pairs, tokens):
    """[(in one process, in a cluster)], each going first in every other pair."""
    found = []
    for pair in range(pairs + 1):
        rounds = {}
        for name in sorted(sides, reverse=pair % 2 == 1):
            rounds[name] = asyncio.run(measure(*sides[name], streams, tokens, pair))
            time.sleep(0.2)
        if pair > 0:  # the first one warms
            found.append((rounds["one process"], rounds["cluster"]))
    return found


def report(streams, found):
    def added(part):
        return 1e6 * statistics.median(getattr(cluster, part) - getattr(one, part) for one, cluster in found)

    def medians(part):
        return " / ".join(f"{1e6 * statistics.median(getattr(pair[side], part) for pair in found):.0f}" for side in (0, 1))

    row = {"streams": streams, "pairs": len(found), **{f"added_{part}_us": added(part) for part in Round.__dataclass_fields__},
           "rounds": [[one.__dict__, cluster.__dict__] for one, cluster in found]}
    text = (f"{streams:>3} streams: a token takes {added('gap'):+.0f} µs of time ({medians('gap')}), {added('serving'):+.1f} µs of CPU "
            f"({medians('serving')}); computing {added('computing'):+.1f} µs of CPU ({medians('computing')}); "
            f"to the first token {added('first'):+.0f} µs ({medians('first')})")
    if streams in BARS:
        time_us, cpu_us = BARS[streams]
        checks.check(f"{text}; bars {time_us:g} and {cpu_us:g} µs", added("gap") <= time_us and added("serving") <= cpu_us)
    else:
        print(f"  {text}", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--streams", type=lambda text: [int(part) for part in text.split(",")], default=[1, 32, 256])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--output-json", type=Path)
    flags = parser.parse_args()
    gc.disable()
    print(cpu_model(), flush=True)
    most = max(flags.streams)
    rows = []
    with TestFolder() as folder:
        file = ClusterFile(folder, tensor_parallel=1, certificates=make_certificates(flags.herd, folder / "certificates", 1, 1),
                           more={"scheduler": {"max_num_seqs": most}})
        file.content["nodes"][0]["threads"] = 1
        with Server(flags.herd, "--threads", 1, "--max-num-seqs", most, folder=folder, checks=checks) as server, \
             UpCluster(flags.herd, file.write(), checks=checks) as cluster:
            members = cluster.await_serving().members
            sides = {"one process": (server.port, [server.process.pid]),
                     "cluster": (cluster.gateway().port, [member.pid for member in members])}
            rows = [report(streams, compared(sides, streams, flags.pairs, flags.tokens)) for streams in flags.streams]
    if flags.output_json:
        flags.output_json.write_text(json.dumps({"cpu": cpu_model(), "rows": rows}, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
