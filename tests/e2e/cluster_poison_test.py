#!/usr/bin/env python3
"""A request that makes every rank die that computes it: it ends with an error that says so after at most two deaths of a rank, the
streams beside it are those of an undisturbed server to the byte, and its prompt is not tried again. Standard library only.

    cluster_poison_test.py FAULTY_HERD HERD

FAULTY_HERD: `herd` whose nodes start ranks that die of a token (tests/commands/faults/poisoned_rank.h).
"""
import json
import sys

from cluster_process import ClusterFile, RoleCluster
from cluster_strikes import Setting
from fault_streams import Streams, demo_requests
from serve_process import Checks, TestFolder, wait_until

POISON = 5             # a token id that no text of the other streams has
NEIGHBOUR_TOKENS = 200
PATIENCE_S = 120
DEATHS_MAX = 2

checks = Checks()


class PoisonedCluster(RoleCluster):
    """Its nodes are the faulty program's."""

    def __init__(self, faulty_herd, herd, file, poison):
        self.faulty_herd, self.poison = str(faulty_herd), {"HERD_TEST_POISON": poison}
        super().__init__(herd, file, checks)

    def start(self, role, name):
        if role != "node":
            return super().start(role, name)
        herd, mark = self.herd, self.mark
        self.herd, self.mark = self.faulty_herd, {**mark, **self.poison}
        try:
            return super().start(role, name)
        finally:
            self.herd, self.mark = herd, mark


def deaths(cluster):
    return sum(rank.restarts for rank in cluster.status().of("rank"))


def poison_round(setting, faulty_herd, herd, folder, replicas, poison, when):
    name = f"{replicas} replica{'s' * (replicas > 1)}, {when}"
    file = ClusterFile(folder, nodes=replicas, data_parallel=replicas)
    requests = demo_requests(NEIGHBOUR_TOKENS)
    prompt = [11, 12, POISON, 13, 14, 15]
    body = {"model": "m", "prompt": prompt, "temperature": 0, "max_tokens": 60, "ignore_eos": True, "stream": False}
    with PoisonedCluster(faulty_herd, herd, file, poison) as cluster:
        cluster.await_serving()
        body["model"] = cluster.gateway().get("/v1/models").json()["data"][0]["id"]
        streams = Streams(cluster.gateway(), requests)
        wait_until(lambda: streams.open_count() == len(requests), PATIENCE_S)
        answer = cluster.gateway().post("/v1/completions", body)
        outcomes = streams.join(PATIENCE_S)
        cluster.await_serving()
        wrong = setting.wrong(requests, outcomes)
        checks.check(f"{name}: {len(requests)} answers beside it of an undisturbed server", not wrong, f"{len(wrong)}; {wrong[:1]}")
        checks.equal(f"{name}: it is given up by name", (answer.status, answer.json()["error"]["code"]), (500, "poison_request"))
        died = deaths(cluster)
        checks.check(f"{name}: at most {DEATHS_MAX} ranks died", 1 <= died <= DEATHS_MAX, f"{died} did")
        again = cluster.gateway().post("/v1/completions", body)
        checks.equal(f"{name}: the prompt is not tried again", (again.status, again.json()["error"]["code"]), (422, "poison_request"))
        checks.equal(f"{name}: nobody died of that", deaths(cluster), died)


def main():
    faulty_herd, herd = sys.argv[1:3]
    with TestFolder() as folder:
        setting = Setting(herd, folder, checks, neighbours=demo_requests(NEIGHBOUR_TOKENS))
        for replicas in (1, 2):
            poison_round(setting, faulty_herd, herd, folder, replicas, f"token={POISON}", "at its prompt, every rank")
            poison_round(setting, faulty_herd, herd, folder, replicas, f"token={POISON},position=20,rank=1", "at a token, one rank")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
