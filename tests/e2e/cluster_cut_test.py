#!/usr/bin/env python3
"""What networks do to a cluster in the middle of streams: one machine no longer hears the other one while the other hears it, a machine
loses its power while its cable is out, cables come and go; bytes come late, in pieces, not to their end, or with a bit changed. All
streams complete, and each answer is that of an undisturbed `herd serve`, to the byte. Machines are network namespaces; needs no root;
standard library only.

    cluster_cut_test.py HERD [--full] [--repeats 1] [--seed N] [--only PART]

A sample of the faults, or with --full all; the parts side by side. Each fault must raise an attempt or an epoch, or it would not have
been one. Where only the coordinator is not heard nothing depends on it, so a rank is killed meanwhile, whose replica needs an epoch.
"""
import argparse
import random
import sys
import threading
import time

from byte_proxy import BACK, FORTH, ByteProxy
from cluster_process import ClusterFile, NotWhole, RoleCluster, make_certificates
from cluster_strikes import Setting, kill_all
from cluster_traffic import in_traffic
from machines import HERE, Machine, Machines, enter_namespace
from serve_process import Checks, TestFolder, wait_until

THERE, YONDER = "there", "yonder"  # machines of the second node, and of the coordinator; all else is here
AT_ONCE = 3                        # so many streams that no replica is fast enough to get all of them
CUT_S = (4, 7)                     # longer than a peer may be silent, shorter than a node may stay away
FLAPS, FLAPS_MAX, OUT_S, IN_S = 4, 40, (0.2, 3.5), (0.1, 1.5)
LATE_S, PIECE_BYTES, HELD_S = 0.05, 7, 4
NOTICED_S = 20                     # a bound, not a measure

checks = Checks()


class Cables:
    """What is done to the cables of a cluster on three machines."""

    def __init__(self, machines, cluster, rng):
        self.machines, self.cluster, self.rng = machines, cluster, rng

    def one_way(self, sender, receiver, dying=None):
        """A rank of the node `dying` is killed meanwhile."""
        def happens(before):
            self.machines.cut(sender, receiver)
            if dying:
                kill_all([next(rank.pid for rank in before.of("rank") if rank.node == dying and not rank.leader)])
            time.sleep(self.rng.uniform(*CUT_S))
            self.machines.heal(sender, receiver)
        return f"{receiver} does not hear {sender}{f', and a rank of {dying} is killed' if dying else ''}", happens

    def out(self):
        def happens(_):
            self.machines.cable(THERE, "down")
            time.sleep(self.rng.uniform(*CUT_S))
            self.machines.cable(THERE, "up")
        return "a cable is out for a while", happens

    def half_open(self):
        """Nobody over here is told that the other ends of their connections are gone."""
        def happens(before):
            self.machines.cable(THERE, "down")
            kill_all([rank.pid for rank in before.of("rank") if rank.node == "node-2"])
            self.cluster.started.pop("node-2").kill()
            self.machines.cable(THERE, "up")
            time.sleep(1)
            self.cluster.start("node", "node-2")
        return "a machine loses its power while its cable is out", happens

    def loose(self):
        return self.flapping("a cable comes and goes", lambda: self.machines.cable(THERE, "down"),
                             lambda: self.machines.cable(THERE, "up"))

    def flapping(self, name, cut, heal):
        """Until something was lost by it, and often enough."""
        def happens(_):
            attempts = self.cluster.attempts()
            for flap in range(1, FLAPS_MAX):
                cut()
                time.sleep(self.rng.uniform(*OUT_S))
                heal()
                time.sleep(self.rng.uniform(*IN_S))
                if flap >= FLAPS and self.cluster.attempts() > attempts:
                    break
        return name, happens

    def away(self):
        """The coordinator takes the node for gone and places its replica elsewhere; gateways and leader still hear each other."""
        def happens(before):
            replica = next(rank.replica for rank in before.of("rank") if rank.node == "node-2")
            for each in ((THERE, YONDER), (YONDER, THERE)):
                self.machines.cut(*each)
            self.await_epoch(replica, before.epochs()[replica])
            for each in ((THERE, YONDER), (YONDER, THERE)):
                self.machines.heal(*each)
        return f"{THERE} and {YONDER} do not hear each other until a replica is placed elsewhere", happens

    def await_epoch(self, replica, beyond):
        if not wait_until(lambda: (now := self.cluster.status()) and now.replica_epochs[replica] > beyond, NOTICED_S):
            raise NotWhole(f"{replica} is placed nowhere: {self.cluster.status().line}")

    def all(self):
        yield self.one_way(HERE, THERE)
        yield self.one_way(THERE, HERE)
        yield from self.coordinators()
        yield self.out()
        yield self.half_open()
        yield self.loose()
        yield self.flapping(f"{HERE} hears {THERE} now and then", lambda: self.machines.cut(THERE, HERE),
                            lambda: self.machines.heal(THERE, HERE))
        yield self.away()

    def coordinators(self):
        return [self.one_way(*each) for each in ((THERE, YONDER, "node-2"), (YONDER, THERE, "node-2"), (HERE, YONDER, "node-1"),
                                                 (YONDER, HERE, "node-1"))]

    def sample(self):
        yield self.one_way(HERE, THERE)
        yield self.one_way(THERE, HERE)
        yield self.rng.choice(self.coordinators())
        yield self.half_open()
        yield self.loose()


