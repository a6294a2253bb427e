#!/usr/bin/env python3
"""`herd reload` and SIGHUP: every process of a cluster takes what its file says now, or none does. Each key that may change, one that may
not, a copy of the file that is wrong on one machine, a process that is silent; nodes that are added and taken out; streams that run
meanwhile. Standard library only.

    cluster_reload_test.py HERD
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading

from cluster_process import ClusterFile, Program, RoleCluster, free_ports
from serve_process import Checks, StreamEnd, TestFolder, wait_until

RELOAD_S = 60  # a bound
PROMPT = {"model": "demo_model", "prompt": "Question: what is a reload? Answer:", "temperature": 0, "max_tokens": 8}
KEYS = {"anna": "sk-anna-0123456789", "bert": "sk-bert-0123456789"}

checks = Checks()


def reload(cluster, *flags):
    """What `herd reload` comes to: its exit code, stdout, stderr."""
    done = subprocess.run([cluster.herd, "reload", "--config", str(cluster.path), *flags], capture_output=True, timeout=RELOAD_S,
                          check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def taken(name, cluster, lines):
    """The file's changes are taken; `lines`: expressions, each of which a line of the answer is like."""
    code, said, trouble = reload(cluster)
    checks.equal(f"{name}: exit code", (code, trouble), (0, ""))
    missing = [line for line in lines if not re.search(line, said, re.MULTILINE)]
    checks.check(f"{name}: says what changed and where", not missing, f"no {missing} in: {said}")


def refused(name, cluster, code, lines):
    """Nothing is taken."""
    done, said, trouble = reload(cluster)
    checks.equal(f"{name}: exit code", (done, said), (code, ""))
    missing = [line for line in lines if not re.search(line, trouble, re.MULTILINE)]
    checks.check(f"{name}: says why", not missing, f"no {missing} in: {trouble}")


class Reloaded:
    """A cluster of two gateways and two nodes, whose second gateway and second node have a copy of the file each."""

    def __init__(self, herd, folder):
        self.keys = folder / "api.keys"
        self.write_keys("anna")
        self.file = ClusterFile(folder, tensor_parallel=1, data_parallel=2, nodes=2, gateways=2,
                                more={"http": {"api_key_file": str(self.keys)}})
        self.copies = {name: folder / f"{name}.yaml" for name in ("gateway-2", "node-2")}
        self.copy()
        self.cluster = RoleCluster(herd, self.file, checks=checks, late=("gateway-2", "node-2"))
        for role, name in (("gateway", "gateway-2"), ("node", "node-2")):
            self.start(role, name, self.copies[name])
        for gateway in self.cluster.gateways.values():
            gateway.key = KEYS["anna"]

    def start(self, role, name, path):
        words = [self.cluster.herd, RoleCluster.COMMANDS[role], "--config", path, "--name", name]
        self.cluster.started[name] = Program(words, env=self.cluster.mark)

    def write_keys(self, *names):
        self.keys.write_text("".join(f"{name} key={KEYS[name]}\n" for name in names))
        self.keys.chmod(0o600)

    def copy(self):
        for path in self.copies.values():
            path.write_text(self.file.path.read_text())

    def set(self, section, key, value, copied=True):
        self.file.content.setdefault(section, {})[key] = value
        self.file.write()
        if copied:
            self.copy()

    def statuses(self, body=None, key=None):
        """What each gateway answers a request with."""
        headers = {"Authorization": f"Bearer {KEYS[key]}"} if key else {}
        return [gateway.post("/v1/completions", body or PROMPT, headers).status for gateway in self.cluster.gateways.values()]

    def said(self, name):
        return self.cluster.started[name].stderr()


