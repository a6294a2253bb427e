#!/usr/bin/env python3
"""What each role tells systemd (READY, STATUS, RELOADING, STOPPING), and its signs of life, which stay away when it hangs: a socket here
listens as systemd's does.

    service_life_test.py HERD_BINARY
"""
import os
import signal
import socket
import sys
import time
from pathlib import Path

from cluster_process import ClusterFile, Program
from serve_process import Checks, TestFolder
from stopped_thread import NotAllowed, StoppedThread

HERD = sys.argv[1]
HEARD_S = 60           # a bound for what must come
INTERVAL_US = 100_000  # within which a sign of life is asked for
SILENT_S = 0.4         # four intervals, eight times as long as between two signs


class Manager:
    """A service manager's socket and one service of it."""

    def __init__(self, folder, words, *, watched=True):
        self.path = Path(folder) / f"notify-{os.getpid()}-{len(list(Path(folder).iterdir()))}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.heard = []
        script = f'WATCHDOG_PID={"$$" if watched else "1"} WATCHDOG_USEC={INTERVAL_US} exec "$@"'
        self.program = Program(["sh", "-c", script, "sh", HERD, *words], env={"NOTIFY_SOCKET": str(self.path)})

    def hear(self, word, timeout_s=HEARD_S):
        """The next message that begins so; None when none comes in time, or the service ends before."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.socket.settimeout(0.2)
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except TimeoutError:
                if self.program.ended():
                    return None
                continue
            if self.heard[-1].startswith(word):
                return self.heard[-1]
        return None

    def forget(self):
        """Takes what has come until nothing is there any more."""
        self.socket.settimeout(0)
        try:
            while True:
                self.socket.recv(4096)
        except BlockingIOError:
            pass

    def signs(self, count):
        """Whether so many signs of life come."""
        return all(self.hear("WATCHDOG=1") for _ in range(count))

    def silent(self):
        """What comes within some intervals, but for messages that were under way."""
        time.sleep(0.1)
        self.forget()
        return self.hear("WATCHDOG=1", SILENT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.program.ended():
            self.program.kill()
        self.socket.close()


def life(checks, name, manager, *, reloads=True):
    """From the start to the end: signs of life, but none while the process is stopped."""
    ready = manager.hear("READY=1")
    if not checks.check(f"{name}: READY=1", ready, f"{manager.heard}\n{manager.program.stderr(20)}"):
        return
    checks.check(f"{name}: signs of life", manager.signs(4), manager.heard)
    checks.check(f"{name}: STATUS says what it does", any(line.startswith("STATUS=") for line in manager.heard) or
                 manager.hear("STATUS="), manager.heard)
    manager.program.process.send_signal(signal.SIGSTOP)
    checks.equal(f"{name}: none while it is stopped", manager.silent(), None)
    manager.program.process.send_signal(signal.SIGCONT)
    checks.check(f"{name}: and again when it goes on", manager.signs(2), manager.heard)
    if reloads:
        manager.program.process.send_signal(signal.SIGHUP)
        began = manager.hear("RELOADING=1")
        checks.check(f"{name}: RELOADING=1 with its time", began and "\nMONOTONIC_USEC=" in began, manager.heard)
        checks.check(f"{name}: READY=1 when it has", manager.hear("READY=1"), manager.heard)


def end(checks, name, manager):
    manager.program.process.send_signal(signal.SIGTERM)
    checks.check(f"{name}: STOPPING=1", manager.hear("STOPPING=1"), manager.heard)
    checks.equal(f"{name}: ends in order", manager.program.wait(), 0)


def silenced_by(manager, thread):
    """Whether the signs stay away while that thread stands still and all others go on."""
    stopped = StoppedThread(thread)
    silent = manager.silent() is None
    stopped.go_on()
    return silent and manager.signs(2)


def hung(checks, name, manager):
    """The main loop and the threads that work, each: none of them hangs unnoticed."""
    main = manager.program.pid
    others = sorted(int(task.name) for task in Path(f"/proc/{main}/task").iterdir() if int(task.name) != main)
    try:
        checks.check(f"{name}: none while its main loop hangs", silenced_by(manager, main), manager.heard[-5:])
        silencing, indifferent = [], []
        for thread in others:
            if not silencing or not indifferent:
                (silencing if silenced_by(manager, thread) else indifferent).append(thread - main)
    except NotAllowed as reason:
        checks.skip(f"{name} whose threads hang", f"no ptrace here: {reason}")
        return
    checks.check(f"{name}: nor while the thread that works does", silencing, f"of {len(others)} threads none silences it")
    checks.check(f"{name}: and others are not asked", indifferent, silencing)


def roles(checks, folder):
    file = ClusterFile(folder, tensor_parallel=1)
    config = ("--config", str(file.path))
    with Manager(folder, ["coordinator", *config]) as coordinator, \
            Manager(folder, ["node", *config, "--name", "node-1"]) as node, \
            Manager(folder, ["serve", *config, "--name", "gateway-1"]) as gateway:
        life(checks, "coordinator", coordinator)
        life(checks, "node", node)
        life(checks, "gateway", gateway)
        for name, manager in (("coordinator", coordinator), ("node", node), ("gateway", gateway)):
            hung(checks, name, manager)
        for name, manager in (("gateway", gateway), ("node", node), ("coordinator", coordinator)):
            end(checks, name, manager)


def server(checks, folder):
    flags = ["serve", "--port", "0", "--resume-key-file", str(Path(folder) / "resume.key")]
    with Manager(folder, flags) as manager:
        life(checks, "serve", manager)
        end(checks, "serve", manager)
    with Manager(folder, flags, watched=False) as manager:
        checks.check("another process is watched: READY=1", manager.hear("READY=1"), manager.heard)
        checks.equal("another process is watched: no signs of life", manager.silent(), None)
        end(checks, "another process is watched", manager)


def up(checks, folder):
    file = ClusterFile(folder, tensor_parallel=1)
    with Manager(folder, ["up", "--config", str(file.path)]) as manager:
        life(checks, "up", manager, reloads=False)
        manager.forget()
        checks.check("up: its children are not watched, and say nothing in its place", manager.signs(3) and
                     "READY=1" not in manager.heard[-3:], manager.heard[-6:])
        end(checks, "up", manager)
        checks.equal("up: READY=1 once", manager.heard.count("READY=1"), 1)


def main():
    checks = Checks()
    for part in (server, roles, up):
        with TestFolder() as folder:
            part(checks, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