def cables(setting, flags, folder, certificates):
    with Machines(THERE, YONDER) as machines:
        file = ClusterFile(folder, data_parallel=2, hosts=[machines.addresses[HERE], machines.addresses[THERE]], devices=4,
                           coordinator_host=machines.addresses[YONDER], certificates=certificates)
        with RoleCluster(flags.herd, file, checks, {"node-2": machines.enter(THERE), "coordinator": machines.enter(YONDER)}) as cluster:
            faults = Cables(machines, cluster, random.Random(flags.seed))
            for name, happens in faults.all() if flags.full else faults.sample():
                in_traffic(checks, setting, cluster, name, happens, AT_ONCE)


class Bytes:
    """What is done to the bytes between a gateway and a leader, and between a node and its coordinator."""

    def __init__(self, cluster, leader, coordinator):
        self.cluster, self.leader, self.coordinator = cluster, leader, coordinator

    def late(self):
        def happens(_):
            attempts = self.cluster.attempts()
            for proxy in (self.leader, self.coordinator):
                proxy.harm.delay_s, proxy.harm.piece_bytes = LATE_S, PIECE_BYTES
            time.sleep(HELD_S)
            checks.equal("bytes that come late are no reason to begin an attempt again", self.cluster.attempts(), attempts)
            self.hold()
            for proxy in (self.leader, self.coordinator):
                proxy.harm.delay_s = proxy.harm.piece_bytes = 0
        return f"bytes come late and in pieces of up to {PIECE_BYTES}, then none for {HELD_S} s", happens

    def hold(self):
        self.leader.harm.flow.clear()
        time.sleep(HELD_S)
        self.leader.harm.flow.set()

    def to_leader(self, what, way):
        def happens(_):
            carried = self.leader.carried
            what(way)
            checks.check(f"{what.__name__} {way}: the connection is over, and another one is made",
                         wait_until(lambda: self.leader.harm.done() and self.leader.carried > carried, NOTICED_S))
        return f"{what.__name__} {way}, a gateway's connection with a leader", happens

    def to_coordinator(self, what, way):
        """A node's connection with the coordinator: once it is made again the cluster's epoch rises."""
        def happens(before):
            what(way)
            wait_until(self.coordinator.harm.done, NOTICED_S)
            self.cluster.await_serving(beyond={name: before.epochs()[name] for name in before.named("coordinator")})
        return f"{what.__name__} {way}, a node's connection with the coordinator", happens

    def all(self):
        yield self.late()
        for way in (FORTH, BACK):
            yield self.to_leader(self.leader.harm.flip, way)
            yield self.to_leader(self.leader.harm.tear, way)
            yield self.to_coordinator(self.coordinator.harm.flip, way)
            yield self.to_coordinator(self.coordinator.harm.tear, way)


def harmed_bytes(setting, flags, folder, certificates):
    """Two machines without a cable: a proxy is all that is between the only node and the others. Without certificates the frames' own
    checksums are what finds a changed bit."""
    here, there = Machine(HERE), Machine(THERE)
    name = "bytes, TLS" if certificates else "bytes, no TLS"
    file = ClusterFile(folder, hosts=["127.0.0.2"], coordinator_host="127.0.0.1", certificates=certificates)
    try:
        with ByteProxy(here, there, "127.0.0.2", file.node_ports["node-1"]) as leader, \
                ByteProxy(there, here, "127.0.0.1", file.coordinator_port) as coordinator, \
                RoleCluster(flags.herd, file, checks, {"node-1": there.enter}) as cluster:
            for what, happens in Bytes(cluster, leader, coordinator).all():
                in_traffic(checks, setting, cluster, f"{name}: {what}", happens)
    finally:
        there.end()


class Part(threading.Thread):
    def __init__(self, name, flags, does):
        super().__init__()
        self.shown, self.repeats, self.does = name, flags.repeats, does

    def run(self):
        began = time.monotonic()
        try:
            for _ in range(self.repeats):
                self.does()
        except Exception as error:  # a thread's own is seen by nobody
            checks.check(f"{self.shown}: goes on to its end", False, f"{type(error).__name__}: {error}")
        print(f"note: {self.shown}: {time.monotonic() - began:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=("cables", "bytes, TLS", "bytes, no TLS"))
    flags = parser.parse_args()
    if not enter_namespace(checks):
        return 0
    flags.seed = random.randrange(1 << 32) if flags.seed is None else flags.seed
    print(f"note: --seed {flags.seed}", flush=True)
    random.seed(flags.seed)
    with TestFolder() as folder:
        Machine(HERE)
        setting, certificates = Setting(flags.herd, folder, checks), make_certificates(flags.herd, folder / "certificates", 2, 1)
        parts = [Part("cables", flags, lambda: cables(setting, flags, folder, certificates)),
                 Part("bytes, TLS", flags, lambda: harmed_bytes(setting, flags, folder, certificates)),
                 Part("bytes, no TLS", flags, lambda: harmed_bytes(setting, flags, folder, None))]
        parts = [part for part in parts if flags.only in (None, part.shown)]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
