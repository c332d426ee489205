"""A small proxy before an S3 endpoint that does to requests what networks and stores do: refuse, reset, stall, cut."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("busy", "throttled", "reset", "cut", "slow")
"""503 and 429 answers, a connection reset before the answer, an answer's body that ends early, one that dawdles."""
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
SLOW_SECONDS = 0.2


@dataclass
class Faults:
    """What a proxy does, and did.

    Attributes:
        shares: fault -> probability of a request; the rest passes.
        first: faults of the first requests, in order, before chance begins.
        done: how many of each, and `passed`.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._draws, self._lock = random.Random(self.seed), threading.Lock()

    def next(self) -> str:
        """The fate of the next request."""
        with self._lock:
            fate = self.first.pop(0) if self.first else self._drawn()
            self.done[fate] += 1
            return fate

    def _drawn(self) -> str:
        place = self._draws.random()
        for fault, share in self.shares.items():
            if place < share:
                return fault
            place -= share
        return "passed"


@contextmanager
def faulty(endpoint: str, faults: Faults) -> Iterator[str]:
    """The address of a proxy before an endpoint."""
    target = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def handle_request(self) -> None:
            body = self.body()
            fate = faults.next()
            if fate == "reset":
                # Closing without waiting, with nothing to send, resets the connection.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            if fate in ("busy", "throttled"):
                code, word = (503, "SlowDown") if fate == "busy" else (429, "TooManyRequests")
                self.answer(code, {}, f"<Error><Code>{word}</Code><Message>later</Message></Error>".encode())
                return
            onward = http.client.HTTPConnection(target, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in {*HOP_BY_HOP, "content-length"}}
            onward.request(self.command, self.path, body, headers)
            answer = onward.getresponse()
            data = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            onward.close()
            self.answer(answer.status, kept, data, fate)

        def body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return whole

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request

        def answer(self, code: int, headers: Mapping[str, str], data: bytes, fate: str = "passed") -> None:
            self.send_response_only(code)
            for name, value in headers.items():
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            half = len(data) // 2
            self.wfile.write(data[:half])
            if fate == "slow":
                self.wfile.flush()
                time.sleep(SLOW_SECONDS)
            if fate == "cut" and data:
                self.close_connection = True
                return
            self.wfile.write(data[half:])

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that go away are no news."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        with suppress(OSError):
            server.shutdown()
            server.server_close()
        thread.join()
