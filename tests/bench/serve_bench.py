#!/usr/bin/env python3
"""What a crowd does to everybody's streams: slow readers, overload, and how many frames a second come out. Each figure
stands beside its bar.

    serve_bench.py HERD_BINARY --output-json FILE [--parts slow,overload,frames] [--model PATH] [--pairs 7]

The client runs on the server's cores, at the server's own niceness (compute threads are niced by --compute-nice); its
share of a core is measured and said. ITL: seconds between a frame and the one before it, as the client read them.
"""
import argparse
import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from serve_load import CpuTimes, SlowReaders, begin, cpu_model, percentile, post_bytes, run, scrape, total
from serve_process import DEMO_MODEL, Checks, Server, TestFolder

NORMAL, OTHERS = 32, 200
NORMAL_TOKENS = 600  # so many that the prefills at the start are far less than 1 % of the gaps
VOCABULARY = 4000  # of the demo model: ordinary tokens
# On a CPU a small model is bound by arithmetic from a few rows on: a step takes as long as it has rows, and more
# sequences at a time make each slower without making more in all. These bounds are where the demo model's throughput is reached.
# One compute thread: the other core is the server's own and the client's. (With two, whoever is interrupted by them
# keeps the other waiting at the end of every operation.)
OVERLOAD_FLAGS = ["--max-num-seqs", 16, "--max-num-batched-tokens", 64, "--max-num-queued-reqs", 48, "--threads", 1]
CLOSED_LOOP = 40  # requests at a time: more than run, fewer than are refused
FULL_WINDOW_S, TRIAL_S, AFTER_S = 60, 15, 20
TRIALS = 6

checks = Checks()
report = {"cpu": cpu_model(), "figures": []}


def figure(name, value, unit="", bar=None, more=""):
    """A line with a measured number, its bar where there is one, and whether it holds (value <= bar)."""
    shown = f"{value:.4g} {unit}".strip()
    row = {"name": name, "value": value, "unit": unit, "bar": bar, "more": more}
    if bar is None:
        print(f"  {name}: {shown}{'; ' + more if more else ''}", flush=True)
    else:
        row["holds"] = checks.check(f"{name}: {shown}, bar {bar:g} {unit}".strip(), value <= bar, more or "missed")
        if more:
            print(f"  {more}", flush=True)
    report["figures"].append(row)


def shares(cpu):
    return ", ".join(f"{name} {share:.2f}" for name, share in sorted(cpu.items(), key=lambda item: -item[1]))


def ids(rng, count):
    return [rng.randrange(10, VOCABULARY) for _ in range(count)]


def completion(rng, prompt_tokens, max_tokens, **more):
    return post_bytes("/v1/completions", {"prompt": ids(rng, prompt_tokens), "max_tokens": max_tokens, "stream": True,
                                          "ignore_eos": True, "temperature": 1.0, **more})


def itl_ms(exchanges, share=0.99):
    return 1e3 * percentile([gap for exchange in exchanges for gap in exchange.gaps()], share)


# --- Others: clients in a process of their own, so that the measuring one does not work for them ---


async def others(port, count, slow, max_tokens, logprobs):
    """Starts them, says so, and holds them until a line comes."""
    rng = random.Random(5)
    more = {"logprobs": logprobs} if logprobs >= 0 else {}
    requests = [completion(rng, 16, max_tokens, **more) for _ in range(count)]
    stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if slow:
        readers = SlowReaders(port, requests)
        reading = asyncio.create_task(readers.read())
    else:
        exchanges = [await begin(port, request) for request in requests]
    print("started", flush=True)
    await stop
    if slow:
        readers.stop()
        reading.cancel()
        print(sum(readers.received), flush=True)
        readers.close()
    else:
        print(sum(exchange.bytes_received for exchange in exchanges), flush=True)
        for exchange in exchanges:
            exchange.transport.abort()


