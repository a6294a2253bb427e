#!/usr/bin/env python3
"""Three gateways of one cluster are one server: API keys, the resume key and event ids are good at each of them; streams of a killed one go
on at another at the next byte; a key has its limits once and not three times, and keys have equal parts of the machine wherever they
ask. A gateway whose key file is another one shows in `herd status`. Standard library only.

    cluster_gateways_test.py HERD [--only PART] [--seconds 10]
"""
import argparse
import os
import signal
import sys
import threading
import time

from cluster_process import ClusterFile, UpCluster
from fault_streams import masked
from serve_process import Answer, Checks, StreamEnd, TestFolder, key_file, wait_until

COMPLETION = "/v1/completions"
PROMPT = "Once upon a time"
PER_MINUTE = 240
IN_FLIGHT = 6
TOKENS_AT_ONCE = 8      # sequences that the replica runs
FAIR_TOKENS = 24        # of each request of those who compete
STREAM_TOKENS = 160
GOES_ON_S = 20          # a bound, not a measure
KEYS = {name: f"sk-{name}-0123456789" for name in ("plain", "minute", "flight", "one", "three")}

checks = Checks()


def write_keys(path, **limits):
    return key_file(path, *(f"{name} key={key} {limits.get(name, '')}" for name, key in KEYS.items()))


def headers(name, **more):
    return {"Authorization": f"Bearer {KEYS[name]}", **more}


def body(tokens, **more):
    return {"prompt": PROMPT, "max_tokens": tokens, "temperature": 1, "seed": 5, "ignore_eos": True, **more}


def gateways_of(cluster):
    return [cluster.gateways[name] for name in sorted(cluster.gateways)]


def stream_of(gateway, seed, last_id=None, on_event=None):
    """A long stream, or its rest. A gateway that has just started may ask a client to come again."""
    over = time.monotonic() + GOES_ON_S
    while True:
        more = {"Last-Event-ID": last_id} if last_id else {}
        end = gateway.stream(COMPLETION, body(STREAM_TOKENS, stream=True, seed=seed), headers("plain", **more), on_event=on_event)
        if not (isinstance(end, Answer) and end.status == 503) or time.monotonic() > over:
            return end
        time.sleep(0.05)


def same_stream(events, whole):
    return events and events[-1].done and [masked(event.json()) for event in events[:-1]] == [masked(event.json()) for event in whole[:-1]]


def good_everywhere(cluster):
    everywhere = gateways_of(cluster)
    for name in KEYS:
        statuses = [gateway.post(COMPLETION, body(1), headers(name)).status for gateway in everywhere]
        checks.equal(f"key \"{name}\" is good at every gateway", statuses, [200] * 3)
    wrong = [gateway.post(COMPLETION, body(1), {"Authorization": "Bearer sk-nobody-0123456789"}).status for gateway in everywhere]
    checks.equal("another key is at none", wrong, [401] * 3)

    whole = [stream_of(gateway, seed=7) for gateway in everywhere]
    checks.check("every gateway says the same stream", all(isinstance(end, StreamEnd) and same_stream(end.events, whole[0].events)
                                                           for end in whole))
    for made_by, first in enumerate(whole):
        at = 5 + 11 * made_by
        rests = [stream_of(gateway, seed=7, last_id=first.events[at].id) for gateway in everywhere]
        wanted = [event.raw for event in first.events[at + 1:]]
        checks.check(f"an event id of gateway-{made_by + 1} goes on at each at the next byte",
                     all(isinstance(end, StreamEnd) and [event.raw for event in end.events] == wanted for end in rests),
                     [end if isinstance(end, Answer) else len(end.events) for end in rests])
    stranger = everywhere[0].stream(COMPLETION, body(STREAM_TOKENS, stream=True, seed=7),
                                    headers("one", **{"Last-Event-ID": whole[0].events[3].id}))
    checks.check("an event id is its key's alone", isinstance(stranger, Answer) and stranger.status in (400, 404, 409), stranger)


