#!/usr/bin/env python3
"""Ranks that fail, die, hang, skip an operation, say another token, in the middle of eight streams: every answer is the
one of an undisturbed server, and the health routes tell the truth all along. Only a thread that hangs for good with no
other replica beside it ends the process, which says so. Standard library only.

    rank_faults_test.py FAULTY_HERD HERD [--full | --smollm2 GGUF] [--deaths N]

FAULTY_HERD is `herd serve` with faults that a test plants (tests/commands/faults). A sample of them on the demo model; or
all of them there, or on SmolLM2 with prompts so long that going on with a stream takes a real prefill.
"""
import argparse
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fault_streams import (FaultyServer, HealthLog, Streams, demo_requests, finish_reasons, is_beginning, largest_gap,
                           long_requests, what_is_wrong)
from serve_process import Checks, Server, TestFolder, wait_until
from stopped_thread import NotAllowed, StoppedThread

STEP = 37              # of the rank that fails, counted from the fault's planting: in the middle of all streams
PATIENCE_S = 120       # of one round; a bound, not a measure
EXIT_PATIENCE_S = 30   # of a process that has to end by itself; what it takes is rank_pause_bench.py's to measure
SHUTDOWN_TIMEOUT_S = 2
PAUSED_S = 4           # of the whole process: longer than any rank may be silent
SMOLLM2_VOCABULARY = 49000
# Between two deaths, steps. A sequence that a rank died with runs alone until it is past that step, and is given up when a
# rank dies with it meanwhile; after so many steps all eight streams are past it.
DEATH_STEPS = "60-120"
WARM_DEATHS = 0.25     # of the deaths in a row, before memory is looked at for the first time
MEMORY_STEADY = 1 << 20      # while it changes by more, memory is still being committed
# What malloc keeps for threads that come and go varies by a few MB, however many deaths there are (measured: 1 to 3). A death
# that kept its rank's weights (3.8 MB) would add 57 MB in 15 of them, one that kept 170 kB so much in 150.
MEMORY_GROWTH_MAX = 24 << 20

checks = Checks()
check = checks.check


class Setting:
    """What a row runs on: model, requests, the answers of an undisturbed server."""

    def __init__(self, herd, faulty_herd, folder, model, requests):
        self.faulty_herd, self.folder, self.model, self.requests = faulty_herd, folder, model, requests
        with Server(herd, folder=folder, checks=checks, **self.model_option()) as server:
            self.reference = Streams(server, requests).join()
        print(f"note: undisturbed: largest gap {largest_gap(self.reference):.3f} s", flush=True)
        wrong = [outcome.error or outcome.answer[:200] for outcome in self.reference
                 if outcome.status != 200 or not outcome.whole]
        if wrong:
            raise RuntimeError(f"the undisturbed run is not whole: {wrong}")
        stopped = [request.name for request, outcome in zip(requests, self.reference)
                   if "stop" in finish_reasons(request, outcome)]
        checks.equal("undisturbed: stop strings end the two streams that have some", stopped,
                     [request.name for request in requests if "stop" in request.body])

    def model_option(self):
        return {"model": (self.model,)} if self.model else {}

    def server(self, tensor_parallel, data_parallel, *flags, **options):
        # Faults are planted in replica 0: it is to have streams even where it was measured to be the slower one.
        flags += ("--routing-policy", "round_robin") if data_parallel > 1 else ()
        return FaultyServer(self.faulty_herd, *flags, tensor_parallel=tensor_parallel, data_parallel=data_parallel,
                            folder=self.folder, checks=checks, **self.model_option(), **options)

    def wrong(self, outcomes):
        return [found for row in zip(self.requests, outcomes, self.reference) if (found := what_is_wrong(*row))]


def health_is(server, name, wanted):
    """Of a moment: {path: status}."""
    found = {path: server.get(path).status for path in HealthLog.PATHS}
    checks.equal(f"{name}: /live, /health, /ready", [found[path] for path in HealthLog.PATHS], wanted)


