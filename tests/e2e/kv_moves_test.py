#!/usr/bin/env python3
"""KV blocks that move between replicas of a cluster: streams with long prompts move off a node that drains and take their blocks with
them, while blocks are damaged on the way and ranks, leaders and nodes are killed in the middle of it. Every stream is that of an
undisturbed server to the byte, and in the end no block is held for anybody. Standard library only.

    kv_moves_test.py FAULTY_HERD HERD [--kills 8] [--seed 1] [--tensor-parallel 1,2]

FAULTY_HERD: `herd` whose nodes' ranks hand out damaged blocks (tests/commands/faults/planted_fault.h).
"""
import argparse
import contextlib
import os
import random
import signal
import sys
import time

from cluster_clients import PATIENCE_S, Clients
from cluster_drain_test import Operator
from cluster_process import ClusterFile, RoleCluster, UpCluster
from cluster_strikes import Setting
from fault_streams import COMPLETION, Request
from serve_process import Checks, TestFolder, wait_until

CLIENTS = 6
PROMPTS = 20                      # so many that a replica has not had most of them
PROMPT_TOKENS, TOKENS = 600, 150  # so long that replicas find it worth to move blocks
DAMAGED = 3                       # blocks of each rank
VOCABULARY = 4000                 # of the demo model: ordinary tokens

checks = Checks()


def long_prompts(count=PROMPTS, seed=3):
    rng = random.Random(seed)
    prompts = [[rng.randrange(10, VOCABULARY) for _ in range(PROMPT_TOKENS)] for _ in range(count)]
    return tuple(Request(f"long prompt {at}", COMPLETION,
                         {"prompt": prompt, "temperature": at % 2, "seed": at, "max_tokens": TOKENS, "ignore_eos": True,
                          "return_token_ids": True, "logprobs": 1}) for at, prompt in enumerate(prompts))


class DamagedCluster(RoleCluster):
    """Its nodes are the faulty program's, and the first blocks that their ranks hand out are damaged."""

    def __init__(self, faulty_herd, herd, file):
        self.faulty_herd = str(faulty_herd)
        super().__init__(herd, file, checks)

    def start(self, role, name):
        if role != "node":
            return super().start(role, name)
        herd, mark = self.herd, self.mark
        self.herd = self.faulty_herd
        self.mark = {**mark, "HERD_TEST_FAULTS": f"kind=damage_block,replica=0-1,step=1,repeat={DAMAGED}"}
        try:
            return super().start(role, name)
        finally:
            self.herd, self.mark = herd, mark


def counted(cluster, family, **labels):
    """A counter of all leaders that there are together."""
    snapshot, total = cluster.status(), 0
    for leader in (rank for rank in snapshot.of("rank") if rank.leader and rank.pid):
        for (name, found), value in snapshot.page(leader).items():
            if name == family and set(labels.items()) <= set(found):
                total += value
    return total


def moved_to(cluster, operator, source, clients):
    """Streams move off the node `source` under its drain, which is taken back once they have."""
    more = clients.whole()
    code, said, why = operator.drain(source)
    checks.check(f"drain of {source}: it has drained", code == 0 and said.get("may_be_stopped"), (code, said, why))
    checks.check(f"drain of {source}: streams go on, none is wrong", clients.await_more(2), clients.wrong()[:1])
    checks.equal(f"undo of {source}", operator.drain(source, "--undo")[0], 0)
    cluster.await_serving()
    return clients.whole() - more


def nothing_is_held(cluster, what):
    """No sequence runs: no block is held, and no move under way."""
    held = wait_until(lambda: counted(cluster, "herd_kv_blocks", state="held") == 0 and counted(cluster, "herd_kv_moves_open") == 0,
                      PATIENCE_S)
    checks.check(f"{what}: no block is held, no move is under way", held, counted(cluster, "herd_kv_blocks", state="held"))


def begun(cluster, requests, setting):
    clients = Clients(cluster.gateways, requests, setting.reference, CLIENTS)
    checks.check("before: streams", clients.await_more(CLIENTS), clients.wrong()[:1])
    return clients


def ended(clients, what):
    checks.check(f"{what}: every client stops", clients.stop())
    wrong = clients.wrong()
    checks.check(f"{what}: {clients.whole()} streams, none failed, none differs", not wrong, f"{len(wrong)} wrong; {wrong[:2]}")


