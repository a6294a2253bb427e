"""A process of a cluster is killed while a stream is at a given event and eight neighbours run beside it: what became of all nine
answers. Shared by cluster_kill_test.py and tests/bench/cluster_pause.py. Standard library only.

    rank       the last rank of a replica         node                 a node's own process; its ranks go with it
    leader     its first one, with the scheduler  node with its ranks  all of them at one time
    coordinator
"""
import os
import signal
import time
from dataclasses import dataclass, field

from cluster_process import NotWhole
from fault_streams import COMPLETION, STORY, Request, Streams, demo_requests, largest_gap, what_is_wrong
from serve_process import DEMO_MODEL, Server, wait_until

ROLES = ("rank", "leader", "node", "node with its ranks", "coordinator")
TOKENS = 64            # of the stream that is struck
NEIGHBOUR_TOKENS = 200
PATIENCE_S = 120       # of one round; a bound, not a measure

STRUCK = (
    Request("greedy", COMPLETION, {"prompt": STORY, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True, "logprobs": 2,
                                   "return_token_ids": True}),
    Request("sampled, n = 2, stop strings", COMPLETION,
            {"prompt": STORY, "temperature": 1, "seed": 21, "n": 2, "max_tokens": TOKENS, "ignore_eos": True, "logprobs": 2,
             "return_token_ids": True, "stop": ["qqq", ". The"], "stream_options": {"include_usage": True}}),
)


def events_of(outcome):
    """So many tokens of its first choice a client has."""
    return sum(bool(chunk.get("choices")) and chunk["choices"][0]["index"] == 0 for chunk in outcome.chunks)


class Setting:
    """What all rounds compare with: the answers of `herd serve`, one process that nothing happens to."""

    def __init__(self, herd, folder, checks, model=DEMO_MODEL, neighbours=None):
        self.neighbours = neighbours or demo_requests(NEIGHBOUR_TOKENS)
        with Server(herd, folder=folder, checks=checks, model=(model,)) as server:
            requests = [*self.neighbours, *STRUCK]
            outcomes = Streams(server, requests).join(PATIENCE_S)
        wrong = [outcome.error or outcome.answer[:200] for outcome in outcomes if outcome.status != 200 or not outcome.whole]
        if wrong:
            raise RuntimeError(f"the undisturbed run is not whole: {wrong}")
        self.reference = dict(zip((request.name for request in requests), outcomes))

    def tokens_of(self, request):
        """Of its first choice, undisturbed."""
        return events_of(self.reference[request.name])

    def wrong(self, requests, outcomes):
        return [found for request, outcome in zip(requests, outcomes)
                if (found := what_is_wrong(request, outcome, self.reference[request.name]))]


@dataclass
class Strike:
    role: str
    replica: str
    index: int                  # tokens that the client had when it happened
    victims: list
    later: list                 # what is of a later epoch afterwards, and nothing else
    at: float = 0.0             # of time.monotonic()
    open: int = 0               # of the nine streams, then
    rose: dict = field(default_factory=dict)  # epochs by name, and attempts
    pause_s: float = 0.0        # the largest gap between two events of a stream, from then on
    back_s: float = 0.0         # until everybody served again
    wrong: list = field(default_factory=list)

    @property
    def counts(self):
        """Something was lost by it: an attempt began anew, or an epoch rose."""
        return any(self.rose.values())

    @property
    def beside(self):
        """What it changed that it should not have: another replica's epoch; of a coordinator, any attempt."""
        wider = {name: value for name, value in self.rose.items() if value and name not in (*self.later, "attempts")}
        return wider | ({"attempts": self.rose["attempts"]} if self.role == "coordinator" and self.rose["attempts"] else {})

    def shown(self):
        rose = ", ".join(f"{name} +{value}" for name, value in self.rose.items() if value) or "nothing rose"
        return (f"{self.role} of {self.replica} at token {self.index}: {self.open} streams open, {rose}; pause {self.pause_s:.3f} s, "
                f"all back after {self.back_s:.2f} s")


def victims_of(snapshot, role, replica):
    """(pids, what has to be of a later epoch afterwards)"""
    ranks = snapshot.ranks(replica)
    if role == "coordinator":
        return [member.pid for member in snapshot.of("coordinator")], [member.name for member in snapshot.of("coordinator")]
    if role == "rank":
        return [ranks[-1].pid], [replica]
    if role == "leader":
        return [snapshot.leader(replica).pid], [replica]
    node = snapshot.one("node", ranks[0].node)
    theirs = [rank for rank in snapshot.of("rank") if rank.node == node.name]
    lost = sorted({rank.replica for rank in theirs})
    return [node.pid, *(rank.pid for rank in theirs if role == "node with its ranks")], lost


def busiest(snapshot):
    """The replica that runs most sequences now, as its leader says."""
    def running(replica):
        return sum(value for (name, _), value in snapshot.page(snapshot.leader(replica)).items() if name == "vllm:num_requests_running")

    return max(snapshot.replicas, key=running)


def kill_all(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def strike(setting, cluster, role, request, index, replica=None):
    """One round, on the replica that has most to do unless one is named. None when the struck stream had ended before."""
    before, attempts = cluster.await_serving(), cluster.attempts()
    neighbours = Streams(cluster.gateway(), setting.neighbours)
    started = [outcome for each, outcome in zip(setting.neighbours, neighbours.outcomes) if each.streamed]
    if not wait_until(lambda: all(outcome.chunks for outcome in started), PATIENCE_S):
        raise NotWhole(f"neighbours do not begin: {[outcome.error or outcome.answer[:200] for outcome in started]}")
    replica = replica or busiest(before)
    pids, later = victims_of(before, role, replica)
    done = Strike(role, replica, index, pids, later)

    def on_event(outcome):
        if not done.at and events_of(outcome) >= index:
            kill_all(pids)
            done.at = time.monotonic()
            done.open = 1 + neighbours.open_count()

    struck = Streams(cluster.gateway(), [request], on_event if index else None)
    if not index:  # nobody tells when a request has arrived: before the first token it is somewhere on its way
        kill_all(pids)
        done.at, done.open = time.monotonic(), 1 + neighbours.open_count()
    requests, outcomes = [*setting.neighbours, request], [*neighbours.join(PATIENCE_S), *struck.join(PATIENCE_S)]
    done.wrong = setting.wrong(requests, outcomes)
    if not done.at:
        return None
    after = cluster.await_serving(beyond={name: before.epochs().get(name, 0) for name in later})
    done.back_s = time.monotonic() - done.at
    done.pause_s = max((gap for outcome in outcomes for gap in gaps_after(outcome, done.at)), default=0.0)
    rose = {name: epoch - before.epochs().get(name, 0) for name, epoch in after.epochs().items()}
    done.rose = {name: int(value > 0) for name, value in rose.items()} | {"attempts": int(cluster.attempts() - attempts)}
    return done


def gaps_after(outcome, at):
    """Seconds between two of its events of which the later one came after that."""
    return [later - earlier for earlier, later in zip(outcome.times, outcome.times[1:]) if later > at]