def limits(it):
    long = {**PROMPT, "user": "x" * 5000}
    checks.equal("limits: a body of 5 KB before", it.statuses(long), [200, 200])
    it.set("limits", "max_body_bytes", "4KiB")
    taken("limits", it.cluster, [r'^limits\.max_body_bytes \(gateway "gateway-1", gateway "gateway-2"\)$'])
    checks.equal("limits: a body of 5 KB after", it.statuses(long), [413, 413])
    checks.equal("limits: what is short enough", it.statuses(), [200, 200])

    it.set("limits", "request_timeout", "1ms")
    it.set("limits", "max_num_queued_reqs", 7)
    taken("request_timeout", it.cluster, [r"^limits\.request_timeout \(", r"^limits\.max_num_queued_reqs \("])
    codes = it.statuses({**PROMPT, "max_tokens": 64})
    checks.check("request_timeout: a request does not live for a millisecond", 200 not in codes, codes)
    it.set("limits", "request_timeout", "600s")
    taken("request_timeout back", it.cluster, [r"^limits\.request_timeout \("])
    checks.equal("request_timeout back: it does", it.statuses(), [200, 200])


def connections(it):
    it.set("limits", "max_connections", 1)
    taken("max_connections", it.cluster, [r"^limits\.max_connections \("])
    for name, gateway in it.cluster.gateways.items():
        wait_until(lambda: gateway.get("/v1/models").status == 200)
        held = gateway.connect()
        held.request("GET", "/live")
        held.getresponse().read()
        checks.equal(f"max_connections: the second one of {name}", gateway.get("/v1/models").status, 503)
        checks.equal(f"max_connections: a probe beside it at {name}", gateway.get("/live").status, 200)
        held.close()
    it.set("limits", "max_connections", 12000)
    taken("max_connections back", it.cluster, [r"^limits\.max_connections \("])


def keys(it):
    it.write_keys("bert")
    checks.equal("keys: the file alone changes nothing", it.statuses(), [200, 200])
    taken("keys", it.cluster, [r'^http\.api_key_file \(gateway "gateway-1", gateway "gateway-2"\)$'])
    checks.equal("keys: the new one", it.statuses(key="bert"), [200, 200])
    checks.equal("keys: the old one", it.statuses(key="anna"), [401, 401])
    it.keys.write_text("a line that is none\n")
    it.set("limits", "max_body_bytes", "1MiB")
    refused("keys that are wrong", it.cluster, 3, [r'^gateway "gateway-1", gateway "gateway-2": .*api\.keys:1', "nothing was changed"])
    checks.equal("keys that are wrong: those before stay", it.statuses(key="bert"), [200, 200])
    checks.equal("keys that are wrong: nothing else is taken either", it.statuses({**PROMPT, "user": "x" * 5000}, key="bert"), [413, 413])
    it.write_keys("anna", "bert")
    taken("keys of both", it.cluster, [r"^http\.api_key_file \(", r"^limits\.max_body_bytes \("])
    checks.equal("keys of both: both", it.statuses(key="anna") + it.statuses(key="bert"), [200] * 4)


def logs(it):
    it.set("logs", "enable_log_requests", True)
    taken("logs", it.cluster, [r"^logs\.enable_log_requests \("])
    it.statuses()
    checks.check("logs: a line for each request", wait_until(lambda: all("request finished" in it.said(f"gateway-{n}") for n in (1, 2))))
    it.set("logs", "log_level", "error")
    taken("log level", it.cluster, [r'^logs\.log_level \(coordinator, gateway "gateway-1", gateway "gateway-2", node "node-1" and 1 more\)$'])
    lines = it.said("gateway-1").count("request finished")
    it.statuses()
    checks.equal("log level: no such lines any more", it.said("gateway-1").count("request finished"), lines)
    it.set("logs", "log_level", "info")
    taken("log level back", it.cluster, [r"^logs\.log_level \("])


