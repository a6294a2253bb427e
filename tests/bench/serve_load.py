"""Many streams against one server at a time: raw sockets on asyncio, as lean as Python allows, so that one core drives
thousands of frames a second. Shared by tests/e2e/streams_test.py and serve_bench.py. Standard library only.

Two ways to read an answer: `keep` holds every byte for a look afterwards (body(), chunks()); without it frames are only
counted, each with the moment its bytes arrived.
"""
import asyncio
import base64
import json
import os
import re
import resource
import socket
import time
from dataclasses import dataclass
from pathlib import Path

FRAME_END = b"\n\n\r\n"  # a frame's blank line, then the end of its chunk
BODY_END = b"\r\n0\r\n\r\n"  # the last chunk, behind another one


def post_bytes(path, body, headers=()):
    """A request as bytes; `body` an object that becomes JSON."""
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
             f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Exchange(asyncio.Protocol):
    """One request on a connection of its own. `ended` resolves to the exchange itself when the answer is whole or the
    connection is gone. hang_up_after: bytes of the answer after which the client leaves."""

    def __init__(self, request, keep=False, hang_up_after=None, send_bytes=None):
        self.request = request
        self.keep = keep
        self.hang_up_after = hang_up_after
        self.send_bytes = send_bytes  # only so many of the request; None: all
        self.ended = asyncio.get_running_loop().create_future()
        self.opened_at = self.sent_at = self.ended_at = None
        self.status = None
        self.head = b""
        self.whole = False       # the end of the answer was announced
        self.times = []          # of pieces that had frames in them …
        self.counts = []         # … and how many
        self.pieces = []
        self.bytes_received = 0
        self._tail = b""
        self._length = None

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = time.perf_counter()
        transport.write(self.request if self.send_bytes is None else self.request[:self.send_bytes])

    def data_received(self, data):
        now = time.perf_counter()
        self.bytes_received += len(data)
        if self.status is None:
            self._tail += data
            end = self._tail.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head, data, self._tail = self._tail[:end], self._tail[end + 4:], b""
            self.status = int(self.head[9:12])
            length = re.search(rb"\r\ncontent-length: *(\d+)", self.head, re.IGNORECASE)
            self._length = int(length[1]) if length else None
        if self._length is not None:
            self._length -= len(data)
            if data:
                self.pieces.append(data)
            if self._length <= 0:
                self.whole = True
                self.finish(now)
        elif data:
            if self.keep:
                self.pieces.append(data)
            seen = self._tail + data
            count = seen.count(FRAME_END)
            if count:
                self.times.append(now)
                self.counts.append(count)
            self._tail = seen[-(len(BODY_END)):]
            if self._tail == BODY_END:
                self.whole = True
                self.finish(now)
            elif (cut := self._tail.rfind(FRAME_END)) >= 0:
                self._tail = self._tail[cut + 2:]  # what was counted is not counted again
        if self.hang_up_after is not None and self.bytes_received >= self.hang_up_after:
            self.transport.abort()

    def connection_lost(self, _):
        self.finish(time.perf_counter())

    def finish(self, now):
        if not self.ended.done():
            self.ended_at = now
            self.transport.close()
            self.ended.set_result(self)

    @property
    def frames(self):
        return sum(self.counts)

    def body(self):
        return b"".join(self.pieces)

    def header(self, name):
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode() if found else None

    def chunks(self):
        """The chunks of a kept, chunked body, without the last, empty one."""
        return dechunked(self.body())[0]

    def gaps(self):
        """Seconds between each frame and the one before it; frames of one piece came together."""
        gaps = []
        for i, count in enumerate(self.counts):
            if i > 0:
                gaps.append(self.times[i] - self.times[i - 1])
            gaps.extend([0.0] * (count - 1))
        return gaps


def dechunked(body):
    """(chunks, whether the last one ended it) of a chunked body; ValueError where it breaks the format."""
    chunks, at = [], 0
    while True:
        end = body.find(b"\r\n", at)
        if end < 0:
            return chunks, False
        size = int(body[at:end], 16)
        at = end + 2
        if size == 0:
            if body[at:] != b"\r\n":
                raise ValueError(f"behind the last chunk: {body[at:at + 40]!r}")
            return chunks, True
        if at + size + 2 > len(body):
            return chunks, False
        if body[at + size:at + size + 2] != b"\r\n":
            raise ValueError(f"chunk without an end: {body[at + size:at + size + 40]!r}")
        chunks.append(body[at:at + size])
        at += size + 2


