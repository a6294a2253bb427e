#!/usr/bin/env python3
"""herd up: what it refuses, what ends it and what it leaves behind. What its clusters do is cluster_*_test.py's. Standard library only.

    up_test.py HERD
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from serve_process import Checks

HERD = sys.argv[1]
MODEL = Path(__file__).resolve().parents[2] / "config/demo_model"
BOUND_S = 60  # no measure

checks = Checks()


def up(*words, temporary=None):
    return subprocess.Popen([HERD, "up", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}, text=True)


def refused(name, code, part, *words, temporary=None):
    program = up(*words, temporary=temporary)
    try:
        out, err = program.communicate(timeout=BOUND_S)
    except subprocess.TimeoutExpired:
        program.kill()
        out, err = program.communicate()
    checks.check(f"{name}: exit code {code}", program.returncode == code, f"{program.returncode}: {err}")
    checks.check(f"{name}: says what and where", part in err, err)
    checks.equal(f"{name}: nothing on standard output", out, "")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cluster(folder, **changes):
    """A file that is right but for the changes; JSON is YAML too."""
    path = Path(folder) / f"cluster{len(list(Path(folder).iterdir()))}.yaml"
    path.write_text(json.dumps({
        "name": "up-test", "model": {"model_path": str(MODEL)}, "kv": {"kv_cache_memory": "16MiB"},
        "coordinators": [{"name": "coordinator", "address": f"127.0.0.1:{free_port()}"}],
        "gateways": [{"name": "gateway", "port": free_port()}],
        "nodes": [{"name": "node", "address": f"127.0.0.1:{free_port()}", "devices": ["cpu"]}], **changes}))
    return path


def refusals(folder):
    right = cluster(folder)
    refused("a model beside a file", 2, "exclude each other", MODEL, "--config", right)
    refused("no gateways", 2, "--gateways must be 1 to 16", "--gateways", 0)
    refused("17 nodes", 2, "--nodes must be 1 to 16", "--nodes", 17)
    refused("3 ranks", 2, "must be 1, 2, 4 or 8", "-tp", 3)
    refused("pages beside a file", 2, "under http.ui", "--ui", "--config", right)
    refused("an unknown shape of output", 2, "--output must be text or json", "--output", "xml")
    refused("no such model", 4, "no such model", Path(folder) / "nothing", temporary=folder)
    refused("no such file", 4, "nothing.yaml", "--config", Path(folder) / "nothing.yaml")
    refused("a file with a word that is none", 3, "paralelism", "--config", cluster(folder, paralelism={"tensor_parallel_size": 2}))
    refused("a file of other hosts", 2, "has no process on this host", "--config", right, "--host", "elsewhere.example")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        refused("a port in use", 4, "the cluster does not start", "--config",
                cluster(folder, coordinators=[{"name": "coordinator", "address": address}]))


def private_folder(folder):
    """Nobody else may lay out the certificates of a demo cluster."""
    place = Path(folder) / f"herd-demo-{os.getuid()}"
    place.mkdir(0o755)
    place.chmod(0o755)
    refused("a folder that others may read", 4, "is not a folder that only this user may enter", temporary=folder)
    place.rmdir()
    place.symlink_to(folder)
    refused("a link in the place of the folder", 4, "is not a folder that only this user may enter", temporary=folder)
    place.unlink()


def processes(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()]


def gone(pids):
    over = time.monotonic() + BOUND_S
    while processes(pids) and time.monotonic() < over:
        time.sleep(0.02)
    return not processes(pids)


def demo(folder):
    """Two at a time have folders of their own; one that is ended cleans up, one that is killed takes its processes along."""
    programs = [up("--nodes", 1, "-tp", 1, "--output", "json", temporary=folder) for _ in range(2)]
    try:
        two_demos(*programs)
    finally:
        for program in programs:
            program.kill()


def two_demos(ended, killed):
    lines = [program.stdout.readline() for program in (ended, killed)]
    if not checks.check("both are ready", all(lines), [program.stderr.read() for program in (ended, killed) if program.poll()]):
        return
    told = [json.loads(line) for line in lines]
    checks.check("two demo clusters at a time", told[0]["config"] != told[1]["config"], told)
    folders = [Path(each["config"]).parent for each in told]
    checks.check("their folders are private", all(place.stat().st_mode & 0o77 == 0 for place in folders))
    pids = [[process["pid"] for process in each["processes"]] for each in told]
    checks.check("each is a gateway, a coordinator, a node and a rank",
                 all(sorted(process["role"] for process in each["processes"]) == ["coordinator", "gateway", "node", "rank"]
                     for each in told), told)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=BOUND_S)
    checks.check("one that is killed takes its processes along", gone(pids[1]), pids[1])
    ended.send_signal(signal.SIGINT)
    out, err = ended.communicate(timeout=BOUND_S)
    checks.equal("the other ends after Ctrl-C: exit code", ended.returncode, 0)
    checks.equal("standard output stays silent after the first line", out, "")
    checks.check("nothing of it is left", gone(pids[0]), err)
    checks.equal("nor of its certificates", sorted(path.name for path in folders[0].iterdir()), ["lock"])


def main():
    with tempfile.TemporaryDirectory() as folder:
        refusals(folder)
        private_folder(folder)
        demo(folder)
    return checks.finish()


sys.exit(main())
