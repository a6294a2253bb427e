"""Clusters of real processes for the end-to-end tests: a file on free ports, `herd up` or one program a role on it, and who runs as
what, as `herd up` and `herd status` tell. Standard library only.

What a cluster starts has a word in its environment by which it is found in /proc: nothing of it may be left when it has ended.
"""
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from serve_process import CRASH_WORDS, DEMO_MODEL, Endpoint, metrics, wait_until

READY_S, STOP_S, STATUS_S = 60, 60, 20  # bounds, no measures
RESUME_KEY = "resume.key"
MARK = "HERD_TEST_CLUSTER"
_ports = random.Random(os.getpid())


def free_ports(count):
    """The first of so many ports in a row that are free on loopback, below those that the kernel gives to clients."""
    while True:
        first = _ports.randrange(20000, 32000 - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue


class ClusterFile:
    """A cluster's file: nodes "node-1", … with a rank's device for each of `devices`, gateways "gateway-1", …, one coordinator. `more`
    holds further settings by section. JSON, which is YAML too."""

    made = 0

    def __init__(self, folder, *, model=DEMO_MODEL, tensor_parallel=2, data_parallel=1, nodes=1, devices=None, gateways=1,
                 hosts=None, coordinator_host=None, certificates=None, more=None):
        ClusterFile.made += 1
        self.name = f"test-{os.getpid()}-{ClusterFile.made}"
        self.path = Path(folder) / f"{self.name}.yaml"
        self.tensor_parallel, self.data_parallel = tensor_parallel, data_parallel
        self.hosts = hosts or ["127.0.0.1"] * nodes  # of each node; the first is the gateways' machine, and the coordinator's
        self.nodes = [f"node-{at + 1}" for at in range(len(self.hosts))]
        self.gateways = [f"gateway-{at + 1}" for at in range(gateways)]
        port, apart = free_ports((len(self.hosts) + 1) * 16), 16
        self.gateway_ports = {name: port + 1 + at for at, name in enumerate(self.gateways)}
        self.node_ports = {name: port + apart * (1 + at) for at, name in enumerate(self.nodes)}
        self.coordinator_port = port
        self.content = {
            "name": self.name,
            "model": {"model_path": str(model)},
            "parallelism": {"tensor_parallel_size": tensor_parallel, "data_parallel_size": data_parallel},
            "http": {"resume_key_file": str(Path(folder) / RESUME_KEY), "shutdown_timeout": "10s"},
            "supervision": {"restart_budget": 1000, "restart_window": "1s"},
            "coordinators": [{"name": "coordinator", "address": f"{coordinator_host or self.hosts[0]}:{port}"}],
            "gateways": [{"name": name, "host": "127.0.0.1", "port": self.gateway_ports[name], "node": self.nodes[0]}
                         for name in self.gateways],
            "nodes": [{"name": name, "address": f"{host}:{self.node_ports[name]}",
                       "devices": ["cpu"] * (devices or tensor_parallel)} for name, host in zip(self.nodes, self.hosts)],
        }
        if certificates:
            self.content["tls"] = {"ca_file": f"{certificates}/ca.pem", "cert_file": f"{certificates}/{{name}}.pem",
                                   "key_file": f"{certificates}/{{name}}.key"}
        for section, settings in (more or {}).items():
            self.content.setdefault(section, {}).update(settings)
        self.write()

    def write(self):
        self.path.write_text(json.dumps(self.content, indent=1) + "\n")
        return self

    def changed(self, path, change):
        """Another file, of the same cluster but for what `change` does to its content."""
        content = json.loads(json.dumps(self.content))
        change(content)
        Path(path).write_text(json.dumps(content, indent=1) + "\n")
        return Path(path)


def make_certificates(herd, folder, file_nodes, file_gateways, days=365):
    """A folder of certificates for so many nodes and gateways of a ClusterFile, good for `days`."""
    nodes, gateways = (",".join(f"{role}-{at + 1}" for at in range(count))
                       for role, count in (("node", file_nodes), ("gateway", file_gateways)))
    subprocess.run([str(herd), "certs", str(folder), "--nodes", nodes, "--gateways", gateways, "--days", str(days)], check=True,
                   capture_output=True, timeout=60)
    return Path(folder)


class Program:
    """A running program and what it says."""

    def __init__(self, words, *, env=None, **options):
        self.words = [str(word) for word in words]
        self.lines, self.said = [], []  # of stderr, of stdout
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})}, **options)
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self.process.stderr, self.lines), (self.process.stdout, self.said))]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe, into):
        for raw in pipe:
            into.append(raw.decode(errors="replace").rstrip("\n"))

    @property
    def pid(self):
        return self.process.pid

    def stderr(self, last=None):
        return "\n".join(self.lines[-last:] if last else self.lines)

    def ended(self):
        return self.process.poll() is not None

    def wait(self, timeout_s=STOP_S):
        """The exit code; None when there is none in time."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        for reader in self._readers:
            reader.join(5)
        return self.process.returncode

    def stop(self):
        """The exit code after SIGTERM; None when it had to be killed."""
        if not self.ended():
            self.process.terminate()
        code = self.wait()
        if code is None:
            self.kill()
        return code

    def kill(self):
        self.process.kill()
        self.wait()


@dataclass(frozen=True)
class Member:
    """A process as `herd status` shows it."""
    role: str
    name: str
    pid: int = 0
    node: str = ""
    leader: bool = False
    state: str = ""
    epoch: int = 0
    restarts: int = 0
    last_death: str = ""

    @property
    def replica(self):
        """Of a rank: its replica's name."""
        return self.name.partition("/")[0]


