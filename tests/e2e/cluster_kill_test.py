#!/usr/bin/env python3
"""A cluster's processes are killed, told to end, or hang, in the middle of streams: every answer is the one of an undisturbed `herd
serve`, to the byte. A killed gateway comes back, and its streams go on with Last-Event-ID, at itself and at another one. Restarts have a
budget, and what has none left is placed elsewhere. A `herd up` that dies takes its processes with it. Standard library only.

    cluster_kill_test.py HERD [--full] [--roles rank,leader,…] [--replicas 1,2] [--indices 0-63] [--only PART]

With --full also kill -9 of every role but the gateway at every token, greedy and sampled, with one replica and with two, of which
cluster_fault_test.py is the sample. A kill counts only if it raised an attempt or an epoch; how many counted is a check, and the
struck tokens are printed.
"""
import argparse
import os
import signal
import sys
import time

from cluster_process import ClusterFile, UpCluster
from cluster_strikes import ROLES, STRUCK, TOKENS, Setting, busiest, kill_all, strike, victims_of
from fault_streams import Streams, masked
from serve_process import Answer, Checks, StreamEnd, TestFolder, parse_event, wait_until

KILLED_GATEWAY_INDICES = (1, 20, 50)
# Who is told to end, or made to hang. A sample of it are the first ones.
SIGNALS = (("SIGTERM to", signal.SIGTERM, "up"), ("SIGTERM to", signal.SIGTERM, "node"), ("SIGSTOP of", signal.SIGSTOP, "rank"),
           ("SIGTERM to", signal.SIGTERM, "rank"), ("SIGTERM to", signal.SIGTERM, "leader"),
           ("SIGTERM to", signal.SIGTERM, "coordinator"), ("SIGSTOP of", signal.SIGSTOP, "leader"),
           ("SIGSTOP of", signal.SIGSTOP, "node"), ("SIGSTOP of", signal.SIGSTOP, "coordinator"))
GOES_ON_S = 20  # a bound, not a measure

checks = Checks()


def kills(setting, herd, folder, replicas, roles, indices):
    """Every role at every index, on one cluster; the two requests take turns where not every index is asked for."""
    file = ClusterFile(folder, nodes=replicas, data_parallel=replicas)
    with UpCluster(herd, file, checks=checks) as cluster:
        for role in roles:
            rounds = [strike(setting, cluster, role, request, index)
                      for at, index in enumerate(indices) for request in requests_at(at, indices)]
            judge(f"{replicas} replica{'s' * (replicas > 1)}, kill -9 of {role}", rounds)


def requests_at(at, indices):
    return STRUCK if len(indices) == TOKENS else STRUCK[at % 2:at % 2 + 1]


def judge(name, rounds):
    done = [each for each in rounds if each]
    for each in done:
        print(f"note: {each.shown()}", flush=True)
    checks.check(f"{name}: {len(rounds)} streams were struck at their tokens", len(done) == len(rounds), f"{len(done)} were")
    checks.equal(f"{name}: at tokens {sorted({each.index for each in done})}, so many count", sum(each.counts for each in done),
                 len(rounds))
    wrong = [f"at token {each.index}: {found}" for each in done for found in each.wrong]
    checks.check(f"{name}: {9 * len(done)} answers of an undisturbed server", not wrong, f"{len(wrong)} wrong; {wrong[:2]}")
    wider = [f"at token {each.index}: {each.beside}" for each in done if each.beside]
    checks.check(f"{name}: nothing else is lost", not wider, wider)


def undisturbed(setting, herd, folder):
    """The cluster answers as one process does before anything happens to it; what it told at its start is what it tells later."""
    with UpCluster(herd, ClusterFile(folder, nodes=2, data_parallel=2), checks=checks) as cluster:
        requests = [*setting.neighbours, *STRUCK]
        wrong = setting.wrong(requests, Streams(cluster.gateway(), requests).join())
        checks.check("undisturbed: answers of one process", not wrong, wrong[:1])
        now = cluster.await_serving()
        pids = {(member.role, member.name): member.pid for member in now.members}
        checks.equal("undisturbed: herd up and herd status name the same processes",
                     {(member.role, member.name): member.pid for member in cluster.told.members}, pids)
        checks.equal("undisturbed: these are the cluster's processes", set(pids.values()) | {cluster.up.pid}, set(cluster.running()))
        checks.equal("undisturbed: one line on stdout", len(cluster.up.said), 1)
        os.kill(cluster.up.pid, signal.SIGKILL)
        checks.check("kill -9 of herd up: all its processes end", wait_until(lambda: not cluster.running()), cluster.running())
        cluster.up.wait()
        cluster.checks = None  # its exit code is no longer to be judged


def signalled(setting, herd, folder, name, number, role):
    """A process that is told to end, or that hangs, in the middle of streams; "up": all of them are told to end."""
    requests = [*setting.neighbours, *STRUCK]
    with UpCluster(herd, ClusterFile(folder, nodes=2, data_parallel=2), checks=checks) as cluster:
        snapshot = cluster.await_serving()
        streams = Streams(cluster.gateway(), requests)
        begun = wait_until(lambda: all(outcome.chunks for request, outcome in zip(requests, streams.outcomes) if request.streamed))
        pid = cluster.up.pid if role == "up" else victims_of(snapshot, role, busiest(snapshot))[0][0]
        os.kill(pid, number)
        checks.check(f"{name} {role}: in the middle of streams", begun and streams.open())
        wrong = setting.wrong(requests, streams.join())
        checks.check(f"{name} {role}: {len(requests)} answers of an undisturbed server", not wrong, f"{len(wrong)} wrong; {wrong[:1]}")
        if role == "up":
            return
        if number == signal.SIGSTOP and pid in cluster.running():
            os.kill(pid, signal.SIGCONT)  # nobody has ended it meanwhile
        cluster.await_serving()


