#!/usr/bin/env python3
"""Makes processes slow: stops them for all but a part of the time, a little each time. Runs until its standard input ends; then they run as
before. Standard library only.

    duty_cycle.py TIMES PID... < pipe

TIMES: how many times slower. As a program, since a test that reads streams is too busy to keep its time.
"""
import os
import select
import signal
import subprocess
import sys
import time

RUNS_S = 0.002


class DutyCycle:
    """As a context manager: slow while it is open."""

    def __init__(self, times, pids):
        self._program = subprocess.Popen([sys.executable, __file__, str(times), *map(str, pids)], stdin=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._program.stdin.close()
        self._program.wait(20)


def tell(processes, number):
    for process in processes:
        try:
            signal.pidfd_send_signal(process, number)
        except ProcessLookupError:
            pass  # somebody has ended it


def main():
    times, processes = float(sys.argv[1]), [os.pidfd_open(int(pid)) for pid in sys.argv[2:]]
    try:
        while True:
            tell(processes, signal.SIGSTOP)
            if select.select([sys.stdin], [], [], RUNS_S * (times - 1))[0]:
                return
            tell(processes, signal.SIGCONT)
            time.sleep(RUNS_S)
    finally:
        tell(processes, signal.SIGCONT)


if __name__ == "__main__":
    main()