class Snapshot:
    """What `herd up` or `herd status` says of a cluster at one time."""

    def __init__(self, line):
        self.line = line
        self.content = json.loads(line)
        known = Member.__dataclass_fields__
        self.members = [Member(**{key: value for key, value in each.items() if key in known and value is not None})
                        for each in self.content["processes"]]
        self.replicas = {each["name"]: each["state"] for each in self.content["replicas"]}
        self.replica_epochs = {each["name"]: each["epoch"] for each in self.content["replicas"]}

    def of(self, role):
        return [member for member in self.members if member.role == role]

    def named(self, role):
        return [member.name for member in self.of(role)]

    def one(self, role, name):
        return next(member for member in self.of(role) if member.name == name)

    def ranks(self, replica):
        return sorted((rank for rank in self.of("rank") if rank.replica == replica), key=lambda rank: rank.name)

    def leader(self, replica):
        return next(rank for rank in self.ranks(replica) if rank.leader)

    def page(self, member):
        """A process's own metrics, as serve_process.metrics() reads them."""
        url = next(each["url"] for each in self.content["metrics"] if (each["role"], each["name"]) == (member.role, member.name))
        with urllib.request.urlopen(url, timeout=STATUS_S) as page:
            return metrics(page.read().decode())

    def epochs(self):
        """Of each replica and of the coordinator, and how often each gateway was started again: what rises when one of them is another."""
        return (self.replica_epochs | {member.name: member.epoch for member in self.of("coordinator")} |
                {member.name: member.restarts for member in self.of("gateway")})

    def serves(self, replicas, ranks):
        """So many replicas of so many ranks each, and nobody is missing."""
        return (list(self.replicas.values()) == ["serving"] * replicas and
                len([rank for rank in self.of("rank") if rank.pid]) == replicas * ranks and
                all(self.of(role) for role in ("coordinator", "node", "gateway")) and
                all(member.state == "serving" and member.pid for member in self.members))


class NotWhole(RuntimeError):
    """A cluster that did not come to serve; says what it was instead."""


