#!/usr/bin/env python3
"""kill -9 and SIGSTOP, with SIGCONT after 1 to 8 s, of every role of a cluster in the middle of streams, at random and at every index of a
64-token stream: all streams complete, and each answer is that of an undisturbed `herd serve`, to the byte. Those of a gateway that is
killed, or silent, go on at another one with Last-Event-ID. Standard library only.

    cluster_fault_test.py HERD [--faults 500] [--clusters 6] [--seed N] [--kinds kill,stop] [--roles rank,leader,…]
    cluster_fault_test.py HERD --node-slowed 20

A fault counts only when an attempt or an epoch rose: a stop that is over before anybody misses the process does not, and another one
takes its place. Faults run on several clusters at a time, with one replica and with two, each with two gateways; a seed gives the same
ones in each of a role's turns. How long clients waited is printed, and judged by tests/bench/cluster_pause.py. --node-slowed N: a node
and its ranks run a part of the time only, N times slower: its streams move to the other one, until it is as fast as before.
"""
import argparse
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from cluster_process import ClusterFile, UpCluster
from cluster_strikes import KILLED_ROLES, STOPPED_ROLES, STRUCK, TOKENS, Kill, Setting, Stop, strike, victims_of
from cluster_traffic import in_traffic
from duty_cycle import DutyCycle
from fault_streams import demo_requests
from serve_process import Checks, TestFolder, wait_until

STOPPED_S = (1, 8)
LONG_TOKENS = 800
EJECTED_S = 30  # a bound, not a measure
TRIES = 3  # for each fault that shall count
ROLES_OF = {"kill": KILLED_ROLES, "stop": STOPPED_ROLES}

checks = Checks()


@dataclass
class Row:
    """A kind of fault of a role: what is still to be done, and what was."""
    kind: str
    role: str
    wanted: int
    rng: random.Random
    indices: list = field(default_factory=list)
    tried: int = 0
    under_way: int = 0
    done: list = field(default_factory=list)  # Strikes

    @property
    def name(self):
        return f"{'kill -9' if self.kind == 'kill' else 'SIGSTOP, SIGCONT'} of {self.role}"

    @property
    def counted(self):
        return [each for each in self.done if each.counts]

    def missing(self):
        if self.tried >= TRIES * self.wanted:
            return 0
        return self.wanted - len(self.counted) - self.under_way

    def draw(self):
        """(fault, request, index); every index comes before one comes again."""
        if not self.indices:
            self.indices = self.rng.sample(range(TOKENS), TOKENS)
        fault = Kill() if self.kind == "kill" else Stop(self.rng.uniform(*STOPPED_S))
        return fault, self.rng.choice(STRUCK), self.indices.pop()


