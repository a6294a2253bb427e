#!/usr/bin/env python3
"""What it is worth that a prompt goes to the replica whose cache holds its beginning: several replicas as herd chooses them,
the same replicas in turn, and one replica with as many KV blocks as all of them, which is what they can reach. Hit rates, times
to first tokens, output tokens a second; ratios stand beside their bars. Every answer has to have the same token ids everywhere,
which is a check.

    shared_prefix.py HERD [MODEL] [--workloads system,chats,agents] [--replicas 2,4] [--rounds 1] [--scale 1.0] [--context 4096]
                     [--cluster] [--json FILE] [-- SERVE_FLAGS]

Workloads (shared_prefix_workloads.py):
  system  one system prompt before many different questions; in turn, too, a replica has it after its first one
  chats   many chats of several turns, a few at a time: until the next turn of one, all others had theirs
  agents  a few agents, each with a prompt that grows until the context is full

The replicas together have room for all chats (ROOM times the blocks of these), each by itself does not. Every workload has a
server that is new and warm. All servers compute with a thread a core, or a thread a replica where there are fewer cores; the
client runs on the same cores. --cluster: several replicas are processes of `herd up`, a node each. MODEL: the demo model, or a
checkpoint with a longer context. --scale shrinks counts and lengths; as beginnings are routed by pieces of 64 tokens, below 0.1
few are left. The exit code tells of answers, not of bars.
"""
import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from cluster_process import ClusterFile, UpCluster
from herd_process import run_herd
from serve_load import CpuTimes, cpu_model, percentile, post_bytes, run
from serve_process import DEMO_MODEL, Checks, Server, TestFolder, parse_event
from shared_prefix_workloads import BLOCK_TOKENS, IN_FLIGHT, WORKLOADS, Ids, Sizes

ROOM = 1.25
HIT_RATE_BAR = 0.90  # at least, of one replica's
TTFT_BAR = 0.5       # at most, of the p50 in turn
RATE_BAR = 1.0       # at least, of the output tokens a second in turn
COUNTERS = {"queries": "vllm:prefix_cache_queries_total", "hits": "vllm:prefix_cache_hits_total",
            "prompt": "vllm:prompt_tokens_total", "cached": "vllm:prompt_tokens_cached_total",
            "evicted": "herd_kv_evicted_blocks_total", "preempted": "vllm:num_preemptions_total"}

checks = Checks()


# --- Servers ---


@dataclass(frozen=True)
class Subject:
    """What is measured: so many replicas, and how they are chosen."""
    kind: str  # "own": as herd does by itself; "in turn"; "one"
    replicas: int
    blocks: int   # of a replica
    threads: int  # of all replicas together

    def __str__(self):
        return "one replica" if self.kind == "one" else f"{self.replicas} replicas{', in turn' * (self.kind == 'in turn')}"


@dataclass(frozen=True)
class Side:
    """A server that answers."""
    port: int
    pages: object  # () -> its processes' metrics
    pids: object   # () -> its processes


@contextmanager
def serve(flags, subject, longest, folder):
    policy = ["--routing-policy", "round_robin"] if subject.kind == "in turn" else []
    words = ["-dp", subject.replicas, "--num-blocks", subject.blocks, "--block-size", BLOCK_TOKENS, "--threads", subject.threads,
             "--max-num-seqs", IN_FLIGHT, "--max-model-len", longest]
    with Server(flags.herd, *words, *policy, *flags.serve_flags, folder=folder, model=(flags.model,)) as server:
        yield Side(server.port, lambda: [server.metrics()], lambda: [server.process.pid])


def cluster_file(flags, subject, longest, folder):
    more = {"kv": {"num_blocks": subject.blocks, "block_size": BLOCK_TOKENS},
            "scheduler": {"max_num_seqs": IN_FLIGHT, "max_model_len": longest}}
    if subject.kind == "in turn":
        more["routing"] = {"policy": "round_robin"}
    file = ClusterFile(folder, model=flags.model.resolve(), tensor_parallel=1, nodes=subject.replicas,
                       data_parallel=subject.replicas, more=more)
    for node in file.content["nodes"]:
        node["threads"] = subject.threads // subject.replicas
    return file.write()


