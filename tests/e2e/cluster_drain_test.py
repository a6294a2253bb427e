#!/usr/bin/env python3
"""What an operator does to a cluster under 32 streams: nodes and replicas are drained and taken back, every process is told to end and
starts again, a node is added. No stream may fail, be refused, or differ from that of an undisturbed `herd serve`.

    cluster_drain_test.py HERD [--full] [--restarts N] [--only PART]

A sample; --full restarts every process in turn, three times. --restarts N restarts N processes and looks at those that stay: their
descriptors and threads may not become more, nor their memory. Standard library only.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from cluster_clients import PATIENCE_S, Clients
from cluster_process import ClusterFile, RoleCluster, UpCluster
from cluster_strikes import STRUCK, Setting
from fault_streams import demo_requests
from serve_process import Checks, TestFolder, wait_until

CLIENTS = 32
STREAMS_OF_A_STEP = 8  # end before the next step
TOKENS = 60
WARM = 0.2             # so much of all restarts makes the first reading: caches have filled by then

checks = Checks()


class Operator:
    """Orders of `herd drain` to a cluster, and what its status says."""

    def __init__(self, cluster):
        self.cluster = cluster

    def drain(self, target, *flags):
        words = [self.cluster.herd, "drain", target, "--config", str(self.cluster.path), "--output", "json", *map(str, flags)]
        done = subprocess.run(words, capture_output=True, timeout=PATIENCE_S, check=False)
        said = json.loads(done.stdout) if done.stdout else {}
        return done.returncode, said, done.stderr.decode(errors="replace").strip()

    def sees(self, holds, timeout_s=PATIENCE_S):
        """The first Snapshot of which that holds; None: none did in time."""
        over = time.monotonic() + timeout_s
        while time.monotonic() < over:
            snapshot = self.cluster.status()
            if snapshot and holds(snapshot):
                return snapshot
            time.sleep(0.05)
        return None


def is_drained(snapshot, target):
    return target in snapshot.content["may_be_stopped"]


class Step:
    """One thing that happens under streams: they go on behind it, and none is wrong."""

    def __init__(self, name, clients):
        self.name, self.clients = name, clients

    def __enter__(self):
        self.began, self.before = time.monotonic(), self.clients.whole()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        took = time.monotonic() - self.began
        goes_on = self.clients.await_more(STREAMS_OF_A_STEP)
        checks.check(f"{self.name}: streams go on, none is wrong", goes_on, self.clients.wrong()[:1] or "no more streams ended")
        print(f"note: {self.name}: {took:.2f} s, {self.clients.whole() - self.before} streams meanwhile", flush=True)


def drained_node(cluster, operator, clients):
    """It may be killed once it has drained, and is as drained when it is back; so it is for the next coordinator."""
    home = cluster.await_serving().leader("replica-0").node
    with Step(f"drain of {home}", clients):
        code, said, why = operator.drain(home)
        checks.check("drain of a node: it has drained when the command returns", code == 0 and said.get("may_be_stopped"), (code, said, why))
        now = cluster.status()
        checks.check("drain of a node: status says so", is_drained(now, home) and now.one("node", home).state == "draining", now.line)
        serves = operator.sees(lambda snapshot: snapshot.replicas["replica-0"] == "serving")
        checks.check("drain of a node: its replica serves on another", serves and serves.leader("replica-0").node != home,
                     serves and serves.line)
    with Step(f"kill -9 of {home}, which has drained", clients):
        attempts, pid = cluster.attempts(), now.one("node", home).pid
        os.kill(pid, signal.SIGKILL)
        back = operator.sees(lambda snapshot: snapshot.one("node", home).pid not in (0, pid))
        checks.equal("kill -9 of what may be stopped: no stream was there", cluster.attempts(), attempts)
        checks.check("a drained node that starts again is drained", back and is_drained(back, home), back and back.line)
    with Step("the coordinator is another", clients):
        before = cluster.status().of("coordinator")[0]
        os.kill(before.pid, signal.SIGKILL)
        later = operator.sees(lambda snapshot: snapshot.of("coordinator")[0].epoch > before.epoch and
                              snapshot.of("coordinator")[0].state == "serving" and snapshot.one("node", home).pid)
        checks.check("a drained node is drained for the next coordinator", later and is_drained(later, home), later and later.line)
    with Step(f"undo of {home}", clients):
        code, said, why = operator.drain(home, "--undo")
        checks.check("undo: the node takes work again", code == 0 and said["lines"] == [f"{home} takes work again"], (code, said, why))
        cluster.await_serving()


def drained_replicas(cluster, operator, clients):
    """One, while the other serves; then both: what runs is parked until one is back."""
    with Step("drain of replica-1", clients):
        code, said, why = operator.drain("replica-1")
        checks.check("drain of a replica: it has drained", code == 0 and said.get("may_be_stopped"), (code, said, why))
        now = cluster.status()
        checks.check("drain of a replica: none of its processes is left", now.replicas["replica-1"] == "draining" and
                     not any(rank.pid for rank in now.ranks("replica-1")), now.line)
        checks.check("drain of a replica: status says how it is taken back",
                     any("herd drain replica-1 --undo" in notice for notice in now.content["notices"]), now.line)
    with Step("drain of the last replica, and undo of both", clients):
        code, said, why = operator.drain("replica-0", "--timeout", 0.3)
        checks.check("drain of the last replica: it has drained", code == 0 and said.get("may_be_stopped"), (code, said, why))
        for replica in ("replica-0", "replica-1"):
            checks.equal(f"undo of {replica}", operator.drain(replica, "--undo")[0], 0)
        cluster.await_serving()


def told_models(cluster):
    """Each node's status says which files it has, and what its replicas read of them."""
    snapshot = cluster.await_serving()
    holders = {each["node"] for each in snapshot.content["replicas"]}
    nodes = [each for each in snapshot.content["processes"] if each["role"] == "node"]
    tokenizers = {node["tokenizer_digest"] for node in nodes}
    weights = {node["weights_digest"] for node in nodes if node["name"] in holders}
    spare = [node["weights_digest"] for node in nodes if node["name"] not in holders]
    named = all(len(one) == 1 and re.fullmatch("[0-9a-f]{16}", next(iter(one)) or "") for one in (tokenizers, weights))
    checks.check("status: nodes have one tokenizer and one set of weights, by their digests; one without a replica has read none",
                 named and spare == [None], nodes)


