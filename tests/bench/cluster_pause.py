#!/usr/bin/env python3
"""How long clients wait when a process of a cluster is killed, or stopped for 1 to 8 s: the largest gap between two events of any of nine
streams, by role, with one replica and with two, beside that of streams that nothing happened to; and until everybody serves again. TP 2,
demo model. Each figure stands beside its bar.

    cluster_pause.py HERD [--signal KILL] [--roles rank,leader,…] [--replicas 1,2] [--repeats 30] [--model PATH] [--output-json FILE]

The client runs on the cores of the cluster. Where nobody else has what was stopped (a gateway whose clients stay; all ranks of the only
replica) the figure is what clients waited beyond the stop.
"""
import argparse
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster_process import ClusterFile, UpCluster
from cluster_strikes import ROLES, STRUCK, TOKENS, Kill, Setting, Stop, strike
from fault_streams import Streams, largest_gap
from serve_load import cpu_model, percentile
from serve_process import DEMO_MODEL, Checks, TestFolder

BARS_S = {"KILL": 1.0, "STOP": 3.5}  # p99, demo model
STOPPED_S = (1, 8)
STOPPED_ROLES = (*ROLES, "gateway")

checks = Checks()
figures = []


def figure(name, values, bar=None):
    """A row: p50, p99, the largest; against its bar where there is one."""
    p50, p99 = (percentile(values, share) for share in (0.5, 0.99))
    text = f"{name}: p50 {p50:.3f} s, p99 {p99:.3f} s, max {max(values):.3f} s of {len(values)}"
    figures.append({"name": name, "p50_s": p50, "p99_s": p99, "max_s": max(values), "count": len(values), "bar_s": bar})
    if bar is None:
        print(f"  {text}", flush=True)
    else:
        checks.check(f"{text}; bar p99 {bar:g} s", p99 <= bar)


def rows(setting, flags, folder, replicas):
    rng = random.Random(replicas)
    where = f"{replicas} replica{'s' * (replicas > 1)}"
    bar = BARS_S[flags.signal] if flags.model == DEMO_MODEL else None
    stops = flags.signal == "STOP"
    file = ClusterFile(folder, model=flags.model, nodes=replicas, data_parallel=replicas)
    with UpCluster(flags.herd, file, checks=checks) as cluster:
        cluster.await_serving()
        requests = [*setting.neighbours, STRUCK[0]]
        calm = [largest_gap(Streams(cluster.gateway(), requests).join(600)) for _ in range(flags.repeats)]
        figure(f"{where}, nothing happens", calm)
        for role in flags.roles.split(",") if flags.roles else STOPPED_ROLES if stops else ROLES:
            name = f"{where}, {'SIGSTOP' if stops else 'kill -9'} of {role}"
            done = [strike(setting, cluster, role, STRUCK[at % 2], rng.randrange(TOKENS // 2),
                           fault=Stop(rng.uniform(*STOPPED_S)) if stops else Kill()) for at in range(flags.repeats)]
            done = [each for each in done if each]
            wrong = [found for each in done for found in each.wrong]
            checks.check(f"{name}: {len(done)} times 9 answers of an undisturbed server", done and not wrong,
                         f"{len(wrong)} wrong; {wrong[:1]}")
            counted = [each for each in done if stops or each.counts]  # a stop that nobody noticed was waited for
            if counted:
                waits = stops and (role == "gateway" or (role == "node with its ranks" and replicas == 1))
                pauses = [max(0.0, each.pause_s - each.fault.seconds) if waits else each.pause_s for each in counted]
                figure(name + ", beyond the stop" * waits, pauses, bar)
                figure(f"{name}, until all serve again", [each.back_s for each in counted])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--signal", choices=BARS_S, default="KILL")
    parser.add_argument("--roles", help="all of them, unless named")
    parser.add_argument("--replicas", default="1,2")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--model", type=Path, default=DEMO_MODEL, help="another one has no bar")
    parser.add_argument("--output-json", type=Path)
    flags = parser.parse_args()
    print(cpu_model(), flush=True)
    with TestFolder() as folder:
        setting = Setting(flags.herd, folder, checks, flags.model)
        for replicas in map(int, flags.replicas.split(",")):
            rows(setting, flags, folder, replicas)
    if flags.output_json:
        flags.output_json.write_text(json.dumps({"cpu": cpu_model(), "figures": figures}, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
