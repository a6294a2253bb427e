"""A client of several gateways that does what the documents tell clients to do: when a gateway does not answer any more, a stream goes on
at another one with the id of its last event, and a request without an answer is sent there again. Standard library only.
"""
import contextlib
import http.client
import itertools
import time

from serve_process import ANSWER_S, Answer, StreamEnd

GOES_ON_S = 60  # a bound, not a measure


class GatewayClient:
    """Asks like an Endpoint. Requests begin at `first`, or at one gateway after the other; one that says nothing for `silence_s` is
    left. Any thread may ask."""

    def __init__(self, gateways, first=0, silence_s=ANSWER_S, in_turn=False):
        self.gateways, self.silence_s, self.moves = list(gateways), silence_s, 0  # moves: how often one was left
        self._first = itertools.count(first) if in_turn else itertools.repeat(first)

    def post(self, path, body):
        for gateway in self._one_after_the_other():
            try:
                with contextlib.closing(gateway.connect(self.silence_s)) as connection:
                    answer = gateway.post(path, body, connection=connection)
            except (OSError, http.client.HTTPException):
                continue
            if not comes_again(answer):
                return answer
        raise TimeoutError(f"no gateway answers within {GOES_ON_S} s")

    def stream(self, path, body, headers=None, on_event=None):
        """A StreamEnd with the events of all its parts, each of them once; an Answer when a part is refused."""
        events = []

        def seen(event):
            events.append(event)
            if on_event:
                on_event(event)

        for gateway in self._one_after_the_other():
            resumed = {**(headers or {}), **({"Last-Event-ID": events[-1].id} if events else {})}
            try:
                end = gateway.stream(path, body, resumed, seen, timeout_s=self.silence_s)
            except (OSError, http.client.HTTPException):
                continue
            if isinstance(end, Answer):
                if not comes_again(end):
                    return end
            elif end.whole:
                return StreamEnd(events, whole=True)
        raise TimeoutError(f"no gateway goes on with the stream within {GOES_ON_S} s")

    def _one_after_the_other(self):
        first, over = next(self._first), time.monotonic() + GOES_ON_S
        for tried in itertools.count():
            yield self.gateways[(first + tried) % len(self.gateways)]
            self.moves += 1
            if time.monotonic() > over:
                return
            if tried % len(self.gateways) == len(self.gateways) - 1:
                time.sleep(0.05)  # all were asked, and one that has just started may take no connections yet


def comes_again(answer):
    """It asks to be asked again: it has just started."""
    return answer.status == 503 and "retry-after" in answer.headers
