#!/usr/bin/env python3
"""How long clients wait when a rank is lost: the largest gap between two tokens of any of eight streams, for each kind of
fault, with and without a second replica, beside that of streams that nothing happened to. And how long a process takes to
end whose rank hangs: by itself where no other replica is left, and when it is told to.

    rank_pause_bench.py FAULTY_HERD HERD [--smollm2 GGUF] [--repeats 30] [--hangs 5] [--output-json FILE]

-tp 2. Repeats run on one server, one after another; each hang needs a server of its own. Each figure stands beside its bar.
"""
import argparse
import json
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from fault_streams import FaultyServer, Streams, demo_requests, largest_gap, long_requests, what_is_wrong
from serve_load import cpu_model, percentile
from serve_process import Checks, Server, TestFolder, wait_until
from stopped_thread import NotAllowed, StoppedThread

STEP = "20-60"  # in the middle of the streams, another one each time
PAUSE_BAR_S = 3.0      # p99, demo model
EXIT_BAR_S = 5.0       # of a process that nothing can be done for
SHUTDOWN_TIMEOUT_S = 2
TERMINATION_BAR_S = SHUTDOWN_TIMEOUT_S + 1
SMOLLM2_VOCABULARY = 49000

KINDS = ("kind=fail", "kind=die", "kind=die_in_collective,operation=3", "kind=skip_collective,operation=2",
         "kind=flip_token", "kind=hang_for,seconds=2")

checks = Checks()
figures = []


def figure(name, values, bar=None):
    """A row: p50, p99, the largest; against its bar where there is one."""
    p50, p99 = (percentile(values, share) for share in (0.5, 0.99))
    text = f"{name}: p50 {p50:.3f} s, p99 {p99:.3f} s, max {max(values):.3f} s of {len(values)}"
    figures.append({"name": name, "p50_s": p50, "p99_s": p99, "max_s": max(values), "count": len(values), "bar_s": bar})
    if bar is None:
        print(f"  {text}", flush=True)
    else:
        checks.check(f"{text}; bar p99 {bar:g} s", p99 <= bar)


class Setting:
    def __init__(self, flags, folder, name, model, requests, bar):
        self.flags, self.folder, self.name, self.requests, self.bar = flags, folder, name, requests, bar
        self.model = {"model": (model,)} if model else {}
        with Server(flags.herd, folder=folder, **self.model) as server:
            self.reference = Streams(server, requests).join()

    def server(self, data_parallel, *flags, restarts=100000):
        return FaultyServer(self.flags.faulty_herd, *flags, tensor_parallel=2, data_parallel=data_parallel,
                            restarts=restarts, folder=self.folder, **self.model)

    def wrong(self, outcomes):
        return [found for row in zip(self.requests, outcomes, self.reference) if (found := what_is_wrong(*row))]


def pauses(setting, server, fault, repeats):
    """Of each repeat the largest gap; streams that are not whole are failures."""
    found, wrong = [], []
    for i in range(repeats):
        if fault:
            before = server.happened(fault)
            server.plant(f"{fault},rank=0-1,replica=0,step={STEP},seed={i}")
        outcomes = Streams(server, setting.requests).join(600)
        wrong += setting.wrong(outcomes)
        if fault and server.happened(fault) != before + 1:
            continue  # the other replica had so much of the work that this one's step never came
        found.append(largest_gap(outcomes))
        wait_until(lambda: server.counters()["serving"] == server.data_parallel and server.open_requests() == 0)
    checks.check(f"{setting.name}: {fault or 'nothing'}: {repeats} times 8 answers of an undisturbed server", not wrong,
                 f"{len(wrong)} wrong; {wrong[:1]}")
    return found


def pause_rows(setting, repeats):
    for data_parallel in (1, 2):
        with setting.server(data_parallel) as server:
            where = f"{setting.name}, -tp 2 -dp {data_parallel}"
            figure(f"{where}, nothing happens", pauses(setting, server, None, repeats))
            for kind in KINDS:
                if found := pauses(setting, server, kind, repeats):
                    figure(f"{where}, {kind}", found, setting.bar)


