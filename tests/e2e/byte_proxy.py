"""A program in the middle of connections from one machine to another: it carries their bytes, late, in small pieces, half of them, or one
bit of them changed. Standard library only.
"""
import random
import socket
import threading
import time
from dataclasses import dataclass, field

FORTH, BACK = "to whom it was made", "to who made it"


@dataclass
class Harm:
    """What happens to the bytes of all connections of a proxy, until it is changed."""
    delay_s: float = 0.0   # a piece waits so long at most
    piece_bytes: int = 0   # a piece has so many at most; 0: as they come
    flow: threading.Event = field(default_factory=threading.Event)
    _flips: list = field(default_factory=list)  # ways in which a bit of the next piece is still to be changed
    _tears: list = field(default_factory=list)  # … in which the next piece loses its end, and the connection is over

    def __post_init__(self):
        self.flow.set()

    def flip(self, way):
        self._flips.append(way)

    def tear(self, way):
        self._tears.append(way)

    def done(self):
        """Every flip and tear that was asked for has happened."""
        return not self._flips and not self._tears

    def take_flip(self, way, data):
        if not taken(self._flips, way):
            return data
        at = random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:]

    def take_tear(self, way):
        return taken(self._tears, way)

    def pieces(self, data):
        while data:
            size = random.randint(1, self.piece_bytes) if self.piece_bytes else len(data)
            yield data[:size]
            data = data[size:]


def taken(waiting, way):
    try:
        waiting.remove(way)
        return True
    except ValueError:
        return False


class ByteProxy:
    """Listens on one machine on the address that a program of another machine has there, and carries connections to it. As a context
    manager it ends them."""

    def __init__(self, dialing, listening, host, port):
        self.harm, self.carried, self._open, self._over = Harm(), 0, [], False
        self._to, self._address = listening, (host, port)
        self._door = dialing.on(lambda: socket.create_server(self._address))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                inner, _ = self._door.accept()
            except OSError:
                return  # it is over
            try:
                outer = self._to.on(lambda: socket.create_connection(self._address, 5))
            except OSError:
                inner.close()
                continue
            outer.settimeout(None)
            self.carried += 1
            self._open += [inner, outer]
            for source, sink, way in ((inner, outer, FORTH), (outer, inner, BACK)):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._threads.append(threading.Thread(target=self._carry, args=(source, sink, way), daemon=True))
                self._threads[-1].start()

    def _carry(self, source, sink, way):
        try:
            while data := source.recv(65536):
                self.harm.flow.wait()
                time.sleep(random.uniform(0, self.harm.delay_s))
                data = self.harm.take_flip(way, data)
                if self.harm.take_tear(way):
                    sink.sendall(data[:len(data) // 2])
                    break
                for piece in self.harm.pieces(data):
                    sink.sendall(piece)
        except OSError:
            pass  # one of both ends is gone: so is the other one
        hang_up(source, sink)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.harm.flow.set()
        hang_up(self._door, *self._open)
        for thread in self._threads:
            thread.join(5)
        for each in (self._door, *self._open):
            each.close()


def hang_up(*sockets):
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was over already