def refused_orders(cluster, operator):
    code, said, why = operator.drain("node-9")
    checks.check("drain of whom nobody knows: exit code 3, with those that are there",
                 code == 3 and not said and 'no node or replica "node-9"' in why and "node-1" in why and "replica-1" in why, (code, why))
    code, said, why = operator.drain("node-1", "--undo")
    checks.check("undo of what was not drained: it says so", code == 0 and said["lines"] == ["node-1 was not drained"], (code, said, why))
    checks.equal("drain for a time that is none: exit code 2", operator.drain("node-1", "--timeout", -1)[0], 2)


def orders(setting, herd, folder, _flags):
    file = ClusterFile(folder, tensor_parallel=1, data_parallel=2, nodes=3, gateways=2)
    with UpCluster(herd, file, checks=checks) as cluster:
        operator = Operator(cluster)
        told_models(cluster)
        refused_orders(cluster, operator)
        clients = begun(cluster, setting)
        drained_node(cluster, operator, clients)
        drained_replicas(cluster, operator, clients)
        ended(clients)


def begun(cluster, setting):
    requests = [*(each for each in setting.neighbours if each.streamed), *STRUCK]
    clients = Clients(cluster.gateways, requests, setting.reference, CLIENTS)
    checks.check(f"before: {CLIENTS} streams", clients.await_more(CLIENTS), clients.wrong()[:1])
    return clients


def ended(clients):
    checks.check("every client stops", clients.stop())
    wrong = clients.wrong()
    checks.check(f"{clients.whole()} streams of {CLIENTS} clients: none failed, none was refused, none differs", not wrong,
                 f"{len(wrong)} wrong; {wrong[:2]}")
    print(f"note: {clients.elsewhere()} times a client went to another gateway", flush=True)


def members_in_turn(snapshot):
    """Every process that ends in order on SIGTERM; ranks and leaders of every replica."""
    ranks = [rank for rank in snapshot.of("rank") if rank.pid]
    return [*snapshot.of("node"), *(rank for rank in ranks if rank.leader), *(rank for rank in ranks if not rank.leader),
            *snapshot.of("coordinator"), *snapshot.of("gateway")]


def sample_of(snapshot):
    """One of each role: the node that has most to end."""
    home = snapshot.leader("replica-0").node
    return [snapshot.one("node", home), snapshot.leader("replica-0"), snapshot.ranks("replica-1")[-1], snapshot.of("coordinator")[0],
            snapshot.of("gateway")[0]]


def restarted(cluster, clients, role, name):
    """It is told to end, and serves again as another process."""
    before = cluster.await_serving()
    member = next((each for each in before.of(role) if each.name == name), None)
    if member is None:
        return checks.check(f"{name}: is there to be restarted", False, before.line)
    with Step(f"restart of {name}{' (leader)' * member.leader}", clients):
        clients.turns[name] += 1
        os.kill(member.pid, signal.SIGTERM)
        gone = wait_until(lambda: not Path(f"/proc/{member.pid}").exists(), PATIENCE_S)
        after = Operator(cluster).sees(lambda snapshot: snapshot.serves(cluster.data_parallel, cluster.tensor_parallel) and
                                       any(each.name == name and each.pid != member.pid for each in snapshot.of(role)))
        clients.turns[name] += 1
        checks.check(f"restart of {name}: it ended, and another serves", gone and after, (member, cluster.status()))
    return member