def health_was(name, seen, another_replica):
    """Of a pause that ends: the process lives, it will serve again. A server that had no replica for a moment may have said
    so, one that had another never did."""
    check(f"{name}: /live 200 all along", seen["/live"] == {200}, seen)
    check(f"{name}: /health 200 all along", seen["/health"] == {200}, seen)
    check(f"{name}: /ready {'200 all along' if another_replica else '200, or 503 in the pause'}",
          200 in seen["/ready"] and seen["/ready"] <= ({200} if another_replica else {200, 503}), seen)


def rose(server, before):
    return {name: value - before[name] for name, value in server.counters().items() if value != before[name]}


def timed(row, *arguments):
    began = time.monotonic()
    row(*arguments)
    shown = [getattr(word, "__name__", word) for word in arguments if not isinstance(word, (Setting, dict))]
    print(f"note: {row.__name__} {shown}: {time.monotonic() - began:.1f} s", flush=True)


def fault_round(setting, server, name, fault, wanted, another_replica=False):
    """One fault, eight streams. `wanted`: what has to have been counted, {} of a fault that is none to anybody."""
    health_is(server, f"{name}: before", [200, 200, 200])
    before, happened = server.counters(), server.happened(fault)
    server.plant(fault)
    log = HealthLog(server)
    outcomes = Streams(server, setting.requests).join(PATIENCE_S)
    print(f"note: {name}: largest gap {largest_gap(outcomes):.3f} s", flush=True)
    wait_until(lambda: rose(server, before) == wanted)  # a replica may come back after the streams have moved on
    health_was(name, log.stop(), another_replica)
    checks.equal(f"{name}: it happened", server.happened(fault) - happened, 1)
    checks.equal(f"{name}: it was noticed", rose(server, before), wanted)
    wrong = setting.wrong(outcomes)
    check(f"{name}: {len(outcomes)} answers of an undisturbed server", not wrong, f"{len(wrong)} wrong; {wrong[:1]}")
    health_is(server, f"{name}: after", [200, 200, 200])


# (name, fault of a rank, what it counts). Each is of one step of one rank.
FUTEX, FUTEX_COMMAND, FUTEX_WAKE = "202", 0x7F, 1  # of Linux on x86-64
AGAIN = {"generations": 1}
FAULTS = {
    "a failed step": ("kind=fail", AGAIN),
    "a death": ("kind=die", AGAIN | {"ranks": 1}),
    "a death in a collective": ("kind=die_in_collective,operation=3", AGAIN | {"ranks": 1}),
    # Who of them is right nobody knows: it counts as ranks that did not come together.
    "a skipped collective": ("kind=skip_collective,operation=2", AGAIN),
    "another token": ("kind=flip_token", AGAIN | {"mismatches": 2}),  # of two ranks nobody knows which one is right
    "another token again": ("kind=flip_token", AGAIN | {"mismatches": 2, "ranks": 2}),  # … and both read their weights anew
    "a late step": ("kind=hang_for,seconds=0.7", {}),
    "a step that comes too late": ("kind=hang_for,seconds=2", AGAIN | {"suspicions": 1}),
}
ALONE = ("a failed step", "a death", "a late step")  # that a rank without another can have


def several_faults(setting, tensor_parallel, data_parallel, names):
    """On one server, one after another: what it went through before changes nothing."""
    with setting.server(tensor_parallel, data_parallel, restarts=1000) as server:
        for name in names:
            fault, counted = FAULTS[name]
            rank = tensor_parallel - 1
            fault_round(setting, server, f"-tp {tensor_parallel} -dp {data_parallel}, {name}",
                        f"{fault},rank={rank},step={STEP}", counted, another_replica=data_parallel > 1)


# --- Hangs ---


def stop_outside_locks(thread):
    """Stops it wherever it is, but for the moment in which it wakes another thread: then it holds the lock of a queue of the actor
    system, and everything else would wait for that."""
    while True:
        stopped = StoppedThread(thread)
        call = Path(f"/proc/{thread}/syscall").read_text().split()
        if call[0] != FUTEX or int(call[2], 16) & FUTEX_COMMAND != FUTEX_WAKE:
            return
        stopped.go_on()
        time.sleep(0.01)


