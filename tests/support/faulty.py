"""A small proxy in front of an S3 endpoint that makes the faults of networks and stores: it refuses, resets or cuts."""

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
"""Answers of 503 and 429, a connection that is reset before the answer, a body that ends early, and a slow body."""
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
SLOW_SECONDS = 0.2


@dataclass
class Faults:
    """The faults that a proxy makes, and those that it has made.

    Attributes:
        shares: probability of each fault; the other requests pass.
        first: faults of the first requests, in order, before the random ones begin.
        seed: seed of the random faults.
        done: number of requests by fault, and of those that `passed`.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def next(self) -> str:
        """Chooses and counts the fault of the next request, or `passed`."""
        with self._lock:
            fault = self.first.pop(0) if self.first else self._choose()
            self.done[fault] += 1
            return fault

    def _choose(self) -> str:
        place = self._random.random()
        for fault, share in self.shares.items():
            if place < share:
                return fault
            place -= share
        return "passed"


@contextmanager
def faulty(endpoint: str, faults: Faults) -> Iterator[str]:
    """Runs a proxy in front of an endpoint; the value is its address."""
    proxy = _Proxy(urlsplit(endpoint).netloc, faults)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        with suppress(OSError):
            proxy.shutdown()
            proxy.server_close()
        thread.join()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str, faults: Faults) -> None:
        self.target, self.faults = target, faults
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Does nothing: clients may close their connections at any time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, *_: object) -> None:
        """Does nothing."""

    def handle_request(self) -> None:
        body = self._read_body()
        fault = self.server.faults.next()
        if fault == "reset":
            # Closing without lingering, with nothing to send, resets the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault in ("busy", "throttled"):
            status, code = (503, "SlowDown") if fault == "busy" else (429, "TooManyRequests")
            self._answer(status, {}, f"<Error><Code>{code}</Code><Message>later</Message></Error>".encode())
        else:
            self._answer(*self._forward(body), fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request

    def _read_body(self) -> bytes:
        """Reads the body of the request, which may come in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Sends the request to the endpoint and returns status, headers and body of its answer."""
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {*HOP_BY_HOP, "content-length"}}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
        connection.close()
        return answer.status, kept, data

    def _answer(self, status: int, headers: Mapping[str, str], data: bytes, fault: str = "passed") -> None:
        """Sends an answer; the faults `slow` and `cut` happen in the middle of its body."""
        self.send_response_only(status)
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
        if fault == "slow":
            self.wfile.flush()
            time.sleep(SLOW_SECONDS)
        if fault == "cut" and data:
            self.close_connection = True
            return
        self.wfile.write(data[half:])
