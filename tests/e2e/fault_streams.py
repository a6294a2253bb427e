"""Eight requests at a time, and what a fault may not change of their answers: tokens, text, log-probabilities, finish
reasons, order. Shared by rank_faults_test.py and tests/bench/rank_pause_bench.py. Standard library only.
"""
import http.client
import json
import os
import random
import re
import threading
import time
from dataclasses import dataclass, field

from serve_process import Answer, Server, StreamEnd, wait_until

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
STORY = "Once upon a time, in a village by the sea, there lived"
USAGE = {"include_usage": True}


@dataclass(frozen=True)
class Request:
    name: str
    path: str
    body: dict
    streamed: bool = True


def requests_of(prompts, chats, tokens, stops):
    """Eight: greedy and drawn, n = 2, stop strings, log-probabilities, chats and completions, streamed and whole. Each
    has up to `tokens` tokens; `stops` end the two that have stop strings behind the middle."""
    def body(temperature, **more):
        return {"temperature": temperature, "max_tokens": tokens, "ignore_eos": True, "return_token_ids": True, **more}

    def chat(text):
        return {"messages": [{"role": "user", "content": text}]}

    return (
        Request("chat, greedy, log-probabilities", CHAT, chat(chats[0]) | body(0, logprobs=True, top_logprobs=3)),
        Request("chat, drawn, n = 2", CHAT, chat(chats[1]) | body(1.2, seed=3, n=2, stream_options=USAGE)),
        Request("chat, top-p and top-k, whole", CHAT,
                chat(chats[2]) | body(0.9, seed=5, top_p=0.9, top_k=40, logprobs=True), streamed=False),
        Request("completion, greedy, log-probabilities", COMPLETION, {"prompt": prompts[0]} | body(0, logprobs=2)),
        Request("completion, greedy, stop strings", COMPLETION, {"prompt": prompts[1]} | body(0, stop=stops[0])),
        Request("completion, drawn, stop strings, whole", COMPLETION,
                {"prompt": prompts[2]} | body(0.8, seed=11, stop=stops[1], logprobs=1), streamed=False),
        Request("completion, drawn, n = 2, whole", COMPLETION, {"prompt": prompts[3]} | body(1, seed=7, n=2),
                streamed=False),
        Request("completion, penalties, usage", COMPLETION,
                {"prompt": prompts[4]} | body(1, seed=9, repetition_penalty=1.2, presence_penalty=0.4, logprobs=0,
                                              stream_options=USAGE | {"continuous_usage_stats": True})),
    )


def demo_requests(tokens=150):
    prompts = (STORY, STORY, "The capital of France is", "One, two, three, four,", "The opposite of hot is")
    chats = ("Tell me about Peru.", "What is the capital of Norway?", "Count to ten.")
    return requests_of(prompts, chats, tokens, (["qqq", "Mexico City is"], [". small is", "qqq"]))


def long_requests(prompt_tokens, tokens, vocabulary):
    """Prompts so long that the replay after a fault computes for a while, each with a beginning of its own."""
    rng = random.Random(600)
    prompts = [[rng.randrange(1000, vocabulary) for _ in range(prompt_tokens)] for _ in range(5)]
    words = "river stone cloud paper window garden letter music winter harbour candle forest bridge market".split()
    chats = [" ".join(rng.choice(words) for _ in range(prompt_tokens - 40)) for _ in range(3)]
    return requests_of(prompts, chats, tokens, (["qqq", 25 * "Mana"], ["nallahi"]))  # as SmolLM2 happens to go on


class FaultyServer(Server):
    """`faulty_herd serve` (tests/commands/faults): plants faults while it runs, and hears which rank computes where."""

    def __init__(self, faulty_herd, *flags, tensor_parallel=1, data_parallel=1, restarts=None, **options):
        self.data_parallel = data_parallel
        read_end, self._plant_end = os.pipe()
        env = {"HERD_TEST_FAULT_PIPE": str(read_end)}
        if restarts is not None:
            env["HERD_TEST_RESTARTS"] = str(restarts)
        try:
            super().__init__(faulty_herd, "--tp", tensor_parallel, "--dp", data_parallel, *flags, env=env,
                             pass_fds=(read_end,), **options)
        finally:
            os.close(read_end)

    def plant(self, fault):
        seen = self._said("planted")
        os.write(self._plant_end, f"{fault}\n".encode())
        if not wait_until(lambda: self._said("planted") > seen):
            raise RuntimeError(f"not planted: {fault}: {self.stderr()[-500:]}")

    def _said(self, what):
        return sum(line.startswith(f"faults: {what}") for line in list(self.lines))

    def happened(self, fault):
        """How often a fault of that kind happened."""
        kind = re.search(r"kind=(\w+)", fault)[1]
        return self._said(f"{kind}:")

    def rank_thread(self, replica, rank):
        """The thread that computes that rank since it was last made; it is known when the first step came to it."""
        found = re.findall(rf"faults: computes: replica {replica}, rank {rank}, thread (\d+)", self.stderr())
        return int(found[-1])

    def counters(self):
        """Sums over replicas of what the supervision counted."""
        names = {"herd_rank_restarts_total": "ranks", "herd_rank_suspicions_total": "suspicions",
                 "herd_replica_generations_total": "generations", "herd_token_mismatches_total": "mismatches",
                 "herd_replica_given_up": "given up", "herd_replicas_serving": "serving"}
        counted = dict.fromkeys(names.values(), 0)
        for (name, _), value in self.metrics().items():
            if name in names:
                counted[names[name]] += int(value)
        return counted

    def wait(self, *arguments, **options):
        code = super().wait(*arguments, **options)
        if self.process.returncode is not None and self._plant_end is not None:
            os.close(self._plant_end)
            self._plant_end = None
        return code


