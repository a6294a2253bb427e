"""Stops single threads of another process, as a hang would, without a word in that process: ptrace(2) through ctypes. One
Python thread does all of it: the kernel knows a tracer by its thread. Linux; standard library only.
"""
import ctypes
import os
import time
from pathlib import Path

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # __WALL: threads too

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
LIBC.ptrace.restype = ctypes.c_long


def _ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}) of thread {thread}")


def can_trace():
    """Whether this process may stop threads of its children."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        _ptrace(PTRACE_SEIZE, child)
        return True
    except OSError:
        return False
    finally:
        os.kill(child, 9)
        os.waitpid(child, WALL)


def cpu_ticks(process):
    """Ticks of CPU time that each thread of the process has used."""
    ticks = {}
    for stat in Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        ticks[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
    return ticks


def busiest_thread(process, seconds=0.5):
    """The thread that computes most."""
    before = cpu_ticks(process)
    time.sleep(seconds)
    after = cpu_ticks(process)
    return max(after, key=lambda thread: after[thread] - before.get(thread, 0))


class StoppedThread:
    """A thread that makes no step more until release(); it dies with its process."""

    def __init__(self, thread):
        self.thread = thread
        _ptrace(PTRACE_SEIZE, thread)
        _ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)

    def reap(self):
        """True once it is dead: until then its process cannot be waited for."""
        try:
            found, status = os.waitpid(self.thread, WALL | os.WNOHANG)
        except ChildProcessError:
            return True
        return found != 0 and not os.WIFSTOPPED(status)

    def release(self):
        try:
            _ptrace(PTRACE_DETACH, self.thread)
        except OSError:
            pass  # it has ended
