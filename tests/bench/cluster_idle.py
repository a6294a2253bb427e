#!/usr/bin/env python3
"""What a cluster that has nothing to do costs: shares of a core, times a second that its threads wake up, and memory, by process. The
demo cluster of `herd up`: a gateway, a coordinator, two nodes, four ranks.

    cluster_idle.py HERD [--seconds 60] [--output-json FILE]
"""
import argparse
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster_process import UpCluster
from serve_load import cpu_model
from serve_process import Checks

BAR = 0.04    # of a core, all processes together
SETTLE_S = 5  # after the last request: what was begun for it has ended
checks = Checks()


@dataclass
class Use:
    cpu_s: float
    wakeups: int
    rss_bytes: int

    @staticmethod
    def of(pid):
        cpu_ns = wakeups = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            cpu_ns += int((task / "schedstat").read_text().split()[0])
            wakeups += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)[1])
        rss_kb = int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])
        return Use(cpu_ns * 1e-9, wakeups, rss_kb * 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--output-json", type=Path)
    flags = parser.parse_args()
    print(cpu_model(), flush=True)
    figures = []
    with UpCluster(flags.herd, checks=checks) as cluster:
        members = cluster.await_serving().members
        answer = cluster.gateway().post("/v1/completions", {"prompt": "The capital of France is", "max_tokens": 32})
        checks.equal("it has answered", answer.status, 200)
        time.sleep(SETTLE_S)
        pids = {"up": cluster.up.pid} | {f"{member.role} {member.name}": member.pid for member in members}
        before, began = {name: Use.of(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(flags.seconds)
        after, wall = {name: Use.of(pid) for name, pid in pids.items()}, time.monotonic() - began
        checks.equal("nobody was restarted meanwhile", cluster.status().epochs(), cluster.told.epochs())
    for name in pids:
        share, wakeups = (after[name].cpu_s - before[name].cpu_s) / wall, (after[name].wakeups - before[name].wakeups) / wall
        figures.append({"name": name, "cores": share, "wakeups_per_s": wakeups, "rss_bytes": after[name].rss_bytes})
        print(f"  {name}: {100 * share:.2f} % of a core, {wakeups:.0f} wake-ups/s, {after[name].rss_bytes / 2**20:.0f} MiB", flush=True)
    total = sum(figure["cores"] for figure in figures)
    checks.check(f"all {len(figures)} processes: {100 * total:.2f} % of a core, {sum(each['wakeups_per_s'] for each in figures):.0f} "
                 f"wake-ups/s; bar {100 * BAR:g} % of a core", total <= BAR)
    if flags.output_json:
        flags.output_json.write_text(json.dumps({"cpu": cpu_model(), "seconds": wall, "figures": figures}, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