def restarts(setting, herd, folder, flags):
    """Every role; a node that ends gives its replica to the third one."""
    file = ClusterFile(folder, tensor_parallel=2, data_parallel=2, nodes=3, gateways=2, more={"http": {"shutdown_timeout": "60s"}})
    with UpCluster(herd, file, checks=checks) as cluster:
        clients = begun(cluster, setting)
        for _ in range(3 if flags.full else 1):
            for member in (members_in_turn if flags.full else sample_of)(cluster.await_serving()):
                restarted(cluster, clients, member.role, member.name)
        ended(clients)


def added_node(setting, herd, folder, _flags):
    """Its replica has nowhere to be before; once it is there it takes part of the streams."""
    file = ClusterFile(folder, tensor_parallel=1, data_parallel=2, nodes=2, gateways=1)
    with RoleCluster(herd, file, checks=checks, late=("node-2",)) as cluster:
        operator = Operator(cluster)
        checks.check("before a node is added: one replica serves",
                     operator.sees(lambda snapshot: sorted(snapshot.replicas.values()) == ["lost", "serving"]), "no status")
        clients = begun(cluster, setting)
        with Step("a node is added", clients):
            began = time.monotonic()
            cluster.start("node", "node-2")
            there = cluster.await_serving()
            works = wait_until(lambda: runs_on(there, "replica-1") > 0, PATIENCE_S)
            checks.check("the added node has work", works, there.line)
            print(f"note: it has work {time.monotonic() - began:.2f} s after its start", flush=True)
        ended(clients)


def runs_on(snapshot, replica):
    return sum(value for (name, _), value in snapshot.page(snapshot.leader(replica)).items() if name == "vllm:num_requests_running")


def reading(pid):
    """(descriptors, threads, KiB of memory) of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    number = {key: int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("Threads", "VmRSS")}
    return len(os.listdir(f"/proc/{pid}/fd")), number["Threads"], number["VmRSS"]


def quiet_reading(cluster, names):
    """Of those that stay, while nothing runs."""
    snapshot = cluster.await_serving()
    time.sleep(1)  # so that connections of ended streams are closed
    pids = {name: next(each.pid for each in snapshot.members if each.name == name) for name in names} | {"herd up": cluster.up.pid}
    return {name: (pid, *reading(pid)) for name, pid in pids.items()}


def flat(setting, herd, folder, flags):
    """Half of the restarts are of ranks and of two nodes, the others of gateways and the coordinator; who was not restarted may not
    have grown."""
    if not flags.restarts:
        return
    file = ClusterFile(folder, tensor_parallel=1, data_parallel=2, nodes=3, gateways=2, more={"http": {"shutdown_timeout": "60s"}})
    with UpCluster(herd, file, checks=checks) as cluster:
        first = cluster.await_serving()
        halves = ((("node-1", "node-2", "replica-0/rank-0"), ("coordinator", "gateway-1", "gateway-2")),
                  (("gateway-1", "gateway-2", "coordinator"), ("node-1", "node-2", "node-3")))
        role = {member.name: member.role for member in first.members}
        for restarted_ones, staying in halves:
            count, readings = flags.restarts // 2, []
            for part in (int(count * WARM), count - int(count * WARM)):
                clients = begun(cluster, setting)
                for at in range(part):
                    name = restarted_ones[at % len(restarted_ones)]
                    restarted(cluster, clients, role[name], name)
                ended(clients)
                readings.append(quiet_reading(cluster, staying))
            grown(readings, count - int(count * WARM))


def grown(readings, count):
    for name, (pid, descriptors, threads, memory) in readings[0].items():
        later = readings[1][name]
        print(f"note: {name} over {count} restarts of others: descriptors {descriptors} -> {later[1]}, threads {threads} -> {later[2]}, "
              f"memory {memory} -> {later[3]} KiB", flush=True)
        checks.equal(f"{name}: is the same process", later[0], pid)
        checks.check(f"{name}: no more descriptors and threads after {count} restarts of others",
                     later[1] <= descriptors and later[2] <= threads, (descriptors, threads, later))
        # The smallest thing that a restart could leave behind is a connection: its buffers are 32 KiB.
        checks.check(f"{name}: less memory a restart than a connection has", later[3] - memory < 32 * count, (memory, later[3]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--full", action="store_true", help="every process, three times, instead of one of each role")
    parser.add_argument("--restarts", type=int, default=0, help="processes that are restarted while the others are watched")
    parts = {"orders": orders, "restarts": restarts, "added": added_node, "flat": flat}
    parser.add_argument("--only", choices=parts)
    flags = parser.parse_args()
    with TestFolder() as folder:
        setting = Setting(flags.herd, folder, checks, neighbours=demo_requests(TOKENS))
        for name, part in parts.items():
            if flags.only in (None, name):
                began = time.monotonic()
                part(setting, flags.herd, folder, flags)
                print(f"note: {name}: {time.monotonic() - began:.1f} s", flush=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
