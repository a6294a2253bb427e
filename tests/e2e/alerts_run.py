#!/usr/bin/env python3
"""Each alert of config/prometheus/alerts.yml fires in a run that causes it, and none fires in the same run before that: clusters of real
processes to which it happens, and a real Prometheus. Standard library only; takes about four minutes.

    alerts_run.py HERD FAULTY_HERD [SCENE ...]      the scenes: deaths, hang, churn, budget, tokens, blocks, poison, load,
                                                  memory, certificates, log

Alerts are those that ship but for time: what they wait for (`for`) and what short rates look back on is shortened (SHORTENED).
FAULTY_HERD: `herd` whose ranks fail as a test wants it (tests/commands/faults/).
"""
import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

from cluster_drain_test import Operator
from cluster_process import ClusterFile, RoleCluster, free_ports, make_certificates
from cluster_prometheus import firing, prometheus_of
from kv_moves_test import long_prompts
from prometheus_test import ROOT
from serve_process import Checks, TestFolder, wait_until

COMPLETION, MODEL = "/v1/completions", "a-model"
SEEN_S = 60        # until an alert is seen: a bound, not a measure
QUIET_SCRAPES = 5  # of a cluster in use, in which no alert fires
POISON = 5         # a token id that no other prompt has
SHORTENED = (  # patterns of the rules and what stands there instead
    (r"\bfor: [1-9]\S*", "for: 1s"), (r"\[1m\]", "[4s]"), (r"\[5m\]", "[20s]"))
# HerdNoTokens looks back on a time in which nobody ends a rank for being silent.
SHORTEST = ((r"\[1m\]", "[800ms]"), (r"for: 30s", "for: 0s"), *SHORTENED[::2])
F_SETPIPE_SZ = 1031

checks = Checks()