async def begin(port, request, **options):
    """Connects and sends; the exchange goes on by itself."""
    opened = time.perf_counter()
    _, exchange = await asyncio.get_running_loop().create_connection(lambda: Exchange(request, **options), "127.0.0.1",
                                                                     port)
    exchange.opened_at = opened
    return exchange


async def run(port, request, **options):
    """One exchange to its end."""
    return await (await begin(port, request, **options)).ended


async def scrape(port):
    """/metrics: {name with labels: number}."""
    exchange = await run(port, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", keep=True)
    found = {}
    for line in exchange.body().decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def total(samples, name):
    """The sum of one metric over its labels."""
    return sum(value for key, value in samples.items() if key == name or key.startswith(name + "{"))


def event_progress(event_id):
    """What an event's id (endpoint/access/event_id.cc) says of each choice: events so far, and whether the last one said its end."""
    raw = base64.urlsafe_b64decode(event_id + "=" * (-len(event_id) % 4))
    at = 1

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    varint()  # created
    at += 12 + 8 + 16 + 16
    varint()  # cached tokens
    counters = [varint() for _ in range(varint())]
    return [(counter & ~(1 << 31), bool(counter >> 31)) for counter in counters]


class SlowReaders:
    """Clients that take `bytes_per_s` of their answers, through receive buffers and segments as small as the kernel
    allows, so that what they leave unread is soon the server's to keep."""

    def __init__(self, port, requests, bytes_per_s=1):
        self.bytes_per_s = bytes_per_s
        self.sockets = []
        self.received = []
        self.tails = []
        self.stopped = False
        for request in requests:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            client.setblocking(False)
            self.sockets.append(client)
            self.received.append(0)
            self.tails.append(b"")

    def _read(self, index, limit):
        """False when the connection is over."""
        try:
            data = self.sockets[index].recv(limit)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self.received[index] += len(data)
        self.tails[index] = (self.tails[index] + data)[-len(BODY_END):]
        return bool(data)

    async def read(self):
        """Reads until stop(), spread over each second."""
        while not self.stopped:
            began = time.perf_counter()
            for index in range(len(self.sockets)):
                self._read(index, self.bytes_per_s)
                if index % 20 == 19:
                    await asyncio.sleep(0)
            await asyncio.sleep(max(0.0, 1.0 - (time.perf_counter() - began)))

    def stop(self):
        self.stopped = True

    def close(self):
        """Reads what is left without waiting and closes. How many answers had their announced end."""
        whole = 0
        for index, client in enumerate(self.sockets):
            over = time.perf_counter() + 0.2
            while time.perf_counter() < over and self._read(index, 1 << 20):
                pass
            whole += self.tails[index] == BODY_END
            client.close()
        return whole


def percentile(values, share):
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(share * 1000) // 1000) - 1))]


@dataclass
class CpuTimes:
    """CPU seconds: ours, and the server's by the names of its threads; "compute" are those it niced."""
    at: float
    own: float
    threads: dict

    @staticmethod
    def of(pid):
        threads = {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                niced = int((task / "stat").read_text().rpartition(")")[2].split()[16]) > os.nice(0)
                name = "compute" if niced else (task / "comm").read_text().strip()
                seconds = int((task / "schedstat").read_text().split()[0]) * 1e-9
            except OSError:
                continue  # it ended
            threads[name] = threads.get(name, 0.0) + seconds
        used = resource.getrusage(resource.RUSAGE_SELF)
        return CpuTimes(time.perf_counter(), used.ru_utime + used.ru_stime, threads)

    def since(self, before):
        """Shares of one core between the two, by thread name; "client": ours."""
        wall = self.at - before.at
        shares = {name: (seconds - before.threads.get(name, 0.0)) / wall for name, seconds in self.threads.items()}
        shares["client"] = (self.own - before.own) / wall
        return shares


def cpu_model():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{found[1] if found else 'unknown CPU'}, {len(os.sched_getaffinity(0))} cores"
