#!/usr/bin/env python3
"""Whoever comes to a cluster's ports or joins it with what is not right is refused or survived, in one line of the log that says who it
was and what was wrong, and counted, while eight streams run that end as those of an undisturbed `herd serve`: strangers, wrong
certificates, garbage, silence, crowds, other clusters, other models, a node twice, a second coordinator, no descriptors, a full disk.

    cluster_bad_input_test.py HERD

Single frames that are wrong (versions, replays, epochs, sizes) are tests/actors/link's. Standard library and openssl.
"""
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

from cluster_process import ClusterFile, Program, RoleCluster, UpCluster, make_certificates
from cluster_strikes import Setting
from fault_streams import Streams
from serve_process import DEMO_MODEL, Checks, TestFolder, wait_until

HERD = sys.argv[1]
CLOSED_S = 10  # a bound for what the other side closes after 3 s at the latest
ASKS_S, ASKS_MAX = 2, 16  # 50 ms, then twice as long each time, with jitter; and what a coordinator says of other things
CROWD = 150    # connections that say nothing, at a time
checks = Checks()


class Ground:
    """A cluster with TLS, the certificates of its processes and of others, and what can be done with them."""

    def __init__(self, folder, cluster, file):
        self.folder, self.cluster, self.file = folder, cluster, file
        self.tls = folder / "certificates"
        self.coordinator = file.coordinator_port
        self.leader = file.node_ports["node-1"]

    def certificate(self, name, folder=None):
        folder = folder or self.tls
        return str(folder / f"{name}.pem"), str(folder / f"{name}.key")

    def expired(self):
        """Signed by the cluster's authority; its last day was yesterday."""
        made = self.folder / "expired.pem", self.folder / "expired.key"
        request, words = self.folder / "expired.csr", self.folder / "expired.ext"
        words.write_text("subjectAltName=URI:herd:gateway/gateway-1\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", made[1], "-out",
                request, "-subj", "/CN=gateway-1")
        openssl("x509", "-req", "-in", request, "-CA", self.tls / "ca.pem", "-CAkey", self.tls / "ca.key", "-days", "-1", "-extfile",
                words, "-out", made[0])
        return tuple(map(str, made))

    def strangers(self):
        """The same names of another authority."""
        folder = self.folder / "strangers"
        return folder if folder.exists() else make_certificates(HERD, folder, 2, 2)

    def program(self, *words, change=None, prefix=()):
        """A command of herd with the cluster's file, or with a changed one."""
        path = self.file.changed(self.folder / f"changed-{os.urandom(4).hex()}.yaml", change) if change else self.file.path
        return Program([*prefix, HERD, *words, "--config", path])


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


def talk(port, content, certificate=None, tls=True, version=ssl.TLSVersion.TLSv1_3):
    """Says that and listens until the other side closes. RuntimeError when it does not."""
    with socket.create_connection(("127.0.0.1", port), timeout=CLOSED_S) as connection:
        try:
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.minimum_version = context.maximum_version = version
                if certificate:
                    context.load_cert_chain(*certificate)
                connection = context.wrap_socket(connection)
            connection.sendall(content)
            while connection.recv(65536):
                pass
        except TimeoutError:
            raise RuntimeError("the other side keeps the connection") from None
        except OSError:
            pass  # closed, whichever way


def crowd(port):
    """Connections that say nothing, all at one time; closed by the other side."""
    open_ones = [socket.create_connection(("127.0.0.1", port), timeout=CLOSED_S) for _ in range(CROWD)]
    for each in open_ones:
        try:
            each.recv(1)
        except ConnectionError:
            pass
        each.close()


def ends(program, *codes):
    """Its exit code is one of these; RuntimeError with what it says when not."""
    code = program.wait(30)
    if code is None:
        program.kill()
    if code not in codes:
        raise RuntimeError(f"exit code {code}, wanted {codes}: {program.stderr(8)}")
    return program


def refused_node(ground, *words, change=None):
    """A node that the cluster refuses asks again, ever more rarely. It is stopped then."""
    seen = len(ground.cluster.up.lines)
    program = ground.program("node", *words, change=change)
    time.sleep(ASKS_S)
    program.stop()
    said = len(new_lines(ground.cluster, seen))
    if said > ASKS_MAX:
        raise RuntimeError(f"{said} lines of log in {ASKS_S} s: {new_lines(ground.cluster, seen)[-3:]}")


LOUD = os.urandom(65536)


def other_cluster(content):
    content["name"] = "another"


