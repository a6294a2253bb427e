#!/usr/bin/env python3
"""`herd coordinator` and `herd status`, as processes over TLS: the port as a lock, probes, restarts, what is refused.

    coordinator_test.py HERD_BINARY
"""
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from serve_process import Checks, wait_until

HERD = sys.argv[1]
checks = Checks()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cluster_file(folder, port, metrics_port, cert="{name}"):
    path = folder / f"{cert.strip('{}')}.yaml"
    path.write_text(f"""
name: try
model: {{model_path: nowhere}}
coordinators: [{{name: coordinator, address: "127.0.0.1:{port}", metrics_port: {metrics_port}}}]
gateways: [{{name: gateway-1, port: {free_port()}}}]
nodes: [{{name: a, address: "127.0.0.1:{free_port()}", devices: [cpu]}}]
tls: {{ca_file: ca.pem, cert_file: "{cert}.pem", key_file: "{cert}.key"}}
""")
    return path


def run(*words, timeout_s=60):
    return subprocess.run([HERD, *map(str, words)], capture_output=True, text=True, timeout=timeout_s, check=False)


def status(config, *flags):
    done = run("status", "--config", config, "--output", "json", *flags)
    if done.returncode != 0:
        raise RuntimeError(f"herd status: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


@contextmanager
def coordinator(config, **env):
    log = tempfile.TemporaryFile()
    process = subprocess.Popen([HERD, "coordinator", "--config", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               env={**os.environ, **env})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def page(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def lifetime(config, metrics):
    with coordinator(config) as process:
        shown = status(config)
        own = shown["processes"][0]
        checks.equal("status names the file", shown["config"], str(config))
        checks.equal("who it is", [own["role"], own["name"], own["pid"], own["leader"], own["restarts"], own["last_death"]],
                     ["coordinator", "coordinator", process.pid, False, 0, None])
        checks.equal("the file's other processes", [(p["role"], p["name"], p["pid"], p["state"]) for p in shown["processes"][1:]],
                     [("node", "a", None, "stopped"), ("gateway", "gateway-1", None, "stopped")])
        checks.equal("its metrics", shown["metrics"], [{"role": "coordinator", "name": "coordinator", "url": metrics + "/metrics"}])
        checks.equal("live", page(metrics + "/live")[0], 200)
        checks.equal("ready once it has waited for the node", wait_until(lambda: page(metrics + "/ready")[0] == 200), True)
        checks.equal("then it serves", status(config)["processes"][0]["state"], "serving")
        checks.equal("and what has no place is lost", [(r["name"], r["state"]) for r in status(config)["replicas"]], [("replica-0", "lost")])
        text = page(metrics + "/metrics")[1]
        checks.check("metrics are there", re.search(r"^herd_\w+\{?.* \S+$", text, re.MULTILINE), text)

        second = run("coordinator", "--config", config)
        checks.equal("a second one: its port is the lock", second.returncode, 4)
        checks.check("and says so", "another coordinator of this cluster may be running" in second.stderr, second.stderr)

        table = run("status", "--config", config).stdout
        checks.check("a table for a person", re.search(r"^coordinator +coordinator +serving +\d+ ", table, re.MULTILINE), table)
        return own["epoch"]


def killed_and_back(config, epoch):
    with coordinator(config, HERD_RESTARTS="3", HERD_LAST_DEATH="killed by signal 9 (SIGKILL)") as process:
        own = status(config)["processes"][0]
        checks.equal("what its supervisor says of it", [own["restarts"], own["last_death"]], [3, "killed by signal 9 (SIGKILL)"])
        checks.check("its epoch is beyond the one before", own["epoch"] > epoch, (own["epoch"], epoch))
        process.send_signal(signal.SIGTERM)
        checks.equal("SIGTERM ends it with 0", process.wait(30), 0)
    gone = run("status", "--config", config)
    checks.equal("status without a coordinator", gone.returncode, 4)
    checks.check("says where it asked", re.search(r'coordinator "coordinator" at 127\.0\.0\.1:\d+ does not answer: ', gone.stderr), gone.stderr)


def refusals(config, folder, port):
    unknown = run("coordinator", "--config", config, "--name", "other")
    checks.equal("a name that the file does not have", unknown.returncode, 4)
    checks.equal("no file", run("status", "--config", folder / "none.yaml").returncode, 4)
    checks.equal("an output that is none", run("status", "--config", config, "--output", "xml").returncode, 2)
    node = cluster_file(folder, port, free_port(), "a")  # a certificate of another role
    asked = run("status", "--config", node)
    checks.equal("an operator under a node's certificate", asked.returncode, 2)
    checks.check("hears both names", 'operator "operator"' in asked.stderr and 'node "a"' in asked.stderr, asked.stderr)
    broken = folder / "broken.yaml"
    broken.write_text("name: x\nnonsense: 1\n")
    checks.equal("a file that is wrong", run("coordinator", "--config", broken).returncode, 3)


def watched(config):
    watch = subprocess.Popen([HERD, "status", "--config", str(config), "--watch", "--output", "json"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
    try:
        lines = []
        with coordinator(config):
            while len(lines) < 2 and select.select([watch.stdout], [], [], 60)[0]:
                lines.append(json.loads(watch.stdout.readline()))
        checks.equal("--watch shows what changes", [line["processes"][0]["state"] for line in lines], ["starting", "serving"])
    finally:
        watch.kill()
        watch.wait()


with tempfile.TemporaryDirectory() as name:
    folder = Path(name) / "tls"
    run("certs", folder, "--cluster", "try", "--nodes", "a")
    port, metrics_port = free_port(), free_port()
    config = cluster_file(folder, port, metrics_port)
    epoch = lifetime(config, f"http://127.0.0.1:{metrics_port}")
    killed_and_back(config, epoch)
    refusals(config, folder, port)
    watched(config)
sys.exit(checks.finish())
