#!/usr/bin/env python3
"""A real Prometheus scrapes a cluster of three gateways and two replicas as config/prometheus/cluster.yml has it: what clients sent is
counted once; an autoscaler sees how much waits; the alert of a replica that is down fires when one is, and no alert before; each panel of
the dashboard has data while that goes on. The logs of all processes say whose lines they are, and a dying rank's last words stand in them
once. Standard library only.

    cluster_metrics_test.py HERD
"""
import argparse
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack

from cluster_process import ClusterFile, UpCluster, free_ports, make_certificates
from cluster_prometheus import firing, prometheus_of
from prometheus_test import dashboard_queries, filled
from serve_process import Checks, StreamEnd, TestFolder, wait_until

COMPLETION = "/v1/completions"
MODEL = "a-model"
TOKENS = 24             # of each answer
PLACES = 4              # sequences that a replica runs
SEEN_S = 30             # until something shows in Prometheus: a bound, not a measure
BUDGET = 3
LAST_WORDS = "these are its last words"
SOONER = ((r"(alert: HerdReplicaDown\n.*\n +for: )1m", r"\g<1>2s"),)  # the alert that is to fire waits for less

checks = Checks()


def body(prompt, **more):
    return {"model": MODEL, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, **more}


def gateways_of(cluster):
    return [cluster.gateways[name] for name in sorted(cluster.gateways)]


def see_all_targets(prometheus, cluster):
    told = {(each["role"], each["name"]) for each in cluster.status().content["metrics"]}

    def all_up():
        targets = prometheus.api("targets")["activeTargets"]
        return {target["labels"]["instance"] for target in targets if target["health"] == "up"} == {f"{role}/{name}" for role, name in told}

    checks.check(f"all {len(told)} processes of the cluster are scraped, under their names", len(told) == 10 and wait_until(all_up, SEEN_S),
                 [(target["labels"].get("instance"), target["lastError"]) for target in prometheus.api("targets")["activeTargets"]])


class Use:
    """Requests at every gateway, with what their answers say of them."""

    def __init__(self):
        self.requests = self.prompt_tokens = 0
        self._lock = threading.Lock()
        self.wrong = []

    def ask(self, gateway, at):
        answer = gateway.post(COMPLETION, body(f"{at} times upon a time there was a king. " * 8))
        with self._lock:
            if answer.status != 200:
                return self.wrong.append(answer.status)
            self.requests += 1
            self.prompt_tokens += answer.json()["usage"]["prompt_tokens"]

    def send(self, cluster, each):
        threads = [threading.Thread(target=self.ask, args=(gateway, at), daemon=True)
                   for at in range(each) for gateway in gateways_of(cluster)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SEEN_S)


def count_once(prometheus, use):
    """Of what clients sent, over all processes."""
    wanted = {
        "vllm:request_success_total": use.requests,
        "vllm:e2e_request_latency_seconds_count": use.requests,
        "vllm:time_to_first_token_seconds_count": use.requests,
        "vllm:inter_token_latency_seconds_count": use.requests * (TOKENS - 1),
        "vllm:request_prompt_tokens_sum": use.prompt_tokens,
        "vllm:request_generation_tokens_sum": use.requests * TOKENS,
        "herd_tokens_delivered_total": use.requests * TOKENS,
        "vllm:generation_tokens_total": use.requests * TOKENS,  # of leaders, as the next
        "vllm:prompt_tokens_total": use.prompt_tokens,
        "vllm:num_requests_running": 0,
        "vllm:num_requests_waiting": 0,
    }
    for name, value in wanted.items():
        found = wait_until(lambda n=name, v=value: prometheus.total(f"sum({n})") == v, SEEN_S)
        checks.check(f"sum({name}) is what clients sent", found, f"{prometheus.total(f'sum({name})')}, wanted {value}")
    checks.equal("all processes name the model as clients do", prometheus.api("label/model_name/values"), [MODEL])
    once = prometheus.values("count by (engine) (vllm:num_requests_running)")
    checks.equal("a replica's sequences are said once", sorted((labels["engine"], value) for labels, value in once), [("0", 1), ("1", 1)])


def overload(prometheus, cluster):
    """More clients than places: replicas run what they have places for, the others wait at gateways, and an autoscaler sees that."""
    over = threading.Event()

    def ask(gateway, at):
        while not over.is_set():
            gateway.post(COMPLETION, body(f"{at} more", max_tokens=64))

    threads = [threading.Thread(target=ask, args=(gateway, at), daemon=True) for at in range(6) for gateway in gateways_of(cluster)]
    for thread in threads:
        thread.start()
    places, clients = 2 * PLACES, len(threads)
    full = wait_until(lambda: prometheus.total("sum(vllm:num_requests_running)") == places, SEEN_S)
    waits = wait_until(lambda: prometheus.total("sum(vllm:num_requests_waiting)") > 0, SEEN_S)
    tokens = wait_until(lambda: prometheus.total("sum(herd_gateway_waiting_tokens)") > 0, SEEN_S)
    saturated = wait_until(lambda: prometheus.total("min(herd_replica_saturation)") == 1, SEEN_S)
    predicted = wait_until(lambda: prometheus.total("count(herd_gateway_predicted_first_token_seconds > 0)") == 3, SEEN_S)
    capacity = wait_until(lambda: prometheus.total("count(herd_replica_capacity_tokens_per_second > 0)") == 2, SEEN_S)
    over.set()
    for thread in threads:
        thread.join(SEEN_S)
    most = prometheus.total("sum(max_over_time(vllm:num_requests_running[1m]))")
    checks.check(f"{clients} clients of {places} places: as many run, and never more", full and most == places, most)
    checks.check("who waits at gateways is in vllm:num_requests_waiting, its prompt in herd_gateway_waiting_tokens", waits and tokens)
    checks.check("saturation, capacity and the predicted first token of all", saturated and predicted and capacity,
                 (saturated, predicted, capacity))


