"""One thread of another process stopped for good, wherever it is, as a debugger stops it, without a word in that process. Linux.
Standard library only."""
import ctypes
import errno
import os
import queue
import threading
import time
from pathlib import Path

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class NotAllowed(Exception):
    """This machine lets nobody trace a process."""


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) == -1:
        code = ctypes.get_errno()
        if code in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise NotAllowed(os.strerror(code))
        raise OSError(code, os.strerror(code))


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
    """Stops it until the process ends or go_on() is called. A tracer is a thread, not a process: this one has its own. It
    also takes note of the traced thread's end, without which the process would not be over."""

    def __init__(self, thread):
        self.thread = thread
        self._stopped, self._let_go = queue.Queue(), threading.Event()
        self._tracer = threading.Thread(target=self._trace, daemon=True)
        self._tracer.start()
        failure = self._stopped.get(timeout=30)
        if failure:
            raise failure

    def _trace(self):
        try:
            ptrace(SEIZE, self.thread)
            ptrace(INTERRUPT, self.thread)
            os.waitpid(self.thread, WALL)  # until it is stopped
        except (NotAllowed, OSError) as error:
            self._stopped.put(error)
            return
        self._stopped.put(None)
        while not self._let_go.is_set():
            try:
                heard, status = os.waitpid(self.thread, WALL | os.WNOHANG)
            except ChildProcessError:
                return
            if heard and not os.WIFSTOPPED(status):
                return
            time.sleep(0.01)
        try:
            ptrace(DETACH, self.thread)
        except OSError:
            pass  # it ended meanwhile

    def go_on(self):
        self._let_go.set()
        self._tracer.join()