def cut_stream(gateway, request, index, kill):
    """The events that a client has of a stream whose gateway is killed once there are so many of them."""
    events = []

    def on_event(event):
        events.append(event)
        if len(events) == index:
            kill()

    gateway.stream(request.path, {**request.body, "stream": True}, on_event=on_event)
    return events


def killed_gateway(setting, herd, folder, indices):
    """Its streams go on at the next byte, at the other gateway and at itself once it is back."""
    request, whole = STRUCK[0], setting.reference[STRUCK[0].name].chunks
    with UpCluster(herd, ClusterFile(folder, gateways=2), checks=checks) as cluster:
        first, second = cluster.gateways["gateway-1"], cluster.gateways["gateway-2"]
        for index in indices:
            victim = cluster.await_serving().one("gateway", "gateway-1")
            events = cut_stream(first, request, index, lambda pid=victim.pid: kill_all([pid]))
            began = time.monotonic()
            name = f"kill -9 of a gateway at event {index}"
            checks.check(f"{name}: in the middle of a stream", index <= len(events) < len(whole), len(events))
            elsewhere = rest_of(second, request, events)
            checks.check(f"{name}: it is back", wait_until(lambda: answers(first), GOES_ON_S))
            print(f"note: {name}: it answers again after {time.monotonic() - began:.2f} s", flush=True)
            checks.equal(f"{name}: itself and the other gateway say the same rest", rest_of(first, request, events), elsewhere)
            joined = [parse_event(raw) for raw in (*(event.raw for event in events), *elsewhere)]
            checks.check(f"{name}: the parts are the undisturbed stream", joined[-1].done and
                         [masked(event.json()) for event in joined[:-1]] == [masked(chunk) for chunk in whole],
                         f"{len(events)} events and then {elsewhere[:1]}")


def rest_of(gateway, request, events):
    """Bytes of the events behind them. A gateway that has just started may ask a client to come again."""
    over = time.monotonic() + GOES_ON_S
    while True:
        end = gateway.stream(request.path, {**request.body, "stream": True}, {"Last-Event-ID": events[-1].id})
        if isinstance(end, StreamEnd) and end.whole:
            return [event.raw for event in end.events]
        if not (isinstance(end, Answer) and end.status == 503 and "retry-after" in end.headers) or time.monotonic() > over:
            return [f"data: no whole stream: {end}".encode()]
        time.sleep(0.05)


def answers(gateway):
    try:
        return gateway.get("/ready").status == 200
    except OSError:
        return False


def spent_budget(setting, herd, folder):
    """With the budget of a file that names none a replica's rank comes back three times; then another node has the replica."""
    file = ClusterFile(folder, nodes=2)
    del file.content["supervision"]
    with UpCluster(herd, file.write(), checks=checks) as cluster:
        home = cluster.await_serving().leader("replica-0").node
        homes = []
        for _ in range(4):
            done = strike(setting, cluster, "rank", STRUCK[0], 10)
            checks.check("restart budget: answers of an undisturbed server", done and not done.wrong, done and done.wrong[:1])
            homes.append(cluster.await_serving().leader("replica-0").node)
        checks.check("restart budget: three restarts where it is, then the replica is on the other node",
                     homes[:3] == [home] * 3 and homes[3] != home, homes)


def numbers(text):
    first, _, last = text.partition("-")
    return tuple(range(int(first), int(last or first) + 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--full", action="store_true", help="the whole matrix, instead of a sample")
    parser.add_argument("--roles", default=",".join(ROLES))
    parser.add_argument("--replicas", default="1,2")
    parser.add_argument("--indices", type=numbers, default=range(TOKENS), help="tokens, such as 0-5")
    parser.add_argument("--only", choices=("kills", "undisturbed", "signals", "gateway", "budget"))
    flags = parser.parse_args()
    with TestFolder() as folder:
        setting = Setting(flags.herd, folder, checks)
        parts = {
            "undisturbed": lambda: undisturbed(setting, flags.herd, folder),
            "kills": lambda: [kills(setting, flags.herd, folder, replicas, flags.roles.split(","), flags.indices)
                              for replicas in map(int, flags.replicas.split(","))],
            "signals": lambda: [signalled(setting, flags.herd, folder, *each) for each in (SIGNALS if flags.full else SIGNALS[:3])],
            "gateway": lambda: killed_gateway(setting, flags.herd, folder, range(1, TOKENS) if flags.full else KILLED_GATEWAY_INDICES),
            "budget": lambda: spent_budget(setting, flags.herd, folder),
        }
        for name, part in parts.items():
            if name == flags.only or not flags.only and (flags.full or name != "kills"):
                began = time.monotonic()
                part()
                print(f"note: {name}: {time.monotonic() - began:.1f} s", flush=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
