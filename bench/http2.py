"""A small HTTP/2 client over TLS: many requests, or watches, on one connection, at little cost for the machine it
shares with the server.

It speaks what a Kubernetes API client needs (RFC 9113) and no more: no push, no priorities, no trailers. It asks for
an empty header table (RFC 7541, 4.2), so that each block of headers stands for itself and the status is read from its
first field. One thread, blocking.

    request() --> HEADERS [+ DATA] --> ... frames of any stream ... --> END_STREAM of that stream
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
WINDOW_MAX = (1 << 31) - 1
WINDOW_INITIAL = 65535
FRAME_BYTES_MAX = 16384
# what is received before the connection's window is given back
WINDOW_RETURN_BYTES = 1 << 28
# :method, :status and such by their index in HPACK's static table (RFC 7541, appendix A)
METHODS = {"GET": b"\x82", "POST": b"\x83"}
STATUS = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


@dataclass(frozen=True, slots=True)
class Request:
    """One request. body: empty for none."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    accept: str = "application/json"


@dataclass(slots=True)
class Stream:
    """One request on its way. status: 0 until headers came, or where the stream was reset. on_data: takes what arrives
    instead of body."""

    request: Request
    began: float
    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    ended: float = 0.0
    on_data: Callable[[bytes], None] | None = None
    send_window: int = WINDOW_INITIAL


@dataclass(slots=True)
class Outcome:
    """What many requests came to. latencies: seconds, of those answered below 400; codes: every status, 0 for a reset
    stream."""

    seconds: float
    latencies: list[float]
    codes: Counter[int]
    first_error: str = ""

    @property
    def failed(self) -> int:
        return sum(count for code, count in self.codes.items() if not 200 <= code < 400)


def integer(value: int, prefix_bits: int) -> bytes:
    """A whole number as HPACK writes it (RFC 7541, 5.1), its first byte's upper bits empty."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((value,))
    out = bytearray((limit,))
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    data = value.encode()
    return integer(len(data), 7) + data


def literal(index: int, value: str) -> bytes:
    """A header whose name has an index in the static table, not to be remembered (RFC 7541, 6.2.2)."""
    return integer(index, 4) + text(value)


def status_of(block: bytes) -> int:
    """The status of an answer: `:status` comes first (RFC 9113, 8.3). Raises ValueError for another order."""
    at = 0
    while block[at] & 0xE0 == 0x20:  # a change of the table's size
        at += 1
    first = block[at]
    if first & 0x80:
        return STATUS[first & 0x7F]
    bits = 6 if first & 0x40 else 4
    if first & ((1 << bits) - 1) not in STATUS:
        raise ValueError(f"the first header of an answer is no :status: {block[at : at + 8].hex()}")
    length, digits = block[at + 1] & 0x7F, block[at + 2 :]
    if not block[at + 1] & 0x80:
        return int(digits[:length])
    return huffman_digits(digits[:length])


def huffman_digits(data: bytes) -> int:
    """Three digits in HPACK's Huffman code: 0, 1 and 2 have five bits (00000 ...), 3 to 9 six (011001 ...)."""
    bits, left, value = int.from_bytes(data, "big"), len(data) * 8, 0
    for _ in range(3):
        five = bits >> (left - 5) & 0x1F
        if five <= 2:
            value, left = value * 10 + five, left - 5
        else:
            value, left = value * 10 + (bits >> (left - 6) & 0x3F) - 0x19 + 3, left - 6
    return value