class Plan:
    """Who does what next; asked by the threads of all clusters."""

    def __init__(self, flags):
        pairs = [(kind, role) for kind in flags.kinds for role in ROLES_OF[kind] if flags.roles is None or role in flags.roles]
        self.rows = [Row(kind, role, flags.faults // len(pairs) + (at < flags.faults % len(pairs)), random.Random(f"{flags.seed} {at}"))
                     for at, (kind, role) in enumerate(pairs)]
        self.failure = None
        self._lock = threading.Lock()

    def next(self):
        """The row of which most is missing; None when all is done, or something failed."""
        with self._lock:
            row = max(self.rows, key=Row.missing)
            if self.failure or row.missing() <= 0:
                return None
            row.tried += 1
            row.under_way += 1
            return row, row.draw()

    def end(self, row, done):
        """A Strike; None where the stream had ended before."""
        with self._lock:
            row.under_way -= 1
            if done:
                row.done.append(done)
                print(f"note: {done.shown()}", flush=True)


class Settings:
    """What the streams of a fault are compared with."""

    def __init__(self, herd, folder):
        self._usual = Setting(herd, folder, checks)
        self._long = Setting(herd, folder, checks, neighbours=demo_requests(LONG_TOKENS))

    def of(self, row):
        """A gateway that is stopped keeps the tokens that its leaders send. So that something is lost by it, its neighbours' streams must
        still be computed when the leaders miss it."""
        return self._long if (row.kind, row.role) == ("stop", "gateway") else self._usual


def faults_on(plan, settings, cluster):
    while turn := plan.next():
        row, (fault, request, index) = turn
        plan.end(row, strike(settings.of(row), cluster, row.role, request, index, fault=fault))


class Lane(threading.Thread):
    """A cluster and its faults."""

    def __init__(self, plan, settings, herd, folder, replicas):
        super().__init__()
        self.plan, self.settings, self.herd, self.replicas = plan, settings, herd, replicas
        self.file = ClusterFile(folder, nodes=replicas, data_parallel=replicas, gateways=2)

    def run(self):
        try:
            with UpCluster(self.herd, self.file, checks=checks) as cluster:
                faults_on(self.plan, self.settings, cluster)
        except Exception as error:  # a thread's own is seen by nobody
            self.plan.failure = self.plan.failure or f"{self.file.name}, {self.replicas} replicas: {error}"


def judge(row):
    tokens = sorted({each.index for each in row.done})
    print(f"note: {row.name}: at tokens {tokens}, {row.tried} tried", flush=True)
    checks.check(f"{row.name}: {row.wanted} count", len(row.counted) >= row.wanted, f"{len(row.counted)} of {row.tried}")
    wrong = [f"{each.shown()}: {found}" for each in row.done for found in each.wrong]
    checks.check(f"{row.name}: {9 * len(row.done)} answers of an undisturbed server", not wrong, f"{len(wrong)} wrong; {wrong[:2]}")
    wider = [f"{each.shown()}: {each.beside}" for each in row.done if each.beside]
    checks.check(f"{row.name}: nothing else is lost", not wider, wider)
    pauses = sorted(each.pause_s for each in row.counted)
    if pauses:
        print(f"note: {row.name}: pauses: half below {pauses[len(pauses) // 2]:.2f} s, the largest {pauses[-1]:.2f} s", flush=True)


def every_fault(flags, settings, folder):
    plan = Plan(flags)
    lanes = [Lane(plan, settings, flags.herd, folder, 1 + (at > 0)) for at in range(flags.clusters)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    checks.check("every cluster lasts to the end", not plan.failure, plan.failure)
    for row in plan.rows:
        judge(row)
    counted = Counter()
    for row in plan.rows:
        counted[row.kind] += len(row.counted)
    print(f"note: counted: {dict(counted)}", flush=True)


def node_slowed(flags, folder):
    setting = Setting(flags.herd, folder, checks)
    with UpCluster(flags.herd, ClusterFile(folder, nodes=2, data_parallel=2), checks=checks) as cluster:
        slow = cluster.await_serving().leader("replica-1")

        def slowed(before):
            ejections = ejections_by(cluster)
            pids, _ = victims_of(before, "node with its ranks", slow.replica)
            with DutyCycle(flags.node_slowed, pids):
                checks.check("a slow node: its replica rests", wait_until(lambda: ejections_by(cluster) > ejections, EJECTED_S),
                             f"{ejections_by(cluster)} rests")
            made = tokens_made(before, slow)
            checks.check("a node that was slow: its replica has streams again",
                         wait_until(lambda: tokens_made(before, slow) > made + TOKENS, EJECTED_S))

        rose = in_traffic(checks, setting, cluster, f"a node {flags.node_slowed:g} times slower", slowed, at_once=2)
        checks.check("a slow node: its streams move, and it is not taken for dead", rose["attempts"] and not rose[slow.replica], rose)


def ejections_by(cluster):
    return sum(value for (name, _), value in cluster.gateway().metrics().items() if name == "herd_replica_ejections_total")


def tokens_made(snapshot, leader):
    return sum(value for (name, _), value in snapshot.page(leader).items() if name == "vllm:generation_tokens_total")


def words(text):
    return text.split(",")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--faults", type=int, default=52, help="how many shall count, over all kinds and roles")
    parser.add_argument("--clusters", type=int, default=6, help="how many at a time; the first one has one replica, the others two")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--kinds", type=words, default=list(ROLES_OF))
    parser.add_argument("--roles", type=words)
    parser.add_argument("--node-slowed", type=float, metavar="TIMES")
    flags = parser.parse_args()
    if flags.seed is None:
        flags.seed = random.randrange(1 << 32)
    print(f"note: --seed {flags.seed}", flush=True)
    with TestFolder() as folder:
        began = time.monotonic()
        if flags.node_slowed:
            node_slowed(flags, folder)
        else:
            every_fault(flags, Settings(flags.herd, folder), folder)
        print(f"note: {time.monotonic() - began:.1f} s", flush=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