def drains(setting, requests, herd, folder, tensor_parallel):
    """Blocks follow the streams that move; without moves all of it is computed again, with the same bytes."""
    for moves in (True, False):
        what = f"TP {tensor_parallel}, {'with' if moves else 'without'} moves"
        file = ClusterFile(folder, tensor_parallel=tensor_parallel, data_parallel=2, nodes=2,
                           more={"kv": {"enable_kv_moves": moves}})
        with UpCluster(herd, file, checks=checks) as cluster:
            clients = begun(cluster, requests, setting)
            blocks_in = []  # of the leaders that there are after each drain: the counters of a replica that moves begin anew
            for source in ("node-1", "node-2"):
                moved_to(cluster, Operator(cluster), source, clients)
                blocks_in.append(counted(cluster, "herd_kv_moved_blocks_total", direction="in"))
            ended(clients, what)
            checks.check(f"{what}: {'blocks moved' if moves else 'no block moved'}", (max(blocks_in) > 0) == moves, blocks_in)
            caches = [replica["cache"] for replica in cluster.status().content["replicas"]]
            checks.check(f"{what}: status shows the caches", any(cache and cache["query_tokens"] > 0 for cache in caches), caches)
            nothing_is_held(cluster, what)


def damage(setting, requests, faulty_herd, herd, folder):
    """A byte of a block is another one when it comes: the block is not used, and is counted."""
    file = ClusterFile(folder, tensor_parallel=1, data_parallel=2, nodes=2)
    with DamagedCluster(faulty_herd, herd, file) as cluster:
        cluster.await_serving()
        clients = begun(cluster, requests, setting)
        damaged = 0
        for source in ("node-1", "node-2", "node-1", "node-2"):
            moved_to(cluster, Operator(cluster), source, clients)
            damaged = max(damaged, counted(cluster, "herd_kv_damaged_blocks_total"))
            if damaged:
                break
        ended(clients, "damaged blocks")
        checks.check("damaged blocks: some were found", damaged > 0, damaged)
        checks.check("damaged blocks: what they held was computed", counted(cluster, "herd_kv_recomputed_blocks_total") >= damaged)
        nothing_is_held(cluster, "damaged blocks")


def kills(setting, requests, herd, folder, count, seed):
    """Ranks, leaders and nodes die while blocks move off a node that drains, on either side of it."""
    rng = random.Random(seed)
    file = ClusterFile(folder, tensor_parallel=2, data_parallel=2, nodes=2, more={"supervision": {"restart_budget": 100}})
    with UpCluster(herd, file, checks=checks) as cluster:
        operator, clients = Operator(cluster), begun(cluster, requests, setting)
        for at in range(count):
            snapshot = cluster.await_serving()
            source = snapshot.leader("replica-0").node
            victims = [rank for rank in snapshot.of("rank") if rank.pid] + [node for node in snapshot.of("node") if node.pid]
            victim = victims[at % len(victims)]
            operator.drain(source, "--no-wait")
            time.sleep(rng.uniform(0, 0.15))  # into the middle of the moves
            with contextlib.suppress(ProcessLookupError):  # it has drained already
                os.kill(victim.pid, signal.SIGKILL)
            checks.check(f"kill -9 of {victim.name} while {source} drains: streams go on, none is wrong", clients.await_more(2),
                         clients.wrong()[:1])
            operator.drain(source, "--undo")
        cluster.await_serving()
        ended(clients, f"{count} kills")
        nothing_is_held(cluster, f"{count} kills")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faulty_herd")
    parser.add_argument("herd")
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tensor-parallel", default="1,2", help="degrees of the first part")
    parser.add_argument("--only", choices=("drains", "damage", "kills"))
    flags = parser.parse_args()
    requests = long_prompts()
    with TestFolder() as folder:
        setting = Setting(flags.herd, folder, checks, neighbours=requests)
        if flags.only in (None, "drains"):
            for tensor_parallel in map(int, flags.tensor_parallel.split(",")):
                drains(setting, requests, flags.herd, folder, tensor_parallel)
        if flags.only in (None, "damage"):
            damage(setting, requests, flags.faulty_herd, flags.herd, folder)
        if flags.only in (None, "kills"):
            kills(setting, requests, flags.herd, folder, flags.kills, flags.seed)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