class Connection:
    """One connection. pki: folder with ca.crt, and USER.crt and USER.key where a user is given. ca None: the server is
    not verified.

    Raises OSError where the server cannot be reached, ConnectionError where it goes away."""

    def __init__(self, address: str, port: int, pki: Path | None, user: str = "admin", timeout: float = 30.0) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt") if pki else None)
        if pki is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif user:
            context.load_cert_chain(pki / f"{user}.crt", pki / f"{user}.key")
        context.set_alpn_protocols(["h2"])
        tcp = socket.create_connection((address, port), timeout)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(tcp, server_hostname=address)
        self.authority = f"{address}:{port}"
        self.buffer = bytearray()
        self.streams: dict[int, Stream] = {}
        self.next_id = 1
        self.send_window = WINDOW_INITIAL
        self.stream_window = WINDOW_INITIAL
        self.received = 0
        self.blocks: dict[int, tuple[int, bytes]] = {}
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, WINDOW_MAX)
        window = struct.pack(">I", WINDOW_MAX - WINDOW_INITIAL)
        self.tls.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW, 0, 0, window))

    def close(self) -> None:
        self.tls.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, request: Request, on_data: Callable[[bytes], None] | None = None) -> Stream:
        """Send a request; its answer comes with later calls."""
        block = METHODS.get(request.method) or literal(2, request.method)
        block += b"\x87" + literal(4, request.path) + literal(1, self.authority) + literal(19, request.accept)
        if request.body:
            block += literal(31, request.content_type) + literal(28, str(len(request.body)))
        stream = Stream(request, time.perf_counter(), on_data=on_data, send_window=self.stream_window)
        number, self.next_id = self.next_id, self.next_id + 2
        self.streams[number] = stream
        out = frame(HEADERS, END_HEADERS | (0 if request.body else END_STREAM), number, block)
        body = request.body
        while body:
            room = min(self.send_window, stream.send_window, FRAME_BYTES_MAX)
            if room <= 0:
                self.tls.sendall(out)
                out = b""
                self.receive()
                continue
            piece, body = body[:room], body[room:]
            self.send_window -= len(piece)
            stream.send_window -= len(piece)
            out += frame(DATA, 0 if body else END_STREAM, number, piece)
        self.tls.sendall(out)
        return stream

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """One request and its answer: (status, body)."""
        stream = self.start(Request(method, path, body, content_type))
        while not stream.ended:
            self.receive()
        return stream.status, bytes(stream.body)

    def many(self, requests: Iterable[Request], in_flight: int) -> Outcome:
        """Send requests, at most `in_flight` at a time, until all are answered."""
        begin = time.perf_counter()
        waiting: list[Stream] = []
        outcome = Outcome(0.0, [], Counter())

        def settle() -> None:
            self.receive()
            still = []
            for stream in waiting:
                if not stream.ended:
                    still.append(stream)
                    continue
                outcome.codes[stream.status] += 1
                if 200 <= stream.status < 400:
                    outcome.latencies.append(stream.ended - stream.began)
                elif not outcome.first_error:
                    outcome.first_error = f"{stream.status} {bytes(stream.body[:300])!r}"
            waiting[:] = still

        for request in requests:
            while len(waiting) >= in_flight:
                settle()
            waiting.append(self.start(request))
        while waiting:
            settle()
        outcome.seconds = time.perf_counter() - begin
        return outcome

    def watch(self, path: str, on_data: Callable[[bytes], None]) -> Stream:
        """Open a watch and wait for its headers; `on_data` gets its bytes during later calls. Raises ConnectionError
        if refused."""
        stream = self.start(Request("GET", path), on_data)
        while not stream.status and not stream.ended:
            self.receive()
        if stream.status != 200:
            raise ConnectionError(f"watch {path}: {stream.status} {bytes(stream.body[:300])!r}")
        return stream

    def idle(self, seconds: float) -> None:
        """Take what arrives for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.tls.pending() or select.select([self.tls], [], [], left)[0]:
                self.receive()

    def receive(self) -> None:
        """Take what has arrived, at least something. Raises ConnectionError where the server is gone."""
        data = self.tls.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data
        at, buffer = 0, self.buffer
        while len(buffer) - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at < 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            number = int.from_bytes(buffer[at + 5 : at + 9], "big") & WINDOW_MAX
            self.take(kind, flags, number, bytes(buffer[at + 9 : at + 9 + length]))
            at += 9 + length
        del buffer[:at]

    def take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind in (DATA, HEADERS):
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if kind == HEADERS and flags & PRIORITY:
                payload = payload[5:]
        if kind == DATA:
            self.received += len(payload)
            if self.received >= WINDOW_RETURN_BYTES:
                self.tls.sendall(frame(WINDOW, 0, 0, struct.pack(">I", self.received)))
                self.received = 0
            stream = self.streams.get(number)
            if stream is not None and payload:
                if stream.on_data is not None and stream.status == 200:
                    stream.on_data(payload)
                else:
                    stream.body += payload
            if flags & END_STREAM:
                self.end(number)
        elif kind in (HEADERS, CONTINUATION):
            was, before = self.blocks.pop(number, (flags, b""))
            if not flags & END_HEADERS:
                self.blocks[number] = (was, before + payload)
                return
            stream = self.streams.get(number)
            if stream is not None and not stream.status:
                stream.status = status_of(before + payload)
            if was & END_STREAM:
                self.end(number)
        elif kind == RESET:
            stream = self.streams.get(number)
            if stream is not None:
                stream.status = 0
                stream.body += b"reset: " + payload.hex().encode()
            self.end(number)
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, at)
                if name == 4:
                    for stream in self.streams.values():
                        stream.send_window += value - self.stream_window
                    self.stream_window = value
            self.tls.sendall(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.tls.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW:
            step = int.from_bytes(payload, "big")
            if number == 0:
                self.send_window += step
            elif number in self.streams:
                self.streams[number].send_window += step
        elif kind == GOAWAY and int.from_bytes(payload[4:8], "big"):
            raise ConnectionError(f"the server ends the connection: {payload[8:].decode(errors='replace')}")

    def end(self, number: int) -> None:
        stream = self.streams.pop(number, None)
        if stream is not None:
            stream.ended = time.perf_counter()


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + payload