def refusals(it):
    before = it.file.path.read_text()
    it.set("limits", "max_body_bytes", "2KiB")
    it.set("kv", "block_size", 32)
    refused("a key that cannot change", it.cluster, 3,
            [rf'^coordinator: {re.escape(str(it.file.path))}:\d+:kv\.block_size: is 32 now, and was 16; it cannot change while'])
    it.file.content.pop("kv")
    it.file.write()
    it.copies["node-2"].write_text(it.file.path.read_text().replace('"address"', '"adress"', 1))
    refused("a copy that is wrong", it.cluster, 3, [r'^node "node-2": .*node-2\.yaml:\d+:\S*adress: is not known'])
    it.copies["node-2"].write_text(before)
    refused("a copy that says something else", it.cluster, 3, [r'^node "node-2": its copy of the file has other settings'])
    it.copy()
    it.file.path.write_text("name: x\nnonsense: 1\n")
    os.kill(it.cluster.started["coordinator"].pid, signal.SIGHUP)
    checks.check("SIGHUP with a wrong file: the coordinator says so",
                 wait_until(lambda: re.search("cluster file not taken.*nonsense: is not known", it.said("coordinator"))))
    it.file.write()
    checks.equal("all of these: nothing was taken", it.statuses({**PROMPT, "user": "x" * 5000}), [200, 200])


def silence(it):
    gateway = it.cluster.started["gateway-2"].pid
    os.kill(gateway, signal.SIGSTOP)
    try:
        refused("a gateway that is stopped", it.cluster, 4, [r'^gateway "gateway-2": it(s connection ended| did not answer)'])
        checks.equal("a gateway that is stopped: nothing is taken by the other",
                     it.cluster.gateways["gateway-1"].post("/v1/completions", {**PROMPT, "user": "x" * 5000}).status, 200)
    finally:
        os.kill(gateway, signal.SIGCONT)
    back = lambda: (shown := it.cluster.status()) and shown.one("gateway", "gateway-2").state == "serving"
    checks.check("a gateway that is stopped: it is back", wait_until(back))
    taken("after it", it.cluster, [r'^limits\.max_body_bytes \(gateway "gateway-1", gateway "gateway-2"\)$'])
    checks.equal("after it: both take it", it.statuses({**PROMPT, "user": "x" * 5000}), [413, 413])


def away(it):
    """One that is away while it is decided takes it when it is back: it is cut off by being stopped for longer than its links live."""
    gateway = it.cluster.started["gateway-2"].pid
    os.kill(gateway, signal.SIGSTOP)
    try:
        gone = lambda: (shown := it.cluster.status()) and shown.one("gateway", "gateway-2").state == "failed"
        checks.check("away: it is seen to be", wait_until(gone))
        it.set("limits", "max_body_bytes", "1MiB")
        taken("away", it.cluster, [r'^limits\.max_body_bytes \(gateway "gateway-1"\)$'])
    finally:
        os.kill(gateway, signal.SIGCONT)
    long = {**PROMPT, "user": "x" * 5000}
    checks.check("away: it takes it when it is back", wait_until(lambda: it.statuses(long) == [200, 200]), it.said("gateway-2")[-500:])


def signals(it):
    it.set("limits", "max_body_bytes", "4KiB", copied=False)
    os.kill(it.cluster.started["coordinator"].pid, signal.SIGHUP)
    said = wait_until(lambda: "its copy of the file has other settings" in it.said("coordinator"))
    checks.check("SIGHUP of the coordinator: a reload of all, which a copy stops", said, it.said("coordinator")[-500:])
    os.kill(it.cluster.started["gateway-1"].pid, signal.SIGHUP)
    long = {**PROMPT, "user": "x" * 5000}
    checks.check("SIGHUP of a gateway: its own file alone", wait_until(lambda: it.statuses(long) == [413, 200]))
    it.copy()
    os.kill(it.cluster.started["coordinator"].pid, signal.SIGHUP)
    checks.check("SIGHUP of the coordinator: all take it", wait_until(lambda: it.statuses(long) == [413, 413]))