class Others:
    def __init__(self, port, count, slow, max_tokens, logprobs=-1):
        words = ["--others", json.dumps([port, count, slow, max_tokens, logprobs])]
        self.process = subprocess.Popen([sys.executable, __file__, *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "started\n"

    def stop(self):
        """Bytes they had read."""
        out, _ = self.process.communicate("stop\n", timeout=60)
        return int(out)


# --- 1: slow readers ---


async def until(port, condition, timeout_s=60):
    over = time.monotonic() + timeout_s
    while time.monotonic() < over:
        samples = await scrape(port)
        if condition(samples):
            return samples
        await asyncio.sleep(0.1)
    raise RuntimeError("the server did not get there")


def quiet(samples):
    return total(samples, "vllm:num_requests_running") == total(samples, "herd_gateway_waiting_requests") == 0


async def normal_streams(server, rng, tokens):
    """ITL p99 in ms of the usual streams, and shares of a core."""
    requests = [completion(rng, 16, tokens) for _ in range(NORMAL)]
    before = CpuTimes.of(server.process.pid)
    exchanges = await asyncio.gather(*(run(server.port, request) for request in requests))
    used = CpuTimes.of(server.process.pid).since(before)
    if not all(exchange.whole and exchange.frames == tokens + 1 for exchange in exchanges):
        raise RuntimeError("a normal stream was not whole")
    return itl_ms(exchanges), used


async def pair(server, rng, name, first, second):
    """One run each of two situations, the later one first in every other pair."""
    found = {}
    order = [first, second] if rng.random() < 0.5 else [second, first]
    for situation in order:
        found[situation] = await situation(server, rng)
    print(f"  {name}: {found[first][0]:.2f} ms, then {found[second][0]:.2f} ms beside slow readers", flush=True)
    return found[first], found[second]


async def alone(server, rng):
    return await normal_streams(server, rng, NORMAL_TOKENS)


async def beside_unread_answers(server, rng):
    """200 answers are made and unread but for a byte a second."""
    crowd = Others(server.port, OTHERS, True, 110, logprobs=20)
    await until(server.port, quiet)
    samples = await scrape(server.port)
    result = await normal_streams(server, rng, NORMAL_TOKENS)
    if total(await scrape(server.port), "herd_connections_open") < OTHERS:
        raise RuntimeError("slow readers were gone too early")
    if total(samples, "herd_streams_cut_total") != total(await scrape(server.port), "herd_streams_cut_total"):
        raise RuntimeError("slow readers were cut meanwhile")
    crowd.stop()
    await until(server.port, lambda now: total(now, "herd_connections_open") == 1)
    return result


async def beside_running(server, rng, slow):
    """All of them are being answered at the same time: the same work, read fast or hardly."""
    crowd = Others(server.port, OTHERS, slow, 400)
    await until(server.port, lambda now: total(now, "vllm:num_requests_running") >= OTHERS)
    result = await normal_streams(server, rng, 100)
    if total(await scrape(server.port), "vllm:num_requests_running") < OTHERS:
        raise RuntimeError("the crowd's answers ended too early")
    crowd.stop()
    await until(server.port, lambda now: total(now, "herd_connections_open") == 1 and quiet(now))
    return result


async def slow_part(server, pairs):
    rng = random.Random(3)
    await alone(server, rng)  # warm
    report["slow"] = {}
    situations = {"32 streams alone / beside 200 unread answers": (alone, beside_unread_answers),
                  "32 of 232 running, the rest read fast / a byte a second":
                      (lambda s, r: beside_running(s, r, False), lambda s, r: beside_running(s, r, True))}
    for name, (first, second) in situations.items():
        runs = [await pair(server, rng, "ITL p99", first, second) for _ in range(pairs)]
        ratios = [after[0] / before[0] for before, after in runs]
        report["slow"][name] = [{"itl_p99_ms": [before[0], after[0]], "cpu": [before[1], after[1]]}
                                for before, after in runs]
        figure(f"ITL p99, {name}: median ratio of {pairs} pairs", statistics.median(ratios), "x", 1.10,
               f"{min(ratios):.2f} to {max(ratios):.2f}; cores beside them: {shares(runs[-1][1][1])}")


# --- 2: overload ---


def random_request(rng):
    return completion(rng, rng.randrange(16, 65), rng.randrange(16, 65))


async def capacity(port, seconds, rng):
    """Requests a second when some always wait."""
    done = 0
    over = time.perf_counter() + seconds

    async def client():
        nonlocal done
        while time.perf_counter() < over:
            exchange = await run(port, random_request(rng))
            done += exchange.whole and exchange.status == 200

    await asyncio.gather(*(client() for _ in range(CLOSED_LOOP)))
    return done / seconds


async def watch(server, into, stop):
    """[seconds, waiting, RSS] twice a second."""
    began = time.perf_counter()
    while not stop.is_set():
        answer = await run(server.port, b"GET /load HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        into.append([time.perf_counter() - began, json.loads(answer.body())["waiting"], server.rss_bytes()])
        await asyncio.sleep(0.5)


async def poisson(server, rate, seconds, rng):
    """An open loop of random requests; what became of each, and the watch."""
    requests = [random_request(rng) for _ in range(int(rate * seconds * 1.3) + 20)]
    seen, stop = [], asyncio.Event()
    watching = asyncio.create_task(watch(server, seen, stop))
    started = []
    before = CpuTimes.of(server.process.pid)
    at = began = time.perf_counter()
    late = []
    for request in requests:
        at += rng.expovariate(rate)
        if at > began + seconds:
            break
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        late.append(time.perf_counter() - at)
        started.append(asyncio.create_task(begin(server.port, request)))
    used = CpuTimes.of(server.process.pid).since(before)
    stop.set()
    await watching
    exchanges = await asyncio.gather(*[(await task).ended for task in started])
    return Window(rate, seconds, exchanges, seen, used, percentile(late, 0.99))


class Window:
    def __init__(self, rate, seconds, exchanges, seen, cpu, late_p99):
        self.rate, self.seconds, self.seen, self.cpu, self.late_p99 = rate, seconds, seen, cpu, late_p99
        self.accepted = [exchange for exchange in exchanges if exchange.status == 200 and exchange.whole]
        self.refused = [exchange for exchange in exchanges if exchange.status == 503]
        self.odd = len(exchanges) - len(self.accepted) - len(self.refused)
        self.itl_p99_ms = itl_ms(self.accepted)
        self.answer_ms = [1e3 * (exchange.ended_at - exchange.opened_at) for exchange in self.refused]

    def stable(self):
        last = [waiting for at, waiting, _ in self.seen if at > self.seconds * 2 / 3]
        return not self.refused and not self.odd and statistics.median(last) == 0

    def rss(self, from_s=0.0, to_s=1e9):
        return max(rss for at, _, rss in self.seen if from_s <= at <= to_s)

    def tell(self, name):
        row = {"name": name, "rate": self.rate, "seconds": self.seconds, "accepted": len(self.accepted),
               "refused": len(self.refused), "odd": self.odd, "itl_p99_ms": self.itl_p99_ms,
               "itl_p50_ms": itl_ms(self.accepted, 0.5), "frames": sum(e.frames for e in self.accepted),
               "waiting_max": max(waiting for _, waiting, _ in self.seen), "rss_max_mib": self.rss() / 2**20,
               "client_late_p99_ms": 1e3 * self.late_p99, "cpu": self.cpu}
        report.setdefault("overload", []).append(row)
        print(f"  {name}: {self.rate:.1f} requests/s for {self.seconds} s: {len(self.accepted)} answered, "
              f"{len(self.refused)} refused, {self.odd} neither; ITL p50 {row['itl_p50_ms']:.2f}, p99 "
              f"{self.itl_p99_ms:.2f} ms; at most {row['waiting_max']} waiting; RSS {row['rss_max_mib']:.0f} MiB; "
              f"client late by {row['client_late_p99_ms']:.1f} ms p99; cores: {shares(self.cpu)}", flush=True)


async def sustainable_rate(server, rng):
    """Doubts the first guess in both directions: a neighbour may have held the machine while it was made."""
    most = await capacity(server.port, 8, rng)
    print(f"  {most:.1f} requests/s with {CLOSED_LOOP} at a time", flush=True)
    low, high = None, None
    rate = 0.7 * most
    for _ in range(TRIALS):
        window = await poisson(server, rate, TRIAL_S, rng)
        window.tell("stable" if window.stable() else "not stable")
        if window.stable():
            low = rate
        else:
            high = rate
        rate = 1.3 * low if high is None else 0.7 * high if low is None else (low + high) / 2
        await until(server.port, quiet)
    if low is None:
        raise RuntimeError("no rate was sustainable")
    return low


async def overload_part(server):
    rng = random.Random(7)
    rate = await sustainable_rate(server, rng)
    rss_before = server.rss_bytes()
    usual = await poisson(server, rate, FULL_WINDOW_S, rng)
    usual.tell("R")
    await until(server.port, quiet)
    crowd = await poisson(server, 4 * rate, FULL_WINDOW_S, rng)
    crowd.tell("4 R")
    await until(server.port, quiet)
    after = await poisson(server, rate, AFTER_S, rng)
    after.tell("R again")
    samples = await until(server.port, quiet)
    figure("sustainable rate R", rate, "requests/s")
    figure("refused at R", len(usual.refused), "requests", 0)
    figure("ITL p99 of accepted requests, 4 R / R", crowd.itl_p99_ms / usual.itl_p99_ms, "x", 1.5)
    figure("refusals answered, p50", percentile(crowd.answer_ms, 0.5), "ms")
    figure("refusals answered, p99, the client's own connect included", percentile(crowd.answer_ms, 0.99), "ms", 50)
    figure("answers that are neither whole nor 503 at 4 R", crowd.odd, "requests", 0)
    figure("refusals without Retry-After", sum(not e.header("retry-after") for e in crowd.refused), "requests", 0)
    figure("output at 4 R / at R", sum(e.frames for e in crowd.accepted) / sum(e.frames for e in usual.accepted), "x")
    half = FULL_WINDOW_S / 2
    figure("RSS at 4 R, second half / first half", crowd.rss(half) / crowd.rss(0, half), "x", 1.05,
           f"{rss_before / 2**20:.0f} MiB before, {crowd.rss() / 2**20:.0f} at most, "
           f"{server.rss_bytes() / 2**20:.0f} after")
    figure("ITL p99, R again / R", after.itl_p99_ms / usual.itl_p99_ms, "x", None, f"{len(after.refused)} refused")
    figure("KV blocks held afterwards", total(samples, "vllm:kv_cache_usage_perc"), "", 0)


# --- 3: frames ---


async def frames_part(server):
    rng = random.Random(9)
    requests = [completion(rng, 16, 512) for _ in range(64)]
    before = CpuTimes.of(server.process.pid)
    exchanges = await asyncio.gather(*(run(server.port, request) for request in requests))
    after = CpuTimes.of(server.process.pid)
    used, wall = after.since(before), after.at - before.at
    frames = sum(exchange.frames for exchange in exchanges)
    serving = sum(share for name, share in used.items() if name not in ("compute", "client"))
    figure("frames a second end to end, 64 streams of 512 tokens", frames / wall, "frames/s", None,
           f"cores: {shares(used)}")
    figure("frames a second and core of all threads but compute", frames / wall / serving, "frames/s")
    report["frames"] = {"cpu": used, "wall_s": wall, "frames": frames}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd", nargs="?")
    parser.add_argument("--output-json")
    parser.add_argument("--parts", default="slow,overload,frames")
    parser.add_argument("--model", default=str(DEMO_MODEL))
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--others", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.others:
        asyncio.run(others(*json.loads(flags.others)))
        return 0
    gc.disable()
    parts = {"slow": (["--max-num-seqs", 256, "--max-num-queued-reqs", 1024, "--threads", 1],
                      lambda s: slow_part(s, flags.pairs)),
             "overload": (OVERLOAD_FLAGS, overload_part),
             "frames": (["--max-num-seqs", 64], frames_part)}
    print(report["cpu"], flush=True)
    for name in flags.parts.split(","):
        server_flags, part = parts[name]
        print(f"{name}: herd serve {' '.join(map(str, server_flags))}", flush=True)
        with TestFolder() as folder, Server(flags.herd, *server_flags, folder=folder, checks=checks,
                                            model=(flags.model,)) as server:
            asyncio.run(part(server))
        gc.collect()
    if flags.output_json:
        Path(flags.output_json).write_text(json.dumps(report, indent=1) + "\n")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