class Scene(RoleCluster):
    """A cluster of two nodes and two gateways whose processes nobody starts again, with the Prometheus that looks at it. `faults` are
    those of nodes by name, as environment variables of FAULTY_HERD."""

    def __init__(self, flags, stack, folder, what, *, days=365, faults=None, settings=None, shortened=SHORTENED, every="1s"):
        self.faulty_herd, self.faults, self.what = flags.faulty_herd, faults or {}, what
        certificates = make_certificates(flags.herd, folder / f"tls-{what}", 2, 2, days)
        file = ClusterFile(folder, data_parallel=2, nodes=2, gateways=2, certificates=certificates,
                           more={"model": {"served_model_name": [MODEL]}, **(settings or {})})
        port = free_ports(1)
        file.content["coordinators"][0]["metrics_port"] = port
        file.write()
        super().__init__(flags.herd, file)
        stack.enter_context(self)
        self.await_serving()
        self.use()
        self.prometheus = prometheus_of(stack, f"127.0.0.1:{port}", shortened, every)
        everybody = len(self.status().content["metrics"])
        scraped = wait_until(lambda: self.prometheus.total("sum(up)") == everybody, SEEN_S)
        checks.check(f"{what}: {everybody} processes are scraped", scraped, self.prometheus.total("sum(up)"))

    def start(self, role, name):
        if name not in self.faults:
            return super().start(role, name)
        herd, mark = self.herd, self.mark
        self.herd, self.mark = self.faulty_herd, {**mark, **self.faults[name]}
        try:
            return super().start(role, name)
        finally:
            self.herd, self.mark = herd, mark

    def ask(self, prompt="The capital of France is", gateway="gateway-1", **more):
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 16, "temperature": 0, "ignore_eos": True, **more}
        return self.gateways[gateway].post(COMPLETION, body).status

    def use(self):
        for at in range(4):
            for gateway in self.gateways:
                checks.equal(f"{self.what}: an answer", self.ask(f"{at}, {at + 1}, {at + 2},", gateway), 200)

    def is_quiet(self):
        """In use for some scrapes, no alert fires."""
        seen = set()
        for _ in range(QUIET_SCRAPES):
            self.use()
            time.sleep(1)
            seen |= {name for name, _ in firing(self.prometheus)}
        checks.check(f"{self.what}: in use, no alert fires", not seen, seen)

    def fires(self, *alerts, meanwhile=None):
        """Each of them was seen to fire, at one time or another."""
        missing = set(alerts)

        def all_seen():
            missing.difference_update(name for name, _ in firing(self.prometheus))
            if missing and meanwhile:
                meanwhile()
            return not missing
        wait_until(all_seen, SEEN_S)
        for alert in alerts:
            checks.check(f"{self.what}: {alert} fires", alert not in missing, firing(self.prometheus))
            fired.add(alert)

    def falls_silent(self, *alerts):
        quiet = wait_until(lambda: not set(alerts) & {name for name, _ in firing(self.prometheus)}, SEEN_S)
        checks.check(f"{self.what}: {', '.join(alerts)} silent again", quiet, firing(self.prometheus))

    @contextmanager
    def clients(self, count, prompts=("Once upon a time there was a king.",), **more):
        """So many, who ask without end."""
        over = threading.Event()

        def ask(at):
            while not over.is_set():
                try:
                    self.ask(prompts[at % len(prompts)], sorted(self.gateways)[at % 2], **more)
                except OSError:
                    time.sleep(0.05)
        threads = [threading.Thread(target=ask, args=(at,), daemon=True) for at in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(SEEN_S)


fired = set()


def deaths(scene):
    """Nodes die for good, come back; a gateway hangs."""
    scene.is_quiet()
    scene.started["node-2"].kill()
    scene.fires("HerdReplicaDown", "HerdProcessDown")
    scene.started["node-1"].kill()
    waiting = [threading.Thread(target=scene.ask, args=(f"{at} who waits",)) for at in range(3)]
    for thread in waiting:
        thread.start()
    scene.fires("HerdNoReplica")
    time.sleep(5)  # what HerdFirstTokenSlow takes for slow
    for name in ("node-1", "node-2"):
        scene.start("node", name)
    scene.await_serving()
    for thread in waiting:
        thread.join()
    scene.fires("HerdFirstTokenSlow", meanwhile=scene.use)
    scene.falls_silent("HerdNoReplica", "HerdReplicaDown", "HerdProcessDown")
    gateway = scene.status().one("gateway", "gateway-2").pid
    os.kill(gateway, signal.SIGSTOP)
    scene.fires("HerdScrapeFails")
    os.kill(gateway, signal.SIGCONT)
    scene.falls_silent("HerdScrapeFails")


def hang(scene):
    """A rank hangs while its replica computes, and is ended for it."""
    scene.is_quiet()
    with scene.clients(4, max_tokens=64):
        os.kill(scene.status().ranks("replica-0")[1].pid, signal.SIGSTOP)
        scene.fires("HerdStepDeadlineMisses")
        scene.await_serving()


def kill_a_rank(scene):
    """And wait until its replica has another group, or none."""
    before = scene.status()
    ranks_left = before.ranks("replica-0")
    os.kill(ranks_left[-1].pid, signal.SIGKILL)

    def changed():
        now = scene.status()
        return now.replicas["replica-0"] == "lost" or (
            now.replicas["replica-0"] == "serving" and now.replica_epochs["replica-0"] != before.replica_epochs["replica-0"])
    checks.check(f"{scene.what}: a rank is killed", wait_until(changed, SEEN_S), scene.status().line)


def churn(scene):
    """A rank dies again and again."""
    scene.is_quiet()
    for _ in range(6):
        kill_a_rank(scene)
        time.sleep(1.5)  # each epoch is scraped
    scene.fires("HerdEpochChurn")


def budget(scene):
    """A rank dies more often than it may."""
    scene.is_quiet()
    for _ in range(4):
        kill_a_rank(scene)
    scene.fires("HerdRestartBudgetSpent")


def tokens(scene):
    """A rank computes slowly, then not at all for as long as nobody ends it for, and samples another token."""
    scene.is_quiet()
    with scene.clients(2, max_tokens=64):
        scene.fires("HerdTokensSlow", "HerdNoTokens", "HerdTokensDiffer")


def blocks(scene):
    """Of the blocks that move to another replica some come damaged."""
    scene.is_quiet()
    prompts = [request.body["prompt"] for request in long_prompts()]
    operator = Operator(scene)
    with scene.clients(6, prompts, max_tokens=150):
        def drain():
            for name in ("node-1", "node-2"):
                operator.drain(name)
                operator.drain(name, "--undo")
                scene.await_serving()
        scene.fires("HerdKvBlocksDamaged", meanwhile=drain)


def poison(scene):
    """Requests that ranks die of end with an error."""
    scene.is_quiet()
    checks.equal(f"{scene.what}: a request that ranks die of", scene.ask([11, 12, POISON, 13]), 500)
    scene.use()
    scene.fires("HerdErrors")


def load(scene):
    """More is asked than the replicas can do, and than may wait."""
    scene.is_quiet()
    with scene.clients(24, max_tokens=200):
        scene.fires("HerdQueueNotEmpty", "HerdRefusals")


def memory(scene):
    """More KV blocks are wanted than there are."""
    scene.is_quiet()
    with scene.clients(12, max_tokens=200):
        scene.fires("HerdKvFull")


def certificates(scene):
    days = scene.what.rpartition(" ")[2]
    scene.fires("HerdCertificateAboutToEnd" if days == "1" else "HerdCertificateExpires")


def log(scene):
    """Nobody reads what a gateway writes."""
    scene.is_quiet()
    scene.started.pop("gateway-2").stop()
    read, write = os.pipe()
    fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
    words = [scene.herd, "serve", "--config", str(scene.path), "--name", "gateway-2"]
    deaf = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write, env={**os.environ, **scene.mark})
    try:
        scene.await_serving()
        with scene.clients(16, max_tokens=1):
            scene.fires("HerdLogLinesDropped")
    finally:
        for end in (read, write):  # as its reader ends
            os.close(end)
        deaf.terminate()
        checks.equal(f"{scene.what}: it ends all the same", deaf.wait(SEEN_S), 0)