def start_hang(server, setting, how):
    """The streams, once the rank hangs."""
    if how == "a thread stopped by a debugger":
        streams = Streams(server, setting.requests)
        if not wait_until(lambda: streams.events > 8 * 20, PATIENCE_S):
            raise RuntimeError("no streams to be disturbed")
        stop_outside_locks(server.rank_thread(0, 1))
        return streams
    server.plant(f"kind={how},rank=1,step={STEP}")
    return Streams(server, setting.requests)


def named_in_log(server, name):
    """The log says which rank, in what, of which step."""
    said = [line for line in list(server.lines) if not line.startswith("faults:")]
    check(f"{name}: the log names the rank, the operation and the step",
          any(re.search(r"rank 1 has made no progress for \S+ s(: it is idle after step \d+| in [A-Za-z ]+ \(operation \d+ of "
                        r"step \d+\))", line) for line in said), "\n".join(said[-8:]))


def looks_complete(outcome):
    return outcome.status == 200 and outcome.whole and not any("error" in chunk for chunk in outcome.chunks)


def hang_without_another(setting, how):
    name = f"-tp 2 -dp 1, {how}"
    server = setting.server(2, 1)
    try:
        health_is(server, f"{name}: before", [200, 200, 200])
        log = HealthLog(server)
        streams = start_hang(server, setting, how)
        code = server.wait(EXIT_PATIENCE_S)
        log.stop()
        check(f"{name}: the process ends by itself, with an error", code is not None and code > 0, code)
        outcomes = streams.join(PATIENCE_S)
        named_in_log(server, name)
        checks.equal(f"{name}: /ready 200, then 503, then nobody answers", log.seen["/ready"], [200, 503, 0])
        checks.equal(f"{name}: /live 200 up to the end", log.seen["/live"], [200, 0])
        check(f"{name}: /health 200 until nothing can be done", log.seen["/health"] in ([200, 503, 0], [200, 0]), log.seen)
        rows = list(zip(setting.requests, outcomes, setting.reference))
        check(f"{name}: what was delivered is right as far as it goes",
              any(outcome.chunks for outcome in outcomes) and all(is_beginning(*row) for row in rows))
        false = [found for row in rows if looks_complete(row[1]) and (found := what_is_wrong(*row))]
        check(f"{name}: no answer looks complete that is not", not false, false[:1])
    finally:
        server.kill()


def hang_beside_another(setting, how):
    """Its streams move; the process serves on, and ends when it is told to although a thread hangs."""
    name = f"-tp 2 -dp 2, {how}"
    server = setting.server(2, 2, "--shutdown-timeout", SHUTDOWN_TIMEOUT_S)
    try:
        log = HealthLog(server)
        outcomes = start_hang(server, setting, how).join(PATIENCE_S)
        print(f"note: {name}: largest gap {largest_gap(outcomes):.3f} s", flush=True)
        gone = wait_until(lambda: server.counters()["given up"] == 1)
        health_was(name, log.stop(), another_replica=True)
        check(f"{name}: one replica is given up, the other serves", gone and server.counters()["serving"] == 1,
              server.counters())
        check(f"{name}: a suspicion is counted", server.counters()["suspicions"] >= 1, server.counters())
        named_in_log(server, name)
        wrong = setting.wrong(outcomes)
        check(f"{name}: {len(outcomes)} answers of an undisturbed server", not wrong, f"{len(wrong)} wrong; {wrong[:1]}")
        wrong = setting.wrong(Streams(server, setting.requests).join(PATIENCE_S))
        check(f"{name}: the other replica serves on", not wrong, wrong[:1])
        health_is(server, f"{name}: after", [200, 200, 200])
        server.signal(signal.SIGTERM)
        checks.equal(f"{name}: SIGTERM ends it, over a thread that hangs", server.wait(EXIT_PATIENCE_S), 1)
    finally:
        server.kill()