def start_hang(setting, server, kind):
    """(streams, when it began to hang)."""
    if kind == "a thread stopped by a debugger":
        streams = Streams(server, setting.requests)
        wait_until(lambda: streams.events > 8 * 10, 120)
        StoppedThread(server.rank_thread(0, 1))
    else:
        server.plant(f"{kind},rank=1,replica=0,step=20")
        streams = Streams(server, setting.requests)
        while not server.happened(kind) and streams.open():
            time.sleep(0.002)
    return streams, time.monotonic()


def hang_beside_another(setting, kind):
    """(largest gap, seconds from SIGTERM to the end), of a server that serves on without that replica."""
    server = setting.server(2, "--shutdown-timeout", SHUTDOWN_TIMEOUT_S)
    try:
        streams, _ = start_hang(setting, server, kind)
        outcomes = streams.join(600)
        wrong = setting.wrong(outcomes)
        checks.check(f"{setting.name}: {kind}: streams move to the other replica", not wrong, wrong[:1])
        return largest_gap(outcomes), termination(server)
    finally:
        server.kill()


def termination(server):
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    code = server.wait(60)
    checks.check("SIGTERM ends it", code is not None, code)
    return time.monotonic() - began


def hang_alone(setting, kind):
    """Seconds until the process has ended."""
    server = setting.server(1)
    try:
        streams, began = start_hang(setting, server, kind)
        code = server.wait(60)
        took = time.monotonic() - began
        checks.check(f"{setting.name}: {kind}: ends with an error by itself", code is not None and code > 0, code)
        streams.join(60)
        return took
    finally:
        server.kill()


def terminated_in_a_hang(setting, kind):
    server = setting.server(1, "--shutdown-timeout", SHUTDOWN_TIMEOUT_S)
    try:
        streams, _ = start_hang(setting, server, kind)
        took = termination(server)
        streams.join(60)
        return took
    finally:
        server.kill()


def hang_rows(setting, repeats):
    for kind in ("kind=hang", "kind=hang_in_collective", "a thread stopped by a debugger"):
        try:
            beside = [hang_beside_another(setting, kind) for _ in range(repeats)]
        except NotAllowed as error:
            checks.skip(kind, f"this machine traces no process: {error}")
            continue
        figure(f"{setting.name}, -tp 2 -dp 2, {kind}", [gap for gap, _ in beside], setting.bar)
        figure(f"{setting.name}, -tp 2 -dp 2, {kind}: SIGTERM afterwards", [took for _, took in beside], TERMINATION_BAR_S)
        figure(f"{setting.name}, -tp 2 -dp 1, {kind}: the process ends", [hang_alone(setting, kind) for _ in range(repeats)],
               EXIT_BAR_S)
        figure(f"{setting.name}, -tp 2 -dp 1, {kind}: SIGTERM meanwhile",
               [terminated_in_a_hang(setting, kind) for _ in range(repeats)], TERMINATION_BAR_S)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faulty_herd")
    parser.add_argument("herd")
    parser.add_argument("--smollm2", help="its GGUF: prompts of 600 tokens there")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--hangs", type=int, default=5)
    parser.add_argument("--output-json", type=Path)
    flags = parser.parse_args()
    print(cpu_model(), flush=True)
    with TestFolder() as folder:
        demo = Setting(flags, folder, "demo model", None, demo_requests(), PAUSE_BAR_S)
        pause_rows(demo, flags.repeats)
        hang_rows(demo, flags.hangs)
        if flags.smollm2:
            long = Setting(flags, folder, "SmolLM2, 600-token prompts", flags.smollm2,
                           long_requests(600, 64, SMOLLM2_VOCABULARY), None)
            pause_rows(long, max(1, flags.repeats // 10))
    if flags.output_json:
        flags.output_json.write_text(json.dumps({"cpu": cpu_model(), "figures": figures}, indent=1))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
