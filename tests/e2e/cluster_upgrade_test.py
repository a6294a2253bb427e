#!/usr/bin/env python3
"""A cluster is replaced by its next version and by its old one again, one process after the other, while 32 clients stream from it: no
stream is lost or refused, none differs from that of an undisturbed server.

    cluster_upgrade_test.py HERD HERD_NEXT

HERD_NEXT (tests/commands/next) speaks protocol 2 beside protocol 1, which is all that HERD speaks. A submission's longest answer has
another meaning in protocol 2: whoever takes one version for the other sends streams of other lengths. HERD_NEXT tells what it spoke.
Standard library only.
"""
import argparse
import collections
import time

from cluster_clients import PATIENCE_S, Clients
from cluster_process import ClusterFile, Program, RoleCluster
from cluster_strikes import STRUCK
from fault_streams import Streams, demo_requests
from serve_process import Checks, Server, TestFolder, wait_until

CLIENTS = 32
STREAMS_OF_A_STAGE = 8      # end before the next process is replaced
# Who is replaced in which order, and what HERD_NEXT speaks from then on: a leader is of its node's build.
UP = {"coordinator": (), "node-1": ("read 1",), "node-2": ("read 1",), "gateway-1": ("read 1", "wrote 2", "read 2"),
      "gateway-2": ("wrote 2", "read 2")}
DOWN = {"node-2": ("wrote 1", "wrote 2"), "gateway-1": ("read 1", "wrote 1"), "coordinator": ("read 1", "wrote 1"),
        "node-1": ("wrote 1",), "gateway-2": ()}
REQUESTS = [*(each for each in demo_requests(120) if each.streamed), *STRUCK]

checks = Checks()


class MixedCluster(RoleCluster):
    """Each program of one of two builds. Both append to one file what HERD_NEXT speaks."""

    def __init__(self, herd, file, log, checks):
        super().__init__(herd, file, checks)
        self.log, self.turns = log, collections.Counter()  # by name: odd while it is being replaced
        self.mark["HERD_TEST_PROTOCOL_LOG"] = str(log)

    def replace(self, name, build):
        """The exit code of the old program, once the new one serves."""
        role = next(role for role in self.COMMANDS if name.startswith(role))
        self.turns[name] += 1
        code = self.started[name].stop()
        self.started[name] = Program([build, self.COMMANDS[role], "--config", self.path, "--name", name], env=self.mark)
        self.herd = build  # an operator's program, too, is of either build
        self.await_serving()
        self.turns[name] += 1
        return code

    def spoken(self):
        """How often HERD_NEXT wrote and read a submission of which protocol."""
        return collections.Counter(self.log.read_text().splitlines() if self.log.exists() else ())


def reference_of(herd, folder):
    with Server(herd, folder=folder, checks=checks) as server:
        outcomes = Streams(server, REQUESTS).join(PATIENCE_S)
    return dict(zip((request.name for request in REQUESTS), outcomes))


def replace_all(cluster, clients, expected, build, shown):
    for name, lines in expected.items():
        began, ended = time.monotonic(), clients.whole()
        code = cluster.replace(name, build)
        before, back = cluster.spoken(), time.monotonic() - began
        more = clients.await_more(STREAMS_OF_A_STAGE)
        checks.check(f"{shown} {name}: it ends with 0, streams go on", code == 0 and more, f"exit code {code}, {clients.wrong()[:1]}")
        said = wait_until(lambda: set(lines) <= set(cluster.spoken() - before), PATIENCE_S)
        checks.check(f"{shown} {name}: then herd_next {' and '.join(lines) or 'need not say anything'}", said, cluster.spoken() - before)
        print(f"note: {shown} {name}: serves after {back:.1f} s, {clients.whole() - ended} streams, {dict(cluster.spoken() - before)}",
              flush=True)


def upgrade(herd, herd_next, folder):
    reference = reference_of(herd, folder)
    file = ClusterFile(folder, tensor_parallel=1, nodes=2, data_parallel=2, gateways=2)
    with MixedCluster(herd, file, folder / "spoken", checks) as cluster:
        cluster.await_serving()
        clients = Clients(cluster.gateways, REQUESTS, reference, CLIENTS)
        cluster.turns = clients.turns  # odd while a gateway is being replaced
        checks.check("before: streams of one version", clients.await_more(CLIENTS), clients.wrong()[:1])
        replace_all(cluster, clients, UP, herd_next, "upgrade of")
        alone = cluster.spoken()
        checks.check("upgraded: streams", clients.await_more(CLIENTS), clients.wrong()[:1])
        alone = cluster.spoken() - alone
        checks.check("upgraded: nobody speaks the old version", set(alone) == {"wrote 2", "read 2"}, alone)
        replace_all(cluster, clients, DOWN, herd, "return of")
        checks.check("every client stops", clients.stop())
        wrong, whole = clients.wrong(), clients.whole()
        checks.check(f"{whole} streams of {CLIENTS} clients: none failed, none differs", not wrong, f"{len(wrong)} wrong; {wrong[:2]}")
        print(f"note: {clients.elsewhere()} times a client went to the other gateway, "
              f"{sum(client.resumed for client in clients.each)} of them in the middle of a stream", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("herd")
    parser.add_argument("herd_next")
    arguments = parser.parse_args()
    with TestFolder() as folder:
        upgrade(arguments.herd, arguments.herd_next, folder)
    return checks.finish()


if __name__ == "__main__":
    raise SystemExit(main())