def nodes(it):
    """A node that the file does not list is refused, comes in once it does, and can be taken out once it has ended."""
    port = free_ports(4)
    entry = {"name": "node-3", "address": f"127.0.0.1:{port}", "devices": ["cpu"]}
    listed = it.file.changed(it.file.path.with_name("node-3.yaml"), lambda content: content["nodes"].append(entry))
    it.start("node", "node-3", listed)
    checks.check("a node that is not listed is refused", wait_until(lambda: "not in the coordinator's cluster file" in it.said("node-3")))
    it.file.content["nodes"].append(entry)
    it.file.write()
    taken("a node is added", it.cluster, [r"^nodes: node-3 is new \(coordinator\)$"])
    here = lambda: any(node.name == "node-3" and node.state == "serving" for node in it.cluster.status().of("node"))
    checks.check("a node is added: it is in", wait_until(here), it.said("node-3")[-500:])
    it.file.content["nodes"].pop()
    it.file.write()
    refused("a node that runs is taken out", it.cluster, 3, [r'node "node-3" is not in the file any more, and it runs'])
    checks.equal("a node ends", it.cluster.started.pop("node-3").stop(), 0)
    checks.check("a node is taken out", wait_until(lambda: reload(it.cluster)[0] == 0, 30))
    checks.check("a node is taken out: status has it no more", all(node.name != "node-3" for node in it.cluster.status().of("node")))


def streams(it):
    """Sixteen streams run while keys, limits and logs change over and over: all are whole."""
    ends, body = [], {**PROMPT, "max_tokens": 200, "stream": True, "ignore_eos": True}
    run = lambda gateway: ends.append(gateway.stream("/v1/completions", body))
    threads = [threading.Thread(target=run, args=(gateway,)) for gateway in it.cluster.gateways.values() for _ in range(8)]
    for thread in threads:
        thread.start()
    times = 0
    while any(thread.is_alive() for thread in threads) and times < 20:
        it.set("limits", "max_num_queued_tokens", 100_000 + times)
        times += reload(it.cluster)[0] == 0
    for thread in threads:
        thread.join()
    whole = [end for end in ends if isinstance(end, StreamEnd) and end.whole and end.events and end.events[-1].done]
    checks.equal(f"{times} reloads: streams that are whole", len(whole), len(threads))
    texts = {b"".join(event.data for event in end.events if b'"choices"' in event.data and b'"text"' in event.data).count(b'"text"')
             for end in whole}
    checks.check("reloads happened meanwhile, and all streams have as many tokens", times > 0 and len(texts) == 1, (times, texts))


def supervision(it):
    it.set("supervision", "restart_budget", 0)
    taken("supervision", it.cluster, [r'^supervision\.restart_budget \(node "node-1", node "node-2"\)$'])
    shown = it.cluster.status()
    rank = next(rank for rank in shown.of("rank") if rank.node == "node-2")
    os.kill(rank.pid, signal.SIGKILL)
    given_up = lambda: re.search(r"given up.*0 restarts are allowed", it.said("node-2"))
    checks.check("supervision: the first death is one too many now", wait_until(given_up), it.said("node-2")[-500:])


def json_line(it):
    code, said, _ = reload(it.cluster, "--output", "json")
    line = json.loads(said)
    checks.equal("json: nothing has changed", (code, line), (0, {"config": str(it.cluster.path), "taken": True, "lines": []}))
    it.set("kv", "block_size", 32)
    code, said, _ = reload(it.cluster, "--output", "json")
    line = json.loads(said)
    checks.check("json: why nothing was taken", code == 3 and not line["taken"] and "nothing was changed" in line["why"] and
                 any("kv.block_size" in each for each in line["lines"]), said)
    it.file.content.pop("kv")
    it.file.write()
    it.copy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    herd = parser.parse_args().herd
    with TestFolder() as folder:
        it = Reloaded(herd, folder)
        with it.cluster:
            it.cluster.await_serving()
            for part in (limits, connections, keys, logs, json_line, refusals, silence, away, signals, nodes, streams, supervision):
                part(it)
    sys.exit(checks.finish())


if __name__ == "__main__":
    main()
