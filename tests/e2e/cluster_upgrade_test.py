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
import http.client
import random
import threading
import time

from cluster_process import ClusterFile, Program, RoleCluster
from cluster_strikes import STRUCK
from fault_streams import Outcome, Streams, demo_requests, what_is_wrong
from serve_process import Answer, Checks, Server, TestFolder, wait_until

CLIENTS = 32
PATIENCE_S = 120            # of a stream and of a stage; a bound, not a measure
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
        self.log, self.replacing = log, None  # whose clients have to go elsewhere
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


class Client(threading.Thread):
    """Streams without end until it is told to stop. A stream that breaks is resumed at the other gateway."""

    def __init__(self, cluster, reference, seed):
        super().__init__(daemon=True)
        self.cluster, self.reference, self.random = cluster, reference, random.Random(seed)
        self.stopping = threading.Event()
        self.whole, self.resumed, self.elsewhere, self.wrong = 0, 0, 0, []
        self.start()

    def run(self):
        while not self.stopping.is_set():
            request = self.random.choice(REQUESTS)
            try:
                found = what_is_wrong(request, self.stream(request), self.reference[request.name])
            except Exception as error:  # a thread's own is seen by nobody
                found = f"{request.name}: {type(error).__name__}: {error}"
            if found:
                self.wrong.append(found)
            self.whole += not found

    def stream(self, request):
        outcome, last, over = Outcome(), None, time.monotonic() + PATIENCE_S
        names = self.random.sample(sorted(self.cluster.gateways), len(self.cluster.gateways))
        for at in range(10**9):
            name = names[at % len(names)]
            turn = self.cluster.turns[name]
            end, last = self.part(name, request, outcome, last)
            if outcome.whole:
                return outcome
            # Only a gateway that is being replaced may refuse or break off, and one that has just started may ask who resumes to come again.
            again = last is not None and outcome.status == 503
            if time.monotonic() > over or not (turn % 2 or turn != self.cluster.turns[name] or again):
                outcome.error = outcome.error or f"{name}: {end}"
                return outcome
            outcome.error = ""
            self.elsewhere += 1
            self.resumed += last is not None
            time.sleep(0.05)

    def part(self, name, request, outcome, last):
        """What the gateway sends behind the event `last`: what it came to, and its last event's id."""
        ids = [last]

        def on_event(event):
            if event.done:
                return
            chunk = event.json()
            if "error" in chunk:
                outcome.error = f"{name}: {chunk}"
                return
            outcome.chunks.append(chunk)
            ids[0] = event.id or ids[0]

        headers = {"Last-Event-ID": last} if last else {}
        try:
            end = self.cluster.gateways[name].stream(request.path, {**request.body, "stream": True}, headers, on_event)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}", ids[0]
        outcome.status = end.status if isinstance(end, Answer) else 200
        outcome.whole = not isinstance(end, Answer) and end.whole and bool(end.events) and end.events[-1].done
        return (f"{end.status} {end.body[:200]}" if isinstance(end, Answer) else "its stream broke off"), ids[0]


class Clients:
    def __init__(self, cluster, reference):
        self.each = [Client(cluster, reference, seed) for seed in range(CLIENTS)]

    def whole(self):
        return sum(client.whole for client in self.each)

    def wrong(self):
        return [found for client in self.each for found in client.wrong]

    def await_more(self, count=STREAMS_OF_A_STAGE):
        """Whether so many more streams end well, or one does not."""
        wanted = self.whole() + count
        return wait_until(lambda: self.whole() >= wanted or self.wrong(), PATIENCE_S) and not self.wrong()

    def stop(self):
        for client in self.each:
            client.stopping.set()
        for client in self.each:
            client.join(PATIENCE_S)
        return not any(client.is_alive() for client in self.each)


def reference_of(herd, folder):
    with Server(herd, folder=folder, checks=checks) as server:
        outcomes = Streams(server, REQUESTS).join(PATIENCE_S)
    return dict(zip((request.name for request in REQUESTS), outcomes))


def replace_all(cluster, clients, expected, build, shown):
    for name, lines in expected.items():
        began, ended = time.monotonic(), clients.whole()
        code = cluster.replace(name, build)
        before, back = cluster.spoken(), time.monotonic() - began
        more = clients.await_more()
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
        clients = Clients(cluster, reference)
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
        print(f"note: {sum(client.elsewhere for client in clients.each)} times a client went to the other gateway, "
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
