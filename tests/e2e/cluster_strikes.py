"""A process of a cluster is killed, or stopped for a while, when a stream is at a given event and eight neighbours run beside it: what
became of all nine answers. Shared by the tests of faults and tests/bench/cluster_pause.py. Standard library only.

    rank       the last rank of a replica         node                 a node's own process; killed, its ranks go with it
    leader     its first one, with the scheduler  node with its ranks  all of them at one time
    gateway    the one that the stream runs over; clients go on at another one (gateway_client.py)
    coordinator                     nothing depends on it, so a stop of it alone raises nothing …
    coordinator and a killed rank   … but one that is stopped when a replica needs a new epoch; and so of a node
"""
import os
import signal
import threading
import time
from dataclasses import dataclass, field

from cluster_process import NotWhole
from fault_streams import COMPLETION, STORY, Request, Streams, demo_requests, what_is_wrong
from gateway_client import GatewayClient
from serve_process import DEMO_MODEL, Server, wait_until

ROLES = ("rank", "leader", "node", "node with its ranks", "coordinator")
KILLED_ROLES = (*ROLES, "gateway")
AND_A_RANK = " and a killed rank"
STOPPED_ROLES = ("rank", "leader", "node", "node" + AND_A_RANK, "node with its ranks", "coordinator" + AND_A_RANK, "gateway")
TOKENS = 64            # of the stream that is struck
NEIGHBOUR_TOKENS = 200
PATIENCE_S = 120       # of one round; a bound, not a measure
SILENCE_S = 1          # after which the client of the struck stream leaves a gateway that is stopped; its neighbours wait
SETTLES_S = 0.5        # how late something may be noticed that has gone on already

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


class Kill:
    """kill -9."""
    shown = "kill -9"

    def strike(self, pids):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def await_end(self):
        """Until nothing more comes of it."""


class Stop:
    """SIGSTOP, and SIGCONT some time later to those that nobody has ended meanwhile."""

    def __init__(self, seconds):
        self.seconds, self.shown, self._processes, self._end = seconds, f"stop for {seconds:.1f} s", [], None

    def strike(self, pids):
        self._processes = [os.pidfd_open(pid) for pid in pids]
        for process in self._processes:
            signal.pidfd_send_signal(process, signal.SIGSTOP)
        self._end = threading.Timer(self.seconds, self._go_on)
        self._end.start()

    def _go_on(self):
        for process in self._processes:
            try:
                signal.pidfd_send_signal(process, signal.SIGCONT)
            except ProcessLookupError:
                pass  # somebody has ended it
            os.close(process)

    def await_end(self):
        self._end.join()
        time.sleep(SETTLES_S)


@dataclass
class Strike:
    fault: object               # a Kill or a Stop
    role: str
    replica: str
    index: int                  # tokens that the client had when it happened
    victims: list
    later: list                 # what may be of a later epoch afterwards; after a kill, what is
    at: float = 0.0             # of time.monotonic()
    open: int = 0               # of the nine streams, then
    moves: int = 0              # how often a client left a gateway
    rose: dict = field(default_factory=dict)  # epochs by name, and attempts
    pause_s: float = 0.0        # the largest gap between two events of a stream, from then on
    back_s: float = 0.0         # until everybody served again
    wrong: list = field(default_factory=list)

    @property
    def counts(self):
        """Something was lost by it: an attempt began anew, or an epoch rose; and by a killed gateway what clients did not have yet."""
        return any(self.rose.values()) and (self.moves > 0 or self.role != "gateway" or not isinstance(self.fault, Kill))

    @property
    def beside(self):
        """What it changed that it should not have: another's epoch; of a coordinator, any attempt; of others, a client's gateway."""
        wider = {name: value for name, value in self.rose.items() if value and name not in (*self.later, "attempts")}
        if self.role == "coordinator" and self.rose["attempts"]:
            wider["attempts"] = self.rose["attempts"]
        if self.role != "gateway" and self.moves:
            wider["gateways that clients left"] = self.moves
        return wider

    def shown(self):
        rose = ", ".join(f"{name} +{value}" for name, value in self.rose.items() if value) or "nothing rose"
        moves = f", clients left a gateway {self.moves} times" if self.moves else ""
        return (f"{self.fault.shown}, {self.role} of {self.replica} at token {self.index}: {self.open} streams open, {rose}{moves}; "
                f"pause {self.pause_s:.3f} s, all back after {self.back_s:.2f} s")

    def strike(self, open_streams):
        self.fault.strike(self.victims)
        self.at, self.open = time.monotonic(), open_streams