def killed_gateway(cluster):
    """Four streams of the first gateway, which is killed when the first of them is at its tenth event."""
    first, *others = gateways_of(cluster)
    whole = {seed: stream_of(others[0], seed=seed).events for seed in range(4)}
    pid = cluster.await_serving().one("gateway", "gateway-1").pid
    heard = {seed: [] for seed in whole}

    def read(seed):
        def on_event(event):
            heard[seed].append(event)
            if seed == 0 and len(heard[0]) == 10:
                os.kill(pid, signal.SIGKILL)
        stream_of(first, seed, on_event=on_event)

    threads = [threading.Thread(target=read, args=(seed,), daemon=True) for seed in whole]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GOES_ON_S)
    cut = {seed: events for seed, events in heard.items() if events and not events[-1].done}
    checks.check("kill -9 of a gateway: in the middle of streams", 0 in cut, {seed: len(events) for seed, events in heard.items()})
    for at, (seed, events) in enumerate(sorted(cut.items())):
        rest = stream_of(others[at % 2], seed, last_id=events[-1].id)
        joined = events + (rest.events if isinstance(rest, StreamEnd) else [])
        checks.check(f"kill -9 of a gateway: stream {seed} goes on at gateway-{at % 2 + 2} at the next byte",
                     same_stream(joined, whole[seed]), f"{len(events)} events, then {rest if isinstance(rest, Answer) else ''}")
    cluster.await_serving(beyond={"gateway-1": 0})


class Askers:
    """Clients that ask a gateway one request after another, until told to stop; what came of it by key."""

    def __init__(self):
        self.taken, self.refused, self.failed = {}, {}, []
        self._lock, self._stop, self._threads = threading.Lock(), threading.Event(), []

    def start(self, gateway, name, count, tokens):
        for _ in range(count):
            self._threads.append(threading.Thread(target=self._ask, args=(gateway, name, tokens), daemon=True))
            self._threads[-1].start()

    def _ask(self, gateway, name, tokens):
        connection = gateway.connect()
        while not self._stop.is_set():
            status = gateway.post(COMPLETION, body(tokens), headers(name), connection).status
            with self._lock:
                if status not in (200, 429):
                    self.failed.append(status)
                counts = self.taken if status == 200 else self.refused
                counts[name] = counts.get(name, 0) + 1
            if status != 200:
                time.sleep(0.02)
        connection.close()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(GOES_ON_S)


def limit_per_minute(cluster, seconds):
    """Most is asked at the first gateway, then at the last."""
    everywhere = gateways_of(cluster)
    began, taken, refused = time.monotonic(), 0, 0
    for clients in ((4, 1, 1), (1, 0, 4)):
        askers = Askers()
        for gateway, count in zip(everywhere, clients):
            askers.start(gateway, "minute", count, tokens=1)
        time.sleep(seconds)
        askers.stop()
        taken, refused = taken + askers.taken.get("minute", 0), refused + askers.refused.get("minute", 0)
        checks.check(f"a limit per minute, {clients} clients: nothing but answers and 429", not askers.failed, askers.failed[:5])
    allowed = PER_MINUTE * (1 + (time.monotonic() - began) / 60)
    checks.check("a limit per minute is had once, within 5 %", refused > 0 and abs(taken / allowed - 1) <= 0.05,
                 f"{taken} taken of {allowed:.0f}, {refused} refused")


