#!/usr/bin/env python3
"""Whatever a file or a command line says, herd ends by itself, soon, small, with the right exit code and a message that
names the file and the field. The cases are the table in bad_input_rows.py. Standard library only.

    bad_input_test.py HERD_BINARY [--only TEXT] [--sanitizer]

--sanitizer: the binary reserves address space and memory of its own, and is slower; time is tripled, memory not judged.
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bad_input_rows import ROWS

SECONDS, RSS_BYTES, ADDRESS_SPACE_BYTES, STDERR_BYTES = 10, 500 << 20, 16 << 30, 16 << 10
CRASH_WORDS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:", "terminate called",
    "HERD_CHECK",
               "std::bad_alloc", "Assertion")


class Run:
    """One process under limits. code is negative for a signal, None when it had to be killed."""

    def __init__(self, command, folder, sanitizer):
        def limits():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
            if not sanitizer:
                resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))

        allowed = SECONDS * (3 if sanitizer else 1)
        begin = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder,
                preexec_fn=limits)
            status = self.wait(child.pid, begin + allowed)
            self.code = None if status is None else os.waitstatus_to_exitcode(status)
            if status is None:
                child.kill()
                _, status, self.usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait again
            self.seconds = time.monotonic() - begin
            self.stdout, self.stderr = (self.text(file) for file in (out, err))
        self.rss_bytes = self.usage.ru_maxrss * 1024

    def wait(self, pid, deadline):
        while time.monotonic() < deadline:
            done, status, self.usage = os.wait4(pid, os.WNOHANG)
            if done:
                return status
            time.sleep(0.002)
        return None

    @staticmethod
    def text(file):
        file.seek(0)
        return file.read(1 << 20).decode(errors="replace")


def problems(row, run, sanitizer):
    """What is wrong with how herd took the row; empty when nothing is."""
    if run.code is None:
        return [f"no end within {run.seconds:.0f} s"]
    found = []
    if run.code not in row.codes:
        found.append(f"exit code {run.code}, expected {' or '.join(map(str, row.codes))}")
    for need in row.named:
        if not any(word in run.stderr for word in ([need] if isinstance(need, str) else need)):
            found.append(f"stderr does not name {need}")
    for word in row.once:
        if run.stderr.count(word) != 1:
            found.append(f"stderr names {word} {run.stderr.count(word)} times, expected once")
    found += [f"stderr has '{word}'" for word in CRASH_WORDS if word in run.stderr]
    if run.code != 0 and not run.stderr.strip():
        found.append("stderr is empty")
    if len(run.stderr) > STDERR_BYTES:
        found.append(f"stderr has {len(run.stderr)} bytes")
    if run.rss_bytes > RSS_BYTES and not sanitizer:
        found.append(f"took {run.rss_bytes >> 20} MiB")
    if run.code == 0:
        try:
            found += [] if row.stdout(run.stdout) else [f"stdout is not what it should be: {run.stdout[:300]!r}"]
        except (ValueError, KeyError, IndexError) as error:
            found.append(f"stdout cannot be read ({error!r}): {run.stdout[:300]!r}")
    return found


def command_of(herd, row, model):
    words = [herd, *row.command]
    if row.command and row.command[0] in ("generate", "score"):
        words += ["--model-path", model]
    if row.command == ("generate",):
        words += [word for flag, value in (("--max-new-tokens", "2"), ("--output", "json"))
                  if flag not in row.flags for word in (flag, value)]
    return [os.fsencode(word) for word in (*words, *row.flags)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd", type=Path)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--sanitizer", action="store_true")
    options = parser.parse_args()
    assert len({row.name for row in ROWS}) == len(ROWS), "two rows have one name"
    passed = failed = 0
    slowest, largest = 0.0, 0
    for row in ROWS:
        if options.only not in row.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            model = row.build(Path(folder))
            run = Run(command_of(options.herd.resolve(), row, model), folder, options.sanitizer)
        found = problems(row, run, options.sanitizer)
        slowest, largest = max(slowest, run.seconds), max(largest, run.rss_bytes)
        if found:
            failed += 1
            print(f"FAILED {row.name}: {'; '.join(found)}\n    stderr: {run.stderr.strip()[-600:]}", flush=True)
        else:
            passed += 1
            print(f"PASSED {row.name}", flush=True)
    print(f"bad_input_test: {passed} passed, {failed} failed; slowest {slowest:.2f} s, largest {largest >> 20} MiB")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