def unlisted(content):
    content["nodes"].append({"name": "node-9", "address": "127.0.0.1:19998", "devices": ["cpu", "cpu"]})


def without_model(content):
    content["nodes"][1]["model_path"] = "/no/such/model"


# (name, what happens, the line of the cluster's log; None where it has nothing to say)
ROWS = (
    ("coordinator: noise", lambda g: talk(g.coordinator, LOUD, tls=False), r"127\.0\.0\.1.*TLS"),
    ("coordinator: HTTP", lambda g: talk(g.coordinator, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", tls=False), r"127\.0\.0\.1.*TLS"),
    ("coordinator: silence", lambda g: talk(g.coordinator, b"", tls=False), r"127\.0\.0\.1.*(hello|3 s)"),
    ("coordinator: no certificate", lambda g: talk(g.coordinator, b"x"), r"127\.0\.0\.1.*certificate"),
    ("coordinator: a stranger's certificate",
     lambda g: talk(g.coordinator, b"x", g.certificate("node-1", g.strangers())), r"127\.0\.0\.1.*(certificate|TLS)"),
    ("coordinator: an expired certificate", lambda g: talk(g.coordinator, b"x", g.expired()), r"127\.0\.0\.1.*expired"),
    ("coordinator: TLS 1.2", lambda g: talk(g.coordinator, b"x", g.certificate("node-1"), version=ssl.TLSVersion.TLSv1_2),
     r"127\.0\.0\.1.*TLS"),
    ("coordinator: a good certificate, then noise", lambda g: talk(g.coordinator, LOUD, g.certificate("node-1")), r"node-1"),
    ("coordinator: a good certificate, then silence", lambda g: talk(g.coordinator, b"", g.certificate("gateway-1")),
     r"gateway-1.*(hello|3 s)|(hello|3 s).*gateway-1"),
    ("coordinator: a crowd", lambda g: crowd(g.coordinator), r"too many|half-open|turned away|hello"),
    ("leader: noise", lambda g: talk(g.leader, LOUD, tls=False), r"127\.0\.0\.1.*TLS"),
    ("leader: no certificate", lambda g: talk(g.leader, b"x"), r"127\.0\.0\.1.*certificate"),
    ("leader: an operator's certificate", lambda g: talk(g.leader, LOUD, g.certificate("operator")), r"operator"),
    ("leader: a crowd", lambda g: crowd(g.leader), r"too many|half-open|turned away|hello"),
    ("a node twice", lambda g: refused_node(g, "--name", "node-1"), r"node-1.*(already|twice|another)"),
    ("a node of another cluster", lambda g: refused_node(g, "--name", "node-2", change=other_cluster), r'cluster \W*another\b.*this process to'),
    ("a node that is not listed", lambda g: refused_node(g, "--name", "node-9", change=unlisted), r"node-9"),
    ("a name that the file does not have", lambda g: ends(g.program("node", "--name", "node-7"), 2, 4), None),
    ("a second coordinator", lambda g: ends(g.program("coordinator"), 4), None),
    ("a second gateway on the port", lambda g: ends(g.program("serve", "--name", "gateway-1"), 4), None),
    ("a node without its model", lambda g: ends(g.program("node", "--name", "node-2", change=without_model), 4), None),
    ("a node without descriptors", lambda g: ends(g.program("node", "--name", "node-2", prefix=("prlimit", "--nofile=14:14", "--")),
                                                  4), None),
    ("a gateway without descriptors", lambda g: ends(g.program("serve", prefix=("prlimit", "--nofile=8:8", "--")), 4), None),
    ("a rank by hand", lambda g: ends(Program([HERD, "rank"]), 2), None),
    ("an operator with a gateway's certificate",
     lambda g: ends(g.program("status", change=lambda content: content["tls"].update(
         cert_file=str(g.tls / "gateway-1.pem"), key_file=str(g.tls / "gateway-1.key"))), 1, 2, 3, 4), None),
    ("an operator at a port where nobody is", lambda g: ends(g.program(
        "status", change=lambda content: content["coordinators"][0].update(address="127.0.0.1:19997")), 4), None),
)


def new_lines(cluster, seen):
    return cluster.up.lines[seen:]


def refusals(cluster):
    """All that the coordinator and the leaders counted."""
    status = cluster.status()
    pages = [status.page(member) for member in status.members if member.role in ("coordinator", "rank")]
    return sum(value for page in pages for (name, labels), value in page.items()
               if name == "herd_links_total" and dict(labels)["outcome"] in ("refused", "turned_away"))


class Traffic(threading.Thread):
    """Eight streams, again and again until it is stopped."""

    def __init__(self, setting, gateway):
        super().__init__(daemon=True)
        self.setting, self.gateway, self.rounds, self.wrong, self.stopping = setting, gateway, 0, [], threading.Event()
        self.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.wrong += self.setting.wrong(self.setting.neighbours, Streams(self.gateway, self.setting.neighbours).join())
            except Exception as error:  # a thread's own is seen by nobody
                self.wrong.append(f"{type(error).__name__}: {error}")
            self.rounds += 1

    def stop(self):
        self.stopping.set()
        self.join()


def row(ground, traffic, name, happens, cause):
    cluster = ground.cluster
    seen, counted, wrong = len(cluster.up.lines), refusals(cluster), len(traffic.wrong)
    try:
        happens(ground)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        checks.check(f"{name}: refused", False, error)
        return
    checks.check(f"{name}: refused, and the streams go on", len(traffic.wrong) == wrong, traffic.wrong[wrong:][:1])
    if cause:
        found = wait_until(lambda: any(re.search(cause, line) for line in new_lines(cluster, seen)), 5)
        checks.check(f"{name}: the log says who and why", found, new_lines(cluster, seen)[:6])
        checks.check(f"{name}: it is counted", wait_until(lambda: refusals(cluster) > counted, 5), counted)


def full_disk(setting, folder):
    """No line of any log can be written."""
    file = ClusterFile(folder)
    deaf = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"]
    with RoleCluster(HERD, file, checks, {name: deaf for name in ("coordinator", *file.nodes, *file.gateways)}) as cluster:
        cluster.await_serving()
        wrong = setting.wrong(setting.neighbours, Streams(cluster.gateway(), setting.neighbours).join())
        checks.check("a full disk under every log: 8 answers of an undisturbed server", not wrong, wrong[:1])


def lame_node(setting, folder, name, cause, prefix=(), model_path=None):
    """Beside a node that serves, one that cannot: the status says why, and the streams are whole."""
    file = ClusterFile(folder, nodes=2, data_parallel=2)
    del file.content["supervision"]
    if model_path:
        file.content["nodes"][1]["model_path"] = str(model_path)
    with RoleCluster(HERD, file.write(), checks, {"node-2": list(prefix)}, late=("node-2",)) as cluster:
        wait_until(lambda: (status := cluster.status()) and "serving" in status.replicas.values(), 60)
        cluster.start("node", "node-2")

        def said():
            status = cluster.status()
            return status and any(each["state"] == "lost" and re.search(cause, each["why"] or "") for each in status.content["replicas"])

        checks.check(f"{name}: the status says why its replica does not serve", wait_until(said, 30),
                     cluster.status() and json.dumps(cluster.status().content["replicas"]))
        wrong = setting.wrong(setting.neighbours, Streams(cluster.gateway(), setting.neighbours).join())
        checks.check(f"{name}: 8 answers of an undisturbed server", not wrong, wrong[:1])


def damaged_copy(folder):
    """Of the demo model: one bit of one weight differs."""
    copy = folder / "copy"
    shutil.copytree(DEMO_MODEL, copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    return copy


def main():
    with TestFolder() as folder:
        setting = Setting(HERD, folder, checks)
        make_certificates(HERD, folder / "certificates", 9, 2)
        file = ClusterFile(folder, nodes=2, certificates=folder / "certificates")
        with UpCluster(HERD, file, checks=checks) as cluster:
            cluster.await_serving()
            before = cluster.status().epochs()
            ground, traffic = Ground(folder, cluster, file), Traffic(setting, cluster.gateway())
            for each in ROWS:
                row(ground, traffic, *each)
            traffic.stop()
            checks.check(f"{len(ROWS)} rows: {8 * traffic.rounds} answers of an undisturbed server", traffic.rounds and not traffic.wrong,
                         f"{len(traffic.wrong)} wrong; {traffic.wrong[:1]}")
            checks.equal("nothing of it raised an epoch", cluster.status().epochs(), before)
        lame_node(setting, folder, "a node with another model", r"would compute \S+ there, the cluster computes \S+",
                  model_path=damaged_copy(folder))
        lame_node(setting, folder, "a node without descriptors for its ranks", r"ulimit -n", prefix=("prlimit", "--nofile=26:26", "--"))
        full_disk(setting, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