def panels_have_data(prometheus, when):
    empty = [query for query in dashboard_queries() if not prometheus.values(filled(query, MODEL))]
    checks.check(f"every panel of the dashboard has data {when}", not empty, "\n".join(empty))


def lose_a_replica(prometheus, cluster):
    """Its restart budget is spent: it is given up, and no other node has room. Its node comes back, and so does it."""
    for _ in range(BUDGET + 1):
        snapshot = cluster.await_serving()
        rank = next(rank for rank in snapshot.ranks("replica-0") if not rank.leader)
        with open(f"/proc/{rank.pid}/fd/2", "wb", buffering=0) as stderr:  # of the process: what it would say itself
            stderr.write(f"{LAST_WORDS} {rank.pid}\n".encode())
        os.kill(rank.pid, signal.SIGKILL)
        dead.append(rank.pid)
        if not wait_until(lambda s=snapshot: cluster.status().replica_epochs["replica-0"] != s.replica_epochs["replica-0"] or
                          cluster.status().replicas["replica-0"] == "lost", SEEN_S):
            break
    down = wait_until(lambda: ("HerdReplicaDown", "0") in firing(prometheus), SEEN_S)
    checks.check("the alert of a replica that is down fires", down, (firing(prometheus), cluster.status().line))
    spent = wait_until(lambda: ("HerdRestartBudgetSpent", "0") in firing(prometheus), SEEN_S)
    checks.check("and that of its restart budget, and no others", spent and {name for name, _ in firing(prometheus)} ==
                 {"HerdReplicaDown", "HerdRestartBudgetSpent"}, firing(prometheus))
    answer = gateways_of(cluster)[0].post(COMPLETION, body("Still here"))
    checks.equal("the other replica goes on", answer.status, 200)
    panels_have_data(prometheus, "while a replica is down")
    node = snapshot.ranks("replica-0")[0].node
    os.kill(cluster.status().one("node", node).pid, signal.SIGKILL)
    cluster.await_serving()
    quiet = wait_until(lambda: "HerdReplicaDown" not in {name for name, _ in firing(prometheus)}, SEEN_S)
    checks.check("it is silent once the replica is back", quiet, firing(prometheus))
    panels_have_data(prometheus, "when it is back")


def read_logs(cluster):
    """All lines are JSON that says whose they are; of ranks also which, and of which generation once there is one."""
    parsed, wrong = [], []
    for line in cluster.up.lines:
        try:
            parsed.append(json.loads(line))
        except ValueError:
            wrong.append(line)
    checks.check("all lines of all processes are JSON", parsed and not wrong, wrong[:3])
    parsed = [line for line in parsed if line.get("role") != "up"]
    checks.check("each says role, name and node", all({"role", "name", "node"} <= set(line) for line in parsed),
                 [line for line in parsed if not {"role", "name", "node"} <= set(line)][:3])
    checks.equal("of every role", {line.get("role") for line in parsed}, {"coordinator", "node", "gateway", "rank"})
    ranks = [line for line in parsed if line["role"] == "rank"]
    checks.check("lines of ranks say replica, rank and epoch", ranks and all({"replica", "rank", "epoch"} <= set(line) for line in ranks),
                 [line for line in ranks if not {"replica", "rank", "epoch"} <= set(line)][:3])
    lost = [line for line in parsed if line["event"] == "a rank is lost"]
    checks.check("a node says which rank of which replica and epoch was lost",
                 lost and all(line["role"] == "node" and line["replica"] == 0 and line["epoch"] > 0 and "rank" in line for line in lost), lost[:2])
    finished = [line for line in parsed if line["event"] == "request finished"]
    checks.check("a gateway says of which request a line is", finished and all(line["role"] == "gateway" and line["request_id"] for line in finished))
    for pid in dead:
        words = [line for line in parsed if f"{LAST_WORDS} {pid}" in json.dumps(line)]
        checks.check(f"the last words of rank {pid} stand in its node's log, once",
                     len(words) == 1 and words[0]["role"] == "node" and (words[0]["replica"], words[0]["rank"]) == (0, 1), words)


dead = []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    flags = parser.parse_args()
    if not shutil.which("prometheus"):
        checks.skip("metrics of a cluster", "prometheus is not installed")
        return 0
    with TestFolder() as folder, ExitStack() as stack:
        file = ClusterFile(folder, data_parallel=2, nodes=2, gateways=3, certificates=make_certificates(flags.herd, folder / "tls", 2, 3),
                           more={"scheduler": {"max_num_seqs": PLACES}, "model": {"served_model_name": [MODEL]},
                                 "logs": {"log_format": "json", "enable_log_requests": True},
                                 "supervision": {"restart_budget": BUDGET, "restart_window": "60s"}})
        metrics_port = free_ports(1)
        file.content["coordinators"][0]["metrics_port"] = metrics_port
        file.write()
        with UpCluster(flags.herd, file, checks=checks) as cluster:
            cluster.await_serving()
            use = Use()
            use.send(cluster, 1)  # a series that begins with a request has no rate until the next one
            prometheus = prometheus_of(stack, f"127.0.0.1:{metrics_port}", SOONER)
            see_all_targets(prometheus, cluster)
            use.send(cluster, 6)
            checks.equal("all requests are answered", use.wrong, [])
            count_once(prometheus, use)
            overload(prometheus, cluster)
            panels_have_data(prometheus, "of a cluster in use")
            checks.equal("no alert fires while nothing is wrong", firing(prometheus), [])
            lose_a_replica(prometheus, cluster)
        read_logs(cluster)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