@contextmanager
def cluster(flags, subject, longest, folder):
    file = cluster_file(flags, subject, longest, folder)
    with UpCluster(flags.herd, file, checks=checks) as running:
        whole = running.await_serving()
        leaders = [whole.leader(replica) for replica in whole.replicas]
        yield Side(running.gateway().port, lambda: [whole.page(leader) for leader in leaders], lambda: list(running.running()))


def opened(flags, subject, longest, folder):
    return (cluster if flags.cluster and subject.kind != "one" else serve)(flags, subject, longest, folder)


def refuses_turns(flags):
    """Why this herd cannot choose replicas in turn; empty where it can."""
    if not flags.cluster:
        known = "--routing-policy" in run_herd(flags.herd, ["serve", "--help"])
        return "" if known else "herd serve has no --routing-policy"
    with TestFolder() as folder:
        file = cluster_file(flags, Subject("in turn", 1, 256, 1), 256, folder)
        checked = subprocess.run([flags.herd, "check", file.path], capture_output=True, text=True, check=False)
        return "" if checked.returncode == 0 else (checked.stdout + checked.stderr).strip()


def subjects(flags, blocks):
    """One replica first: its answers are those that others have to give."""
    cores = len(os.sched_getaffinity(0))
    together = math.lcm(*flags.replicas)
    blocks = -(-blocks // together) * together
    found = [Subject("one", 1, blocks, cores)]
    for replicas in flags.replicas:
        threads = replicas * max(1, cores // replicas)
        found += [Subject(kind, replicas, blocks // replicas, threads) for kind in flags.kinds]
    return found


# --- A client ---


@dataclass
class Run:
    """What one server did of one workload."""
    workload: str
    subject: Subject
    seconds: float = 0.0
    ttft_s: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)   # (conversation, turn) -> token ids
    counters: list = field(default_factory=list)  # of each replica
    others_cores: float = 0.0                     # that neither the server nor the client had

    def total(self, counter):
        return sum(replica[counter] for replica in self.counters)

    @property
    def hit_rate(self):
        return self.total("hits") / self.total("queries")

    @property
    def computed(self):
        return int(self.total("prompt") - self.total("cached"))

    @property
    def busiest(self):
        """The largest share of the prompts' tokens that one replica had."""
        return max(replica["queries"] for replica in self.counters) / self.total("queries")

    @property
    def ttft_p50(self):
        return percentile(self.ttft_s, 0.5)

    @property
    def rate(self):
        return sum(map(len, self.answers.values())) / self.seconds

    def as_json(self):
        figures = {name: getattr(self, name) for name in ("hit_rate", "computed", "busiest", "ttft_p50", "rate", "seconds",
                                                          "others_cores", "counters", "ttft_s")}
        return {"workload": self.workload, "server": str(self.subject), **asdict(self.subject), **figures,
                "ttft_p99": percentile(self.ttft_s, 0.99), "output_tokens": sum(map(len, self.answers.values()))}


async def ask(port, prompt, tokens):
    """Token ids of the answer, seconds to the first."""
    request = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True,
               "return_token_ids": True}
    exchange = await run(port, post_bytes("/v1/completions", request), keep=True)
    if exchange.status != 200 or not exchange.whole:
        raise RuntimeError(f"a prompt of {len(prompt)} tokens was answered with {exchange.status}: {exchange.body()[-300:]!r}")
    events = [parse_event(raw) for raw in b"".join(exchange.chunks()).split(b"\n\n")]
    ids = [id for event in events if event.data and not event.done
           for choice in event.json()["choices"] for id in choice["token_ids"]]
    if len(ids) != tokens:
        raise RuntimeError(f"an answer of {len(ids)} tokens, not {tokens}: {exchange.body()[-300:]!r}")
    return ids, exchange.times[0] - exchange.sent_at


async def client(port, workload, lane, said, into):
    """The turns of one lane, one after the other. `said`: each conversation so far."""
    turns = {}
    for conversation in lane:
        at = turns.get(conversation, 0)
        turns[conversation] = at + 1
        turn = workload.conversations[conversation][at]
        prompt = said.get(conversation, []) + list(turn.new_ids)
        answer, seconds = await ask(port, prompt, turn.answer_tokens)
        said[conversation] = prompt + answer
        into.answers[conversation, at] = answer
        into.ttft_s.append(seconds)


async def warm(port, replicas):
    """Every replica has computed, and said how fast it is."""
    for at in range(3):
        await asyncio.gather(*(ask(port, list(Ids(f"warm {at} {each}").some(Sizes(1), 48)), 16) for each in range(4 * replicas)))


async def drive(side, workload, into):
    said = {}
    await asyncio.gather(*(client(side.port, workload, lane, said, into) for lane in workload.lanes))


# --- Measures ---


def counters(pages):
    """Of each replica."""
    found = {}
    names = {family: name for name, family in COUNTERS.items()}
    for at, page in enumerate(pages):
        for (family, labels), value in page.items():
            if family in names:
                found.setdefault((at, dict(labels)["engine"]), {})[names[family]] = value
    return [found[replica] for replica in sorted(found)]


def cpu_seconds(pids):
    """(of all processes on this machine, ours and the server's)."""
    times = [CpuTimes.of(pid) for pid in pids]
    ticks = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # but idle and iowait
    return busy, times[0].own + sum(sum(each.threads.values()) for each in times)


def measure(flags, subject, workload):
    into = Run(workload.name, subject)
    with TestFolder() as folder, opened(flags, subject, max(workload.lengths), folder) as side:
        asyncio.run(warm(side.port, subject.replicas))
        pids, before = side.pids(), counters(side.pages())
        busy, own = cpu_seconds(pids)
        began = time.perf_counter()
        asyncio.run(drive(side, workload, into))
        into.seconds = time.perf_counter() - began
        busy_after, own_after = cpu_seconds(pids)
        into.others_cores = max(0.0, (busy_after - busy) - (own_after - own)) / into.seconds
        into.counters = [{name: after[name] - replica[name] for name in COUNTERS}
                         for replica, after in zip(before, counters(side.pages()), strict=True)]
    return into


def tell(each):
    where = f"{str(each.subject):<20} {each.subject.blocks:>7} {each.subject.threads:>4}"
    cache = f"{each.hit_rate:7.1%} {each.computed:>9} {int(each.total('evicted')):>8} {each.busiest:>6.0%}"
    first = f"{1e3 * each.ttft_p50:8.0f} {1e3 * percentile(each.ttft_s, 0.99):8.0f}"
    print(f"  {where} | {cache} | {first} | {each.rate:8.1f} {each.seconds:7.1f} {each.others_cores:7.2f}", flush=True)


def check_answers(each, wanted):
    differ = [key for key in wanted.answers.keys() | each.answers.keys() if each.answers.get(key) != wanted.answers.get(key)]
    checks.check(f"{each.workload}: {len(wanted.answers)} answers of {each.subject} have the token ids of {wanted.subject}'s",
                 not differ, f"{len(differ)} differ, the first (conversation, turn) is {min(differ, default=None)}")


def measure_workload(flags, workload, rounds_of):
    print(f"{workload.name}: {workload.requests} requests of {len(workload.conversations)} conversations, "
          f"{len(workload.lanes)} at a time; {workload.common_tokens} tokens in common, up to {max(workload.lengths)} in all; "
          f"{workload.blocks} blocks\n"
          f"{'':<22}  blocks  thr |    hits  computed  evicted busiest | TTFT, ms: p50 p99 | tokens/s seconds  others",
          flush=True)
    runs = []
    for at in range(flags.rounds):
        for subject in rounds_of if at % 2 == 0 else reversed(rounds_of):
            runs.append(measure(flags, subject, workload))
            tell(runs[-1])
    for each in runs[1:]:
        check_answers(each, runs[0])
    return runs


# --- Bars ---


def median(runs, kind, replicas, figure):
    """None where there was no such server."""
    values = [getattr(each, figure) for each in runs if each.subject.kind == kind and each.subject.replicas == replicas]
    return statistics.median(values) if values else None


def bar_rows(runs, replicas):
    """Ratios of medians beside their bars."""
    rows = []
    for name, figure, kind, bar in (("hit rate, of one replica's", "hit_rate", "one", HIT_RATE_BAR),
                                    ("TTFT p50, of that in turn", "ttft_p50", "in turn", TTFT_BAR),
                                    ("output tokens/s, of those in turn", "rate", "in turn", RATE_BAR)):
        own, other = median(runs, "own", replicas, figure), median(runs, kind, 1 if kind == "one" else replicas, figure)
        if own is None or not other:
            continue
        ratio = own / other
        holds = ratio <= bar if figure == "ttft_p50" else ratio >= bar
        rows.append({"workload": runs[0].workload, "replicas": replicas, "name": name, "ratio": ratio, "bar": bar,
                     "holds": holds})
    return rows


def tell_bars(rows):
    print("ratios of replicas as herd chooses them:")
    for row in rows:
        print(f"  {row['workload']:<7} {row['replicas']} replicas  {row['name']:<34} {row['ratio']:6.3f}  bar {row['bar']:<4g}  "
              f"{'holds' if row['holds'] else 'missed'}")


def parse_flags():
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("model", nargs="?", type=Path, default=DEMO_MODEL)
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(WORKLOADS))
    parser.add_argument("--replicas", type=lambda text: [int(part) for part in text.split(",")], default=[2, 4])
    parser.add_argument("--rounds", type=int, default=1, help="every other one in the opposite order; ratios are of medians")
    parser.add_argument("--scale", type=float, default=1.0, help="of the work: counts and lengths shrink by its root")
    parser.add_argument("--context", type=int, default=4096, help="of agents, at most the model's; shrinks with --scale")
    parser.add_argument("--cluster", action="store_true", help="replicas are processes of herd up")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    flags = parser.parse_args(words[:cut])
    flags.serve_flags = words[cut + 1:]
    if unknown := set(flags.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    if flags.cluster and flags.serve_flags:
        parser.error("SERVE_FLAGS are herd serve's, which --cluster is not")
    return flags


def main():
    flags = parse_flags()
    refusal = refuses_turns(flags)
    if refusal:
        checks.skip("replicas in turn", refusal)
    flags.kinds = ["own"] if refusal else ["own", "in turn"]
    model = json.loads(run_herd(flags.herd, ["inspect", flags.model, "--output", "json"]))
    context = min(flags.context, model["max_position_embeddings"])
    sizes = Sizes(flags.scale)
    chats = WORKLOADS["chats"](sizes, context)
    compared = subjects(flags, math.ceil(ROOM * chats.blocks))
    print(f"{cpu_model()}; {flags.model.name}, scale {flags.scale:g}, a context of {context}; {compared[0].blocks} blocks of "
          f"{BLOCK_TOKENS} tokens in all, {ROOM:g} x those of all chats ({chats.blocks})\n"
          f"blocks: of a workload's conversations at their ends; of each replica. thr: compute threads of all replicas.\n"
          f"computed: prompt tokens. busiest: the most that one replica had of all prompts. others: cores that neither server "
          f"nor client had", flush=True)
    runs, bars = [], []
    for name in flags.workloads:
        found = measure_workload(flags, WORKLOADS[name](sizes, context), compared)
        runs += found
        bars += [row for replicas in flags.replicas for row in bar_rows(found, replicas)]
    tell_bars(bars)
    if flags.json:
        found = {"cpu": cpu_model(), "model": str(flags.model), "scale": flags.scale, "context": context,
                 "cluster": flags.cluster, "runs": [each.as_json() for each in runs],
                 "bars": bars}
        flags.json.write_text(json.dumps(found, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
