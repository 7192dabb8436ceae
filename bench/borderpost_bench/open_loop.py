"""The open loop through Envoy: HTTP/1.1 requests sent when they are due, from one thread that does nothing else.

It costs some 30 µs of CPU a request, a fraction of what Envoy and its upstream take, and it says how late it was
itself: a run in which the generator was what was measured is marked invalid. A connection carries one request at a
time; where all are busy another one is opened, up to a bound.
"""

from __future__ import annotations

import gc
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from borderpost_base.errors import BorderpostError
from borderpost_base.names import DECISION_HEADER
from borderpost_bench.mix import Asked
from borderpost_bench.traffic import CHAT, PATH

CONNECTIONS_MAX = 1024
PATIENCE_S = 10.0
"""How long after the last request was due an answer is waited for."""
_READ_BYTES = 65536
_DECISION = f"\r\n{DECISION_HEADER}: ".encode()
_LENGTH = b"\r\ncontent-length: "
_END = b"\r\n\r\n"
_REGION = b'"system_fingerprint":"'
_REASON, _DECIDED = b'"reason":"', b'"decision":"'


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request. Times are nanoseconds since the start of the load."""

    due_ns: int
    sent_ns: int
    done_ns: int
    """When the answer was whole; 0 where none came."""
    status: int = 0
    """HTTP status, 0 where no answer came."""
    decision: str | None = None
    """Id of the decision that the answer names."""
    region: str | None = None
    """The upstream that answered, by its own word."""
    reason: str | None = None
    """Of a refusal of ours."""


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """What an open loop saw: an answer for each request, in order."""

    answers: Sequence[Answer]
    seconds: float
    """From the start to the last answer."""
    starved: int
    """Requests that were due while every connection that may be opened was busy."""


def trace_id(seed: int, number: int) -> str:
    """Return the trace id that a request carries, so that its record can be told from any other."""
    return f"{seed & 0xFFFFFFFF:08x}{number + 1:024x}"


def request_bytes(asked: Asked, trace: str) -> bytes:
    """Return a request as it goes over the wire."""
    headers = {
        "host": "bench", "content-type": "application/json", "content-length": str(len(CHAT)),
        "traceparent": f"00-{trace}-{trace[-16:]}-01", **asked.request.headers,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n{CHAT}".encode()


def run_open(
    port: int, requests: Sequence[bytes], due_s: Sequence[float], *, connections: int, patience_s: float = PATIENCE_S
) -> OpenLoad:
    """Send each request to loopback when it is due. Raises BorderpostError BP0921 if nobody listens."""
    loop = _Loop(port, requests, [round(due * 1e9) for due in due_s])
    collecting = gc.isenabled()
    gc.disable()  # a collection would be a pause of the generator's own
    try:
        loop.connect(min(connections, CONNECTIONS_MAX))
        return loop.run(round(patience_s * 1e9))
    except OSError as error:
        raise BorderpostError("BP0921", f"the open loop could not go on: {error}") from error
    finally:
        loop.close()
        if collecting:
            gc.enable()


@dataclass(slots=True)
class _Line:
    """One connection: what it is waiting for, and what has come of it."""

    peer: socket.socket
    number: int = -1
    """Of the request in flight, -1 for none."""
    got: bytes = b""


class _Loop:
    """Sends, waits and reads in turn until all is answered."""

    def __init__(self, port: int, requests: Sequence[bytes], due_ns: list[int]) -> None:
        self._port = port
        self._requests = requests
        self._due_ns = due_ns
        self._sent_ns = [0] * len(due_ns)
        self._answers: list[Answer | None] = [None] * len(due_ns)
        self._lines: dict[int, _Line] = {}
        self._free: list[_Line] = []
        self._starved: set[int] = set()
        self._open = 0
        self._ready = select.epoll()

    def connect(self, count: int) -> None:
        for _ in range(count):
            self._free.append(self._line())

    def _line(self) -> _Line:
        peer = socket.create_connection(("127.0.0.1", self._port), timeout=5.0)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setblocking(False)
        line = self._lines[peer.fileno()] = _Line(peer)
        self._ready.register(peer.fileno(), select.EPOLLIN)
        return line

    def close(self) -> None:
        for line in self._lines.values():
            line.peer.close()
        self._ready.close()

    def run(self, patience_ns: int) -> OpenLoad:
        begun = time.perf_counter_ns()
        number, count, due = 0, len(self._due_ns), self._due_ns
        end = (due[-1] if due else 0) + patience_ns
        while number < count or self._open:
            now = time.perf_counter_ns() - begun
            if now > end:
                break
            while number < count and due[number] <= now:
                if not self._send(number, begun):
                    self._starved.add(number)
                    break
                number += 1
            blocked = number >= count or number in self._starved
            wait_ns = end - now if blocked else due[number] - (time.perf_counter_ns() - begun)
            # epoll waits in whole milliseconds, select in microseconds: select on the epoll itself.
            if wait_ns > 0:
                select.select((self._ready,), (), (), wait_ns / 1e9)
            for fd, _events in self._ready.poll(0):
                if (line := self._lines.get(fd)) is not None:
                    self._read(line, begun)
        took = time.perf_counter_ns() - begun
        gone = (Answer(due[at], self._sent_ns[at], 0) for at in range(count))
        return OpenLoad([answer or lost for answer, lost in zip(self._answers, gone, strict=True)], took / 1e9,
                        len(self._starved))  # fmt: skip

    def _send(self, number: int, begun: int) -> bool:
        """Send a request on a free connection; False if there is none and no other may be opened."""
        if not self._free:
            if len(self._lines) >= CONNECTIONS_MAX:
                return False
            self._free.append(self._line())
        line = self._free.pop()
        line.number, line.got = number, b""
        self._sent_ns[number] = time.perf_counter_ns() - begun
        self._open += 1
        try:
            whole = line.peer.send(self._requests[number]) == len(self._requests[number])
        except OSError:
            whole = False
        if not whole:
            self._lose(line)
        return True

    def _read(self, line: _Line, begun: int) -> None:
        try:
            got = line.peer.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:
            self._lose(line)
            return
        line.got += got
        head = line.got.find(_END)
        if head < 0:
            return
        length = _after(line.got[: head + 2], _LENGTH, b"\r")
        if length is None:
            self._lose(line)
            return
        if len(line.got) < head + 4 + int(length):
            return
        number, done = line.number, time.perf_counter_ns() - begun
        if number < 0:
            return
        self._answers[number] = read_answer(line.got, head, self._due_ns[number], self._sent_ns[number], done)
        self._release(line)
        self._free.append(line)

    def _lose(self, line: _Line) -> None:
        """Give up a connection, and the request on it, which then has no answer."""
        if line.number >= 0:
            self._release(line)
        elif line in self._free:
            self._free.remove(line)
        self._ready.unregister(line.peer.fileno())
        del self._lines[line.peer.fileno()]
        line.peer.close()

    def _release(self, line: _Line) -> None:
        line.number = -1
        self._open -= 1


def read_answer(got: bytes, head: int, due_ns: int, sent_ns: int, done_ns: int) -> Answer:
    """Read one whole answer, whose headers end at `head`. The decision is named in a header of what was routed, and in
    the problem body of what we refused; what Envoy refuses by itself names none."""
    status = int(got[9:12])
    if status < 400:
        decision = _after(got[: head + 2], _DECISION, b"\r")
        return Answer(due_ns, sent_ns, done_ns, status, _text(decision), _text(_after(got[head:], _REGION, b'"')))
    body = got[head:]
    return Answer(
        due_ns, sent_ns, done_ns, status, _text(_after(body, _DECIDED, b'"')), None, _text(_after(body, _REASON, b'"'))
    )


def _after(text: bytes, mark: bytes, end: bytes) -> bytes | None:
    """Return what stands between a mark and an end, None without them."""
    at = text.find(mark)
    if at < 0:
        return None
    stop = text.find(end, at + len(mark))
    return text[at + len(mark) : stop] if stop >= 0 else None


def _text(value: bytes | None) -> str | None:
    return value.decode("ascii") if value is not None else None