class OpenStreams:
    """Streams of a key that last until they are closed."""

    def __init__(self, gateway):
        self.gateway, self.open = gateway, []

    def try_one(self):
        connection = self.gateway.connect()
        connection.request("POST", COMPLETION, self.asked(), {**headers("flight"), "Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status == 200:
            self.open.append((connection, answer))
            return True
        answer.read()
        connection.close()
        return False

    @staticmethod
    def asked():
        return ('{"prompt": "Once upon a time", "max_tokens": 400, "temperature": 0, "ignore_eos": true, "stream": true}').encode()

    def close(self):
        for connection, _ in self.open:
            connection.sock.close() if connection.sock else None
            connection.close()
        self.open.clear()


def limit_in_flight(cluster):
    everywhere = [OpenStreams(gateway) for gateway in gateways_of(cluster)]
    # Wherever they are asked, no more of them are open than the key may have.
    most = 0
    for _ in range(12):
        for streams in everywhere:
            streams.try_one()
        most = max(most, sequences_in_flight(cluster))
        time.sleep(0.1)
    checks.check(f"{IN_FLIGHT} requests in flight: no more at three gateways", 0 < most <= IN_FLIGHT, most)
    for streams in everywhere:
        streams.close()
    # All of them at one gateway, once the others have given theirs back.
    gave_back = wait_until(lambda: sequences_in_flight(cluster) == 0, GOES_ON_S)

    def all_at_one():
        everywhere[1].try_one()
        return sequences_in_flight(cluster) == IN_FLIGHT

    checks.check("in flight: all of them at one gateway where the others want none", gave_back and wait_until(all_at_one, GOES_ON_S))
    everywhere[1].close()
    wait_until(lambda: sequences_in_flight(cluster) == 0, GOES_ON_S)


def sequences_in_flight(cluster):
    """Of everybody: those that wait, at a gateway or at the replica, and those that run. Nobody else asks anything meanwhile."""
    snapshot = cluster.status()
    pages = [gateway.metrics() for gateway in gateways_of(cluster)] + [snapshot.page(snapshot.leader("replica-0"))]
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    return sum(value for page in pages for (name, _), value in page.items() if name in names)


def fair_shares(cluster, seconds):
    """A key that asks at one gateway, and one that asks at all three: each has half of what is computed."""
    askers = Askers()
    first, *others = gateways_of(cluster)
    askers.start(first, "one", 12, FAIR_TOKENS)
    for gateway in (first, *others):
        askers.start(gateway, "three", 12, FAIR_TOKENS)
    time.sleep(2)  # until they have been told of
    before = dict(askers.taken)
    time.sleep(seconds)
    made = {name: count - before.get(name, 0) for name, count in askers.taken.items()}
    askers.stop()
    ratio = made.get("one", 0) / max(1, made.get("three", 0))
    checks.check("two keys, one at one gateway and one at three: equal parts, within a fourth", 0.75 <= ratio <= 1.33, made)


def another_key_file(cluster, keys):
    def notices():
        status = cluster.status()
        return status.content["notices"] if status else None

    checks.equal("gateways with equal keys: nothing to notice", notices(), [])
    snapshot = cluster.await_serving()
    restarts = snapshot.one("gateway", "gateway-3").restarts
    write_keys(keys, plain="weight=3")
    os.kill(snapshot.one("gateway", "gateway-3").pid, signal.SIGKILL)
    cluster.await_serving(beyond={"gateway-3": restarts})
    found = wait_until(lambda: any("API keys of gateway-3" in notice for notice in notices() or []), GOES_ON_S)
    checks.check("a gateway with another key file shows in herd status", found, notices())
    for name in ("gateway-1", "gateway-2"):
        os.kill(cluster.status().one("gateway", name).pid, signal.SIGHUP)
    checks.check("once all have read it again: nothing to notice", wait_until(lambda: notices() == [], GOES_ON_S), notices())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--only", help="a part")
    parser.add_argument("--seconds", type=float, default=8, help="of each time that something is asked")
    flags = parser.parse_args()
    with TestFolder() as folder:
        keys = write_keys(folder / "keys", minute=f"requests_per_minute={PER_MINUTE}", flight=f"in_flight={IN_FLIGHT}")
        file = ClusterFile(folder, tensor_parallel=1, gateways=3,
                           more={"http": {"api_key_file": str(keys)}, "scheduler": {"max_num_seqs": TOKENS_AT_ONCE}})
        with UpCluster(flags.herd, file, checks=checks) as cluster:
            for gateway in cluster.gateways.values():
                gateway.key = KEYS["plain"]
            cluster.await_serving()
            parts = {
                "keys": lambda: good_everywhere(cluster),
                "kill": lambda: killed_gateway(cluster),
                "minute": lambda: limit_per_minute(cluster, flags.seconds),
                "flight": lambda: limit_in_flight(cluster),
                "fair": lambda: fair_shares(cluster, flags.seconds),
                "file": lambda: another_key_file(cluster, keys),
            }
            for name, part in parts.items():
                if flags.only in (None, name):
                    began = time.monotonic()
                    part()
                    print(f"note: {name}: {time.monotonic() - began:.1f} s", flush=True)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