def terminated_in_a_hang(setting):
    """SIGTERM while a rank hangs that nobody suspects yet: the drain waits for its streams as long as it may, no longer."""
    name = "-tp 2 -dp 1, SIGTERM in a hang"
    server = setting.server(2, 1, "--shutdown-timeout", SHUTDOWN_TIMEOUT_S)
    try:
        streams = start_hang(server, setting, "hang")
        wait_until(lambda: server.happened("kind=hang") == 1)
        server.signal(signal.SIGTERM)
        check(f"{name}: the process ends", server.wait(EXIT_PATIENCE_S) is not None)
        streams.join(PATIENCE_S)
    finally:
        server.kill()


def paused_process(setting):
    """Nobody is suspected of what the whole machine did."""
    name = f"-tp 2 -dp 1, the process stopped for {PAUSED_S} s"
    with setting.server(2, 1) as server:
        before = server.counters()
        streams = Streams(server, setting.requests)
        wait_until(lambda: streams.events > 8 * 20, PATIENCE_S)
        server.signal(signal.SIGSTOP)
        time.sleep(PAUSED_S)
        check(f"{name}: in the middle of streams", streams.open())
        server.signal(signal.SIGCONT)
        wrong = setting.wrong(streams.join(PATIENCE_S))
        check(f"{name}: {len(setting.requests)} answers of an undisturbed server", not wrong, wrong[:1])
        checks.equal(f"{name}: nobody is suspected or lost", rose(server, before), {})


def more_deaths_than_restarts(setting):
    """It comes back as often as it may; then the process ends and says so."""
    name = "-tp 2 -dp 1, more deaths than restarts"
    server = setting.server(2, 1, restarts=2)
    try:
        server.plant(f"kind=die,rank=1,step={DEATH_STEPS},repeat=3")
        over = time.monotonic() + PATIENCE_S
        while server.process.poll() is None and time.monotonic() < over:
            Streams(server, setting.requests).join(PATIENCE_S)
        checks.equal(f"{name}: the process ends", server.wait(EXIT_PATIENCE_S), 1)
        said = server.stderr()
        check(f"{name}: it came back twice, then the log says why not again",
              said.count("serves again after") == 2 and "2 restarts are allowed" in said, said[-1500:])
    finally:
        server.kill()


# --- Many deaths ---