def faulty(text, variable="HERD_TEST_FAULTS"):
    return {name: {variable: text} for name in ("node-1", "node-2")}


def of_both(faults):
    """Of whichever replica a node gets, in its rank 1."""
    return ";".join(f"{fault},replica={replica},rank=1" for fault in faults for replica in (0, 1))


SLOW = [f"kind=hang_for,seconds=1.2,step={step}" for step in (600, *range(610, 700, 5))]
SCENES = {  # what is played, and of which cluster
    "deaths": (deaths, {}),
    "hang": (hang, {}),
    "churn": (churn, {}),
    "budget": (budget, {"settings": {"supervision": {"restart_budget": 3, "restart_window": "60s"}}}),
    "tokens": (tokens, {"faults": faulty(of_both([*SLOW, "kind=flip_token,step=720"])),
                        "shortened": SHORTEST, "every": "200ms"}),
    "blocks": (blocks, {"faults": faulty("kind=damage_block,replica=0-1,step=1,repeat=3")}),
    "poison": (poison, {"faults": faulty(f"token={POISON}", "HERD_TEST_POISON")}),
    "load": (load, {"settings": {"scheduler": {"max_num_seqs": 2}, "limits": {"max_num_queued_reqs": 4}}}),
    "memory": (memory, {"settings": {"scheduler": {"max_num_seqs": 8}, "kv": {"num_blocks": 64}}}),
    "certificates 10": (certificates, {"days": 10}),
    "certificates 1": (certificates, {"days": 1}),
    "log": (log, {"settings": {"logs": {"enable_log_requests": True}}}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("faulty_herd")
    parser.add_argument("scenes", nargs="*")
    flags = parser.parse_args()
    if not shutil.which("prometheus"):
        checks.skip("alerts", "prometheus is not installed")
        return 0
    with TestFolder() as folder:
        for name, (play, wanted) in SCENES.items():
            if flags.scenes and name.split()[0] not in flags.scenes:
                continue
            with ExitStack() as stack:
                play(Scene(flags, stack, folder, name, **wanted))
    if not flags.scenes:
        shipped = set(re.findall(r"^ +- alert: (\S+)$", (ROOT / "config/prometheus/alerts.yml").read_text(), re.MULTILINE))
        checks.equal("every alert that ships was played", fired, shipped)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
