"""Clients of a cluster's gateways that stream without end while something happens to the cluster: none of their streams may fail, be
refused, or differ from that of an undisturbed `herd serve`. Standard library only.
"""
import collections
import http.client
import random
import threading
import time

from fault_streams import Outcome, what_is_wrong
from serve_process import Answer, wait_until

PATIENCE_S = 120  # of a stream; a bound, not a measure


class Client(threading.Thread):
    """Streams without end until it is told to stop. A stream that breaks at a gateway that is being replaced is resumed at another."""

    def __init__(self, clients, seed):
        super().__init__(daemon=True)
        self.clients, self.random = clients, random.Random(seed)
        self.stopping = threading.Event()
        self.whole, self.resumed, self.elsewhere, self.wrong = 0, 0, 0, []
        self.start()

    def run(self):
        while not self.stopping.is_set():
            request = self.random.choice(self.clients.requests)
            try:
                found = what_is_wrong(request, self.stream(request), self.clients.reference[request.name])
            except Exception as error:  # a thread's own is seen by nobody
                found = f"{request.name}: {type(error).__name__}: {error}"
            if found:
                self.wrong.append(found)
            self.whole += not found

    def stream(self, request):
        gateways, turns = self.clients.gateways, self.clients.turns
        outcome, last, over = Outcome(), None, time.monotonic() + PATIENCE_S
        names = self.random.sample(sorted(gateways), len(gateways))
        for at in range(10**9):
            name = names[at % len(names)]
            turn = turns[name]
            end, last = self.part(gateways[name], name, request, outcome, last)
            if outcome.whole:
                return outcome
            # Only a gateway that is being replaced may refuse or break off, and one that has just started may ask who resumes to come again.
            again = last is not None and outcome.status == 503
            if time.monotonic() > over or not (turn % 2 or turn != turns[name] or again):
                outcome.error = outcome.error or f"{name}: {end}"
                return outcome
            outcome.error = ""
            self.elsewhere += 1
            self.resumed += last is not None
            time.sleep(0.05)

    def part(self, gateway, name, request, outcome, last):
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
            end = gateway.stream(request.path, {**request.body, "stream": True}, headers, on_event)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}", ids[0]
        outcome.status = end.status if isinstance(end, Answer) else 200
        outcome.whole = not isinstance(end, Answer) and end.whole and bool(end.events) and end.events[-1].done
        return (f"{end.status} {end.body[:200]}" if isinstance(end, Answer) else "its stream broke off"), ids[0]


class Clients:
    """So many at a time. `reference`: outcomes of the requests, by name, of an undisturbed server."""

    def __init__(self, gateways, requests, reference, count=32):
        self.gateways, self.requests, self.reference = gateways, requests, reference
        self.turns = collections.Counter()  # by gateway: odd while it is being replaced
        self.each = [Client(self, seed) for seed in range(count)]

    def whole(self):
        return sum(client.whole for client in self.each)

    def elsewhere(self):
        return sum(client.elsewhere for client in self.each)

    def wrong(self):
        return [found for client in self.each for found in client.wrong]

    def await_more(self, count):
        """Whether so many more streams end well, or one does not."""
        wanted = self.whole() + count
        return wait_until(lambda: self.whole() >= wanted or self.wrong(), PATIENCE_S) and not self.wrong()

    def stop(self):
        """Whether all have ended."""
        for client in self.each:
            client.stopping.set()
        for client in self.each:
            client.join(PATIENCE_S)
        return not any(client.is_alive() for client in self.each)