def descriptors(server):
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def threads(server):
    return int(re.search(r"Threads:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1])


def quiet(server):
    """(threads, descriptors, bytes of memory) when nothing runs, every connection is closed and the KV memory of new ranks is
    committed: the least of some looks between which memory stays."""
    wait_until(lambda: server.open_requests() == 0 and server.counters()["serving"] == 1)
    over = time.monotonic() + PATIENCE_S
    while True:
        looks = []
        for _ in range(10):
            time.sleep(0.05)
            looks.append((threads(server), descriptors(server), server.rss_bytes()))
        least, most = (function(look[2] for look in looks) for function in (min, max))
        if most - least < MEMORY_STEADY or time.monotonic() > over:
            return tuple(min(column) for column in zip(*looks))


def deaths_in_a_row(setting, deaths):
    name = f"{deaths} deaths of random ranks at random steps"
    with setting.server(2, 1, restarts=10 * deaths) as server:
        wrong = setting.wrong(Streams(server, setting.requests).join(PATIENCE_S))
        rounds, warm = 1, max(2, round(deaths * WARM_DEATHS))
        samples = [quiet(server)]
        for part in (warm, deaths - warm):
            until = server.counters()["ranks"] + part
            server.plant(f"kind=die,rank=0-1,step={DEATH_STEPS},repeat={part},seed={part}")
            over = time.monotonic() + PATIENCE_S + 3 * part
            log = HealthLog(server)
            while server.counters()["ranks"] < until and time.monotonic() < over:
                wrong += setting.wrong(Streams(server, setting.requests).join(PATIENCE_S))
                rounds += 1
            health_was(name, log.stop(), another_replica=False)
            print(f"note: asked {log.asked} times", flush=True)
            samples.append(quiet(server))
        counted = server.counters()
        checks.equal(f"{name}: ranks started again", counted["ranks"], deaths)
        check(f"{name}: {rounds * len(setting.requests)} answers of an undisturbed server", not wrong,
              f"{len(wrong)} wrong; {wrong[:1]}")
        start, warmed, end = samples
        print(f"note: threads, descriptors, MB: {[(a, b, round(c / 1e6, 1)) for a, b, c in samples]}", flush=True)
        checks.equal(f"{name}: threads at the end, as at the start", end[0], start[0])
        checks.equal(f"{name}: descriptors at the end, as at the start", end[1], start[1])
        check(f"{name}: memory is flat once it is warm", end[2] - warmed[2] <= MEMORY_GROWTH_MAX,
              f"{(end[2] - warmed[2]) / 1e6:.1f} MB more after {deaths - warm} deaths")


def wrong_words(faulty_herd):
    """A misspelt fault is no fault that happens to nobody."""
    with TestFolder() as folder:
        try:
            Server(faulty_herd, folder=folder, env={"HERD_TEST_FAULTS": "kind=dye,step=3"})
            check("a misspelt fault is refused", False)
        except RuntimeError as error:
            check("a misspelt fault is refused", "kind=dye" in str(error), error)


def debugger(setting, row):
    how = "a thread stopped by a debugger"
    try:
        row(setting, how)
    except NotAllowed as error:
        checks.skip(how, f"this machine traces no process: {error}")


def sample(setting):
    timed(several_faults, setting, 2, 1, FAULTS)
    timed(several_faults, setting, 2, 2, ("a death in a collective", "another token", "another token again"))
    timed(several_faults, setting, 1, 1, ("a death",))
    timed(several_faults, setting, 1, 2, ("a failed step",))
    waiting = ((hang_without_another, setting, "hang_in_collective"), (debugger, setting, hang_without_another),
               (hang_beside_another, setting, "hang"), (paused_process, setting),
               (more_deaths_than_restarts, setting))
    with ThreadPoolExecutor(2) as pool:  # most of their time nothing happens
        for row in [pool.submit(timed, *row) for row in waiting]:
            row.result()


def everything(setting, arrangements):
    for tensor_parallel, data_parallel in arrangements:
        timed(several_faults, setting, tensor_parallel, data_parallel, FAULTS if tensor_parallel > 1 else ALONE)
    for how in ("hang", "hang_in_collective"):
        timed(hang_without_another, setting, how)
        timed(hang_beside_another, setting, how)
    timed(debugger, setting, hang_without_another)
    timed(debugger, setting, hang_beside_another)
    timed(terminated_in_a_hang, setting)
    timed(paused_process, setting)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faulty_herd")
    parser.add_argument("herd")
    parser.add_argument("--full", action="store_true", help="every fault with every arrangement, 200 deaths")
    parser.add_argument("--smollm2", metavar="GGUF", help="every fault on SmolLM2 with prompts of 600 tokens, instead")
    parser.add_argument("--deaths", type=int, help="in a row, instead of 20 or 200")
    flags = parser.parse_args()
    with TestFolder() as folder:
        wrong_words(flags.faulty_herd)
        if flags.smollm2:
            everything(Setting(flags.herd, flags.faulty_herd, folder, flags.smollm2,
                               long_requests(600, 64, SMOLLM2_VOCABULARY)), ((2, 1), (2, 2)))
            return checks.finish()
        demo = Setting(flags.herd, flags.faulty_herd, folder, None, demo_requests())
        if flags.full:
            everything(demo, ((2, 1), (2, 2), (1, 1), (1, 2)))
            timed(more_deaths_than_restarts, demo)
        else:
            sample(demo)
        timed(deaths_in_a_row, demo, flags.deaths or (200 if flags.full else 20))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
