#!/usr/bin/env python3
"""A cluster over two machines, as far as one kernel can play them: two network namespaces with a cable between them, TLS on, TP 2 x DP 2,
a replica on each. Its answers are `herd generate`'s; a rank that dies over there, a node that dies, a cable that is cut for a while
in the middle of streams change nothing of them. Needs no root; standard library only.

    cluster_netns_test.py HERD [--smollm2 GGUF] [--random-1b]

SmolLM2 with prompts of 600 tokens and a random model of the shape of Llama 3.2 1B instead of the demo model, where asked for.
"""
import argparse
import json
import random
import sys
import time

from cluster_process import ClusterFile, RoleCluster, make_certificates
from cluster_strikes import STRUCK, Setting, kill_all, strike
from equality_cases import CONFIG_1B, LONG_GROUPS, cases_of, compare, random_prompts, spell
from fault_streams import Streams
from machines import HERE, Machines, enter_namespace
from serve_process import DEMO_MODEL, Checks, TestFolder, wait_until

THERE = "there"
CUT_S = 4  # longer than a peer may be silent, shorter than a node may stay away

checks = Checks()


def cluster_on(machines, herd, folder, **options):
    certificates = folder / "certificates"
    if not certificates.exists():
        make_certificates(herd, certificates, 2, 1)
    file = ClusterFile(folder, data_parallel=2, hosts=[machines.addresses[each] for each in (HERE, THERE)], certificates=certificates,
                       **options)
    return RoleCluster(herd, file, checks, {"node-2": machines.enter(THERE)})


def equality(machines, herd, folder, name, cases, threads, **options):
    with cluster_on(machines, herd, folder, **options) as cluster:
        snapshot = cluster.await_serving()
        checks.equal(f"{name}: a replica on each machine", sorted(snapshot.leader(each).node for each in snapshot.replicas),
                     ["node-1", "node-2"])
        spell(cases, cluster.gateway())
        compare(checks, cluster.gateway(), f"{name}, two machines, TLS, {threads} at once", cases, threads,
                lambda index: index % 2 == 0)


def faults(machines, setting, herd, folder):
    with cluster_on(machines, herd, folder) as cluster:
        away = next(name for name in cluster.await_serving().replicas
                    if cluster.await_serving().leader(name).node == "node-2")
        for role in ("rank", "leader"):
            done = strike(setting, cluster, role, STRUCK[1], 12, away)
            checks.check(f"kill -9 of a {role} over there: answers of an undisturbed server", done and done.counts and not done.wrong,
                         done and (done.shown(), done.wrong[:1]))
        in_the_middle(setting, cluster, "a cable that is cut for a while", lambda: machines.cable(THERE, "down"))
        time.sleep(CUT_S)
        machines.cable(THERE, "up")
        cluster.await_serving()
        in_the_middle(setting, cluster, "the cable is back", lambda: None)
        in_the_middle(setting, cluster, "the machine over there is gone", lambda: kill_machine(cluster))
        cluster.start("node", "node-2")
        cluster.await_serving()
        in_the_middle(setting, cluster, "that machine is back", lambda: None)


def kill_machine(cluster):
    node = cluster.started.pop("node-2")
    ranks = [rank.pid for rank in cluster.status().of("rank") if rank.node == "node-2" and rank.pid]
    kill_all(ranks)
    node.kill()


def in_the_middle(setting, cluster, name, happens):
    """Once all streams run."""
    requests = [*setting.neighbours, *STRUCK]
    streams = Streams(cluster.gateway(), requests)
    begun = wait_until(lambda: all(outcome.chunks for request, outcome in zip(requests, streams.outcomes) if request.streamed), 60)
    happens()
    checks.check(f"{name}: in the middle of streams", begun and streams.open())
    wrong = setting.wrong(requests, streams.join())
    checks.check(f"{name}: {len(requests)} answers of an undisturbed server", not wrong, f"{len(wrong)} wrong; {wrong[:1]}")


def inside(flags):
    with TestFolder() as folder, Machines(THERE) as machines:
        if flags.smollm2 or flags.random_1b:
            if flags.smollm2:
                cases = cases_of(flags.herd, random_prompts(4, 600, 49000), (flags.smollm2,), LONG_GROUPS)
                equality(machines, flags.herd, folder, "SmolLM2, prompts of 600 tokens", cases, 16, model=flags.smollm2)
            if flags.random_1b:
                model = folder / "random-1b"
                model.mkdir()
                (model / "config.json").write_text(json.dumps(CONFIG_1B))
                cases = cases_of(flags.herd, random_prompts(4, 200, 128000), (model,), LONG_GROUPS[::2],
                                 flags=("--load-format", "random"))
                equality(machines, flags.herd, folder, "random 1B", cases, 4, model=model, more={"model": {"load_format": "random"}})
            return
        cases = cases_of(flags.herd)
        random.shuffle(cases)
        equality(machines, flags.herd, folder, "demo model", cases, 64, model=DEMO_MODEL)
        faults(machines, Setting(flags.herd, folder, checks), flags.herd, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--smollm2", metavar="GGUF")
    parser.add_argument("--random-1b", action="store_true")
    flags = parser.parse_args()
    if not enter_namespace(checks):
        return 0
    inside(flags)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