def victims_of(snapshot, role, replica, gateway=None):
    """(pids, what has to be of a later epoch afterwards)"""
    ranks = snapshot.ranks(replica)
    if role == "gateway":
        return [snapshot.one("gateway", gateway).pid], [gateway]
    if role.startswith("coordinator"):
        return [member.pid for member in snapshot.of("coordinator")], snapshot.named("coordinator")
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
    Kill().strike(pids)


class Clients:
    """Whom the nine streams ask: where there are several gateways the neighbours are spread over them. Of a gateway that is struck the
    one stream's client leaves it when it is silent, the neighbours' wait."""

    def __init__(self, cluster, role, index):
        names = list(cluster.gateways)
        first = index % len(names)
        self.gateway = names[first]  # the struck stream's
        self.of_struck = self.of_neighbours = cluster.gateways[self.gateway]
        if len(names) > 1:
            gateways = cluster.gateways.values()
            self.of_struck = GatewayClient(gateways, first, SILENCE_S if role == "gateway" else PATIENCE_S)
            self.of_neighbours = GatewayClient(gateways, silence_s=PATIENCE_S, in_turn=True)

    def moves(self):
        return sum(getattr(client, "moves", 0) for client in (self.of_struck, self.of_neighbours))


def strike(setting, cluster, role, request, index, replica=None, fault=None):
    """One round, on the replica that has most to do unless one is named. None when the struck stream had ended before."""
    fault = fault or Kill()
    before, attempts = cluster.await_serving(), cluster.attempts_by_gateway()
    clients = Clients(cluster, role, index)
    neighbours = Streams(clients.of_neighbours, setting.neighbours)
    started = [outcome for each, outcome in zip(setting.neighbours, neighbours.outcomes) if each.streamed]
    if not wait_until(lambda: all(outcome.chunks for outcome in started), PATIENCE_S):
        raise NotWhole(f"neighbours do not begin: {[outcome.error or outcome.answer[:200] for outcome in started]}")
    replica = replica or busiest(before)
    done = Strike(fault, role, replica, index, *victims_of(before, role, replica, clients.gateway))
    dying = victims_of(before, "rank", replica) if role.endswith(AND_A_RANK) else ([], [])
    done.later += dying[1]
    if role.startswith("node") and isinstance(fault, Stop):
        done.later += before.named("coordinator")  # the cluster's epoch rises when a node joins again

    def happens():
        done.strike(1 + neighbours.open_count())
        kill_all(dying[0])

    def on_event(outcome):
        if not done.at and events_of(outcome) >= index:
            happens()

    struck = Streams(clients.of_struck, [request], on_event if index else None)
    if not index:  # nobody tells when a request has arrived: before the first token it is somewhere on its way
        happens()
    requests, outcomes = [*setting.neighbours, request], [*neighbours.join(PATIENCE_S), *struck.join(PATIENCE_S)]
    done.wrong, done.moves = setting.wrong(requests, outcomes), clients.moves()
    if not done.at:
        return None
    fault.await_end()
    lost = done.later if isinstance(fault, Kill) else dying[1]  # a stop may be too short for anybody to notice it
    after = cluster.await_serving(beyond={name: before.epochs().get(name, 0) for name in lost})
    done.back_s = time.monotonic() - done.at
    done.pause_s = max((gap for outcome in outcomes for gap in gaps_after(outcome, done.at)), default=0.0)
    done.rose = risen(before, after) | {"attempts": int(sum(
        max(0, count - attempts[name]) for name, count in cluster.attempts_by_gateway().items()))}  # a killed gateway counts from 0
    return done


def risen(before, after):
    """Of whom the epoch is a later one, by name."""
    return {name: int(epoch > before.epochs().get(name, 0)) for name, epoch in after.epochs().items()}


def gaps_after(outcome, at):
    """Seconds between two of its events of which the later one came after that."""
    return [later - earlier for earlier, later in zip(outcome.times, outcome.times[1:]) if later > at]