@dataclass
class Outcome:
    """What one request came to."""
    status: int = 0
    whole: bool = False
    answer: bytes = b""                         # not streamed, or refused
    chunks: list = field(default_factory=list)  # streamed: each event's object, without the [DONE]
    times: list = field(default_factory=list)   # … and when it came, in seconds of time.monotonic()
    error: str = ""

    def gaps(self):
        return [after - before for before, after in zip(self.times, self.times[1:])]


def largest_gap(outcomes):
    """Seconds between two events of a stream: how long clients waited at most."""
    return max(max(outcome.gaps()) for outcome in outcomes if outcome.gaps())


def masked(answer):
    """Without what differs between two runs of the same request, and with nothing else left out."""
    kept = {name: value for name, value in answer.items() if name not in ("id", "created")}
    usage = kept.get("usage")
    if usage and usage.get("prompt_tokens_details"):
        kept["usage"] = usage | {"prompt_tokens_details": usage["prompt_tokens_details"] | {"cached_tokens": None}}
    return kept


def per_choice(chunks):
    """Events by choice: those of one keep their order, how choices interleave is not promised."""
    parts = {}
    for chunk in chunks:
        index = chunk["choices"][0]["index"] if chunk.get("choices") else "usage"
        parts.setdefault(index, []).append(masked(chunk))
    return parts


def kept_of(request, outcome):
    """What must be the same whatever happens."""
    if request.streamed:
        return per_choice(outcome.chunks)
    return masked(json.loads(outcome.answer))


def what_is_wrong(request, outcome, reference):
    """None when the answer is complete and that of the undisturbed run."""
    if outcome.status != 200 or not outcome.whole or outcome.error:
        return f"{request.name}: status {outcome.status}, whole {outcome.whole}, {outcome.error or outcome.answer[:300]}"
    kept, wanted = kept_of(request, outcome), kept_of(request, reference)
    if kept == wanted:
        return None
    if request.streamed:
        for index, part in wanted.items():
            for at, (chunk, other) in enumerate(zip(kept.get(index, []), part)):
                if chunk != other:
                    return f"{request.name}, choice {index}, event {at}: {chunk}, wanted {other}"
        return f"{request.name}: {[len(part) for part in kept.values()]} events, wanted {[len(part) for part in wanted.values()]}"
    return f"{request.name}: {kept}, wanted {wanted}"


def finish_reasons(request, outcome):
    chunks = outcome.chunks if request.streamed else [json.loads(outcome.answer)]
    return [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]


def is_beginning(request, outcome, reference):
    """Whether what came before the stream was given up is what the undisturbed run began with."""
    if not request.streamed:
        return True
    chunks = [chunk for chunk in outcome.chunks if "error" not in chunk]
    wanted = per_choice(reference.chunks)
    return all(part == wanted.get(index, [])[:len(part)] for index, part in per_choice(chunks).items())


class Streams:
    """All requests at a time, each on a connection and a thread of its own. on_event(outcome) is called when a stream's event has
    come, on the stream's thread."""

    def __init__(self, server, requests, on_event=None):
        self.requests = requests
        self.outcomes = [Outcome() for _ in requests]
        self.events = 0
        self._on_event = on_event
        self._threads = [threading.Thread(target=self._run, args=(server, request, outcome), daemon=True)
                         for request, outcome in zip(requests, self.outcomes)]
        for thread in self._threads:
            thread.start()

    def _run(self, server, request, outcome):
        try:
            if request.streamed:
                self._read(server, request, outcome)
            else:
                answer = server.post(request.path, request.body)
                outcome.status, outcome.answer, outcome.whole = answer.status, answer.body, True
        except Exception as error:  # of the connection, of what came through it: a thread's own is seen by nobody
            outcome.error = f"{type(error).__name__}: {error}"

    def _read(self, server, request, outcome):
        def on_event(event):
            outcome.times.append(time.monotonic())
            if not event.done:
                outcome.chunks.append(event.json())
            self.events += 1
            if self._on_event:
                self._on_event(outcome)

        end = server.stream(request.path, {**request.body, "stream": True}, on_event=on_event)
        if isinstance(end, Answer):
            outcome.status, outcome.answer = end.status, end.body
            return
        outcome.status = 200
        outcome.whole = isinstance(end, StreamEnd) and end.whole and bool(end.events) and end.events[-1].done

    def join(self, timeout_s=120):
        """The outcomes; RuntimeError when a stream has no end."""
        over = time.monotonic() + timeout_s
        for thread, request in zip(self._threads, self.requests):
            thread.join(max(0.0, over - time.monotonic()))
            if thread.is_alive():
                raise RuntimeError(f"no end after {timeout_s} s: {request.name}")
        return self.outcomes

    def open(self):
        return self.open_count() > 0

    def open_count(self):
        return sum(thread.is_alive() for thread in self._threads)


class HealthLog(threading.Thread):
    """Asks /live, /health and /ready over and over until it is stopped; remembers every change of an
    answer."""

    PATHS = ("/live", "/health", "/ready")

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.stopping, self.asked = server, threading.Event(), 0
        self.seen = {path: [] for path in self.PATHS}  # the statuses in their order, none twice in a row; 0: no answer
        self.start()

    def run(self):
        connection = self.server.connect(30)
        while not self.stopping.wait(0.003):
            self.asked += 1
            for path in self.PATHS:
                try:
                    status = self.server.request("GET", path, connection=connection).status
                except (OSError, http.client.HTTPException):
                    status = 0
                if self.seen[path][-1:] != [status]:
                    self.seen[path].append(status)
        connection.close()

    def stop(self):
        """The statuses of each path."""
        self.stopping.set()
        self.join()
        return {path: set(statuses) for path, statuses in self.seen.items()}
