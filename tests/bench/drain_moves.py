#!/usr/bin/env python3
"""What a drain costs with KV blocks that move and without: a cluster of two nodes with a replica each, streams with long prompts on
both; one node is drained, and its streams go on at the other. How long until the node has drained, the largest gap of the streams that
moved, and how many tokens were computed again. Every stream is compared with that of the same prompt undisturbed.

    drain_moves.py HERD [MODEL] [--streams 8] [--prompt-tokens 1000] [--tokens 200] [--rounds 3] [--json FILE]
"""
import argparse
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster_process import ClusterFile, UpCluster
from serve_load import cpu_model
from serve_process import DEMO_MODEL, Checks, TestFolder, wait_until

VOCABULARY = 4000     # token ids of prompts lie below it
BEGUN_TOKENS = 20     # of each stream, before the drain
PATIENCE_S = 300

checks = Checks()


class Stream(threading.Thread):
    """One completion: its token ids, and when each came."""

    def __init__(self, gateway, model, prompt, tokens):
        super().__init__(daemon=True)
        self.gateway, self.ids, self.times = gateway, [], []
        self.body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True,
                     "return_token_ids": True}
        self.start()

    def run(self):
        self.gateway.stream("/v1/completions", self.body, {}, self.on_event)

    def on_event(self, event):
        if event.done:
            return
        for choice in event.json().get("choices", []):
            ids = choice.get("token_ids") or []
            self.ids += ids
            if ids:
                self.times.append(time.monotonic())

    def gap_after(self, moment):
        """The longest time between two of its tokens, of which the later came after that."""
        return max((after - before for before, after in zip(self.times, self.times[1:]) if after > moment), default=0.0)


def total(cluster, family):
    """A counter of all leaders that there are, by replica."""
    snapshot, found = cluster.status(), {}
    for leader in (rank for rank in snapshot.of("rank") if rank.leader and rank.pid):
        found[leader.replica] = sum(value for (name, labels), value in snapshot.page(leader).items()
                                    if name == family and ("direction", "out") not in labels)
    return found


def grown(before, after, replica):
    return after.get(replica, 0) - before.get(replica, 0)


def round_of(herd, flags, folder, moves, prompts, reference):
    file = ClusterFile(folder, model=flags.model, tensor_parallel=1, data_parallel=2, nodes=2, more={"kv": {"enable_kv_moves": moves}})
    with UpCluster(herd, file, checks=checks) as cluster:
        cluster.await_serving()
        model = cluster.gateway().get("/v1/models").json()["data"][0]["id"]
        streams = [Stream(cluster.gateway(), model, prompt, flags.tokens) for prompt in prompts]
        wait_until(lambda: all(len(stream.ids) >= BEGUN_TOKENS for stream in streams), PATIENCE_S)
        there = cluster.status().leader("replica-1").replica
        before = {family: total(cluster, family) for family in ("vllm:prompt_tokens_total", "vllm:prompt_tokens_cached_total",
                                                                "herd_kv_moved_bytes_total")}
        drained = cluster.status().leader("replica-0").node
        began = time.monotonic()
        subprocess.run([herd, "drain", drained, "--config", str(cluster.path), "--timeout", "120"], capture_output=True, check=True)
        drain_s = time.monotonic() - began
        for stream in streams:
            stream.join(PATIENCE_S)
        after = {family: total(cluster, family) for family in before}
        ids = [stream.ids for stream in streams]
        if reference:
            checks.check(f"{'with' if moves else 'without'} moves: every stream is that of the undisturbed cluster", ids == reference)
        computed = grown(before["vllm:prompt_tokens_total"], after["vllm:prompt_tokens_total"], there) - grown(
            before["vllm:prompt_tokens_cached_total"], after["vllm:prompt_tokens_cached_total"], there)
        return {"drain_s": drain_s, "gap_s": max(stream.gap_after(began) for stream in streams), "recomputed_tokens": computed,
                "moved_bytes": grown(before["herd_kv_moved_bytes_total"], after["herd_kv_moved_bytes_total"], there)}


def undisturbed(herd, flags, folder, prompts):
    file = ClusterFile(folder, model=flags.model, tensor_parallel=1, data_parallel=2, nodes=2)
    with UpCluster(herd, file, checks=checks) as cluster:
        cluster.await_serving()
        model = cluster.gateway().get("/v1/models").json()["data"][0]["id"]
        streams = [Stream(cluster.gateway(), model, prompt, flags.tokens) for prompt in prompts]
        for stream in streams:
            stream.join(PATIENCE_S)
        return [stream.ids for stream in streams]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("model", nargs="?", default=DEMO_MODEL)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    flags.model = Path(flags.model).resolve()
    rng = random.Random(1)
    prompts = [[rng.randrange(10, VOCABULARY) for _ in range(flags.prompt_tokens)] for _ in range(flags.streams)]
    rows = {True: [], False: []}
    print(cpu_model(), flush=True)
    with TestFolder() as folder:
        reference = undisturbed(flags.herd, flags, folder, prompts)
        for at in range(flags.rounds):
            for moves in ((True, False) if at % 2 == 0 else (False, True)):
                rows[moves].append(round_of(flags.herd, flags, folder, moves, prompts, reference))
    for moves, measured in rows.items():
        middle = {name: statistics.median(each[name] for each in measured) for name in measured[0]}
        print(f"{'with moves' if moves else 'without'}: drained after {middle['drain_s']:.2f} s, largest gap {middle['gap_s']:.2f} s, "
              f"{middle['recomputed_tokens']:.0f} tokens computed again, {middle['moved_bytes'] / 1e6:.1f} MB moved "
              f"(medians of {len(measured)})", flush=True)
    if flags.json:
        flags.json.write_text(json.dumps({"cpu": cpu_model(), "with": rows[True], "without": rows[False]}, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