class Cluster:
    """Of a file; who starts its processes is left to those who inherit. As a context manager it stops them and checks how they
    ended."""

    made = 0

    def __init__(self, herd, path, name, tensor_parallel, data_parallel, checks=None):
        self.herd, self.path, self.name = str(herd), path, name
        self.tensor_parallel, self.data_parallel, self.checks = tensor_parallel, data_parallel, checks
        self.gateways = {}  # Endpoints by name
        Cluster.made += 1
        self.mark = {MARK: f"{os.getpid()}-{Cluster.made}"}

    def programs(self):
        """Those that were started here, the last ones last."""
        raise NotImplementedError

    def running(self):
        """Its processes, by pid: their command lines."""
        found, mark = {}, f"{MARK}={self.mark[MARK]}".encode()
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended, or is another's
        return found

    def status_words(self):
        return [self.herd, "status", "--config", str(self.path), "--output", "json"]

    def status(self):
        """None while there is no coordinator to ask."""
        asked = subprocess.run(self.status_words(), capture_output=True, timeout=STATUS_S, check=False)
        if asked.returncode != 0:
            self.last_refusal = asked.stderr.decode(errors="replace").strip()
            return None
        return Snapshot(asked.stdout.decode())

    def await_serving(self, timeout_s=READY_S, beyond=None):
        """The first Snapshot in which everybody serves, and whoever `beyond` names is of a later epoch than it says."""
        last, over = None, time.monotonic() + timeout_s
        while time.monotonic() < over:
            last = self.status() or last
            if last and last.serves(self.data_parallel, self.tensor_parallel):
                epochs = last.epochs()
                if all(epochs.get(name, 0) > epoch for name, epoch in (beyond or {}).items()):
                    return last
            if any(program.ended() for program in self.programs()):
                break
            time.sleep(0.02)
        raise NotWhole(f"{self.name} does not serve{f' beyond {beyond}' if beyond else ''} after {timeout_s} s: "
                       f"{last.line if last else getattr(self, 'last_refusal', 'no status')}\n{self.stderr(30)}")

    def gateway(self):
        return next(iter(self.gateways.values()))

    def attempts(self):
        """Attempts that its gateways had to begin anew, since they started."""
        return sum(self.attempts_by_gateway().values())

    def attempts_by_gateway(self):
        return {name: sum(value for (family, _), value in gateway.metrics().items() if family == "herd_requests_replayed_total")
                for name, gateway in self.gateways.items()}

    def stderr(self, last=None):
        return "\n".join(program.stderr(last) for program in self.programs())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print("\n".join(f"  | {line}" for line in self.stderr(60).splitlines()), flush=True)
            self.kill()
            return
        codes = [program.stop() for program in reversed(self.programs())]
        left = self.running()
        self.kill()
        crashed = [word for word in CRASH_WORDS if word in self.stderr()]
        if self.checks:
            self.checks.check(f"{self.name}: ends with 0 after SIGTERM, nobody is left", set(codes) == {0} and not left and not crashed,
                              f"exit codes {codes}, left {left}, {crashed}: {self.stderr(20)}")

    def kill(self):
        for program in self.programs():
            program.kill()
        wait_until(lambda: not self.running(), 5)
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)


class UpCluster(Cluster):
    """`herd up`, ready. Without a file: the demo cluster that `words` ask for."""

    def __init__(self, herd, file=None, words=(), checks=None, tensor_parallel=2, data_parallel=2):
        if file:
            super().__init__(herd, file.path, file.name, file.tensor_parallel, file.data_parallel, checks)
            words = ["--config", file.path, *words]
        else:
            super().__init__(herd, None, "demo", tensor_parallel, data_parallel, checks)
        self.up = Program([herd, "up", *words, "--output", "json"], env=self.mark)
        try:
            self._await_line()
        except BaseException:
            self.kill()
            raise

    def _await_line(self):
        wait_until(lambda: self.up.said or self.up.ended(), READY_S)
        if not self.up.said:
            raise NotWhole(f"herd up says nothing on stdout (exit {self.up.process.poll()}): {self.up.stderr(30)}")
        self.told = Snapshot(self.up.said[0])
        self.path = Path(self.told.content["config"])
        for each in self.told.content["endpoints"]:
            host, port = re.fullmatch(r"https?://([^/]+):(\d+)/?", each["url"]).groups()
            self.gateways[each["name"]] = Endpoint(host, int(port))

    def programs(self):
        return [self.up]


class RoleCluster(Cluster):
    """One program a role, behind the command prefixes that `on` gives by name; a coordinator first. Nobody restarts them. `late` ones
    are started by the test."""

    COMMANDS = {"coordinator": "coordinator", "node": "node", "gateway": "serve"}

    def __init__(self, herd, file, checks=None, on=None, late=()):
        super().__init__(herd, file.path, file.name, file.tensor_parallel, file.data_parallel, checks)
        self.file, self.on, self.started = file, on or {}, {}
        try:
            for role, names in (("coordinator", ["coordinator"]), ("node", file.nodes), ("gateway", file.gateways)):
                for name in names:
                    if name not in late:
                        self.start(role, name)
            self.gateways = {name: Endpoint("127.0.0.1", port) for name, port in file.gateway_ports.items()}
        except BaseException:
            self.kill()
            raise

    def start(self, role, name):
        words = [*self.on.get(name, []), self.herd, self.COMMANDS[role], "--config", self.path, "--name", name]
        self.started[name] = Program(words, env=self.mark)
        return self.started[name]

    def programs(self):
        return list(self.started.values())
