#!/usr/bin/env python3
"""herd under the limits of a user or a container: few threads, little address space. It runs, or says with exit code 4
which limit it met and which flag helps; it never ends by a signal.

    process_limits_test.py HERD_BINARY
"""
import os
import pwd
import re
import resource
import subprocess
import sys
import time

from serve_process import Checks

HERD = os.path.abspath(sys.argv[1])
GENERATE = ("generate", "--prompt", "The capital of France is", "--max-new-tokens", "3", "--threads", "2")
SERVE = ("serve", "--port", "0", "--threads", "2")
FEW = ("--max-num-seqs", "8")
MIB = 1 << 20
BLOCK_BYTES = 32768  # of the demo model: 16 tokens, all layers
checks = Checks()


def nobody():
    """The id of a user without processes, whom a limit of threads holds: root has none."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return None


def run(words, limits, user=None):
    """Exit code and stderr; a server that serves is stopped and has the code of that."""
    def child():
        for kind, value in limits.items():
            resource.setrlimit(kind, (value, value))
        if user is not None:
            os.setresuid(user, user, user)
    process = subprocess.Popen([HERD, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
                               stderr=subprocess.PIPE, preexec_fn=child, env={**os.environ, "HOME": "/nonexistent"})
    os.set_blocking(process.stderr.fileno(), False)
    said, deadline = b"", time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        said += process.stderr.read() or b""
        if b"herd: serving on" in said:
            process.terminate()
            break
        time.sleep(0.01)
    if process.poll() is None and time.monotonic() >= deadline:
        process.kill()
    code = process.wait()
    return code, (said + (process.stderr.read() or b"")).decode(errors="replace")


def judge(name, result, *wanted):
    """0, or 4 and a last line with every word. Whether it ran."""
    code, said = result
    line = said.splitlines()[-1] if said else ""
    checks.check(name, code == 0 or code == 4 and all(word in line for word in wanted), f"exit {code}: {said[-600:]}")
    return code == 0


def threads():
    user = nobody()
    if user is None:
        return checks.skip("limits of threads", "only root can become the user they hold")
    try:
        code, said = run(("--version",), {}, user)
    except (PermissionError, subprocess.SubprocessError):
        code = None
    if code != 0:
        return checks.skip("limits of threads", "the binary cannot be reached by another user")
    for words, counts in ((GENERATE, (1, 2, 3, 4, 6, 8, 10, 13, 60)), ((*SERVE, *FEW), (1, 3, 6, 9, 12, 16, 20, 60))):
        ran = [judge(f"{words[0]} with {count} threads", run(words, {resource.RLIMIT_NPROC: count}, user), "ulimit -u",
                     "pids limit", "--threads") for count in counts]
        checks.check(f"{words[0]} runs from some number of threads on", not ran[0] and ran[-1] and ran == sorted(ran), ran)
    judge("bench with 2 threads", run(("bench", "machine", "--threads", "8"), {resource.RLIMIT_NPROC: 2}, user), "ulimit -u")


def address_space():
    for kind, name in ((resource.RLIMIT_AS, "address space"), (resource.RLIMIT_DATA, "data")):
        ran = [judge(f"generate in {mib} MiB of {name}", run(GENERATE, {kind: mib * MIB}), "--")
               for mib in (64, 72, 80, 96, 104, 120, 136, 152, 160, 224, 288, 600, 6000)]
        checks.check(f"it runs from some size of {name} on", ran[-1] and ran == sorted(ran), ran)
    judge("serve in 200 MiB of address space", run((*SERVE, *FEW), {resource.RLIMIT_AS: 200 * MIB}), "--")


def kv_memory():
    """KV memory that is asked for is there, or refused at the start with the flag's name."""
    available = int(re.search(r"MemAvailable:\s+(\d+) kB", open("/proc/meminfo").read())[1]) << 10
    blocks = int(1.5 * available) // BLOCK_BYTES  # each layer of them would find room by itself
    for words in (GENERATE, SERVE):
        for name, asked, limits in (
                ("the machine has", ("--num-blocks", str(blocks)), {}),
                ("ulimit -v leaves", ("--kv-cache-memory", "5GiB"), {resource.RLIMIT_AS: 5000 * MIB}),
                ("ulimit -d leaves", ("--kv-cache-memory", "5GiB"), {resource.RLIMIT_DATA: 5000 * MIB})):
            code, said = run((*words, "--max-num-seqs", "8192", *asked), limits)
            checks.check(f"{words[0]}: more KV memory than {name}", code == 4 and "lower --kv-cache-memory" in said,
                         f"exit {code}: {said[-600:]}")
    code, said = run((*SERVE, *FEW, "--kv-cache-memory", "512MiB"), {resource.RLIMIT_AS: 5000 * MIB})
    checks.check("serve: less KV memory than ulimit -v leaves", code == 0, f"exit {code}: {said[-600:]}")


def main():
    threads()
    address_space()
    kv_memory()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
