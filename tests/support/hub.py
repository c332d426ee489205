"""A server on this machine that speaks the protocol of the Hugging Face hub and can make its faults."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO, CLIP_REPO = "TaylorJi/Diff-V2M", "timm/vit_base_patch32_clip_224.openai"
WEIGHTS, CONFIG = f"{REPO}/model_odf.ckpt", f"{REPO}/model_config_odf.json"
CLIP = f"{CLIP_REPO}/open_clip_model.safetensors"


@dataclass
class Hub:
    """The files of the server, its faults, and the requests that it received.

    Attributes:
        files: contents by `repository/path`.
        cards: metadata of the model card by repository; None for no card.
        cuts: the next answers break off after so many bytes.
        surplus: bytes that are sent after the declared size.
        declared: sizes that HEAD declares instead of the true ones.
        status: HTTP status of every answer; 0 for no fault.
        code: `X-Error-Code` of such an answer.
        ranges: whether the server understands the header `Range`.
        elsewhere: address of the server that large files are redirected to.
        requests: method, file and `Range` of each request for a file.
        tokens: path and `Authorization` of each request.
        endpoint: address of the server.
    """

    files: dict[str, bytes]
    cards: dict[str, dict[str, object] | None]
    cuts: list[int] = field(default_factory=list)
    surplus: bytes = b""
    declared: dict[str, int] = field(default_factory=dict)
    status: int = 0
    code: str = ""
    ranges: bool = True
    elsewhere: str = ""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: list[tuple[str, str | None]] = field(default_factory=list)
    endpoint: str = ""

    def ranges_of(self, file: str) -> list[str | None]:
        """Returns the header `Range` of each download of a file."""
        return [wanted for method, name, wanted in self.requests if (method, name) == ("GET", file)]


def released_hub() -> Hub:
    """Returns a hub with small random files in place of the released weights."""
    files = {WEIGHTS: os.urandom(3_000_000), CONFIG: b'{"model_type": "x"}', CLIP: os.urandom(500_000)}
    return Hub(files, {REPO: None, CLIP_REPO: {"license": "apache-2.0"}})


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Runs the server of a hub in a thread."""
    server = _Server(hub)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.hub.tokens.append((path, self.headers.get("Authorization")))
        if self.hub.status:
            return self._head(self.hub.status, {"X-Error-Code": self.hub.code} if self.hub.code else {})
        if path.startswith("api/models/"):
            repo = path.removeprefix("api/models/")
            body = json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "cardData": self.hub.cards[repo]}).encode()
            self._head(200, {"Content-Length": str(len(body)), "Content-Type": "application/json"})
            self.wfile.write(body)
            return None
        owner, repo, _, revision, *rest = path.split("/")
        file = "/".join((owner, repo, *rest))
        self.hub.requests.append((self.command, file, self.headers.get("Range")))
        if file not in self.hub.files or revision not in ("main", COMMIT):
            return self._head(404, {"X-Error-Code": "EntryNotFound"})
        return self._file(file, self.hub.files[file])

    def _file(self, file: str, data: bytes) -> None:
        large = not file.endswith(".json")
        etag = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
        size = self.hub.declared.get(file, len(data))
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if large and self.hub.elsewhere and "/cdn/" not in self.path:
            headers |= {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{etag}"'}
            return self._head(302, headers | {"Location": f"{self.hub.elsewhere}{self.path}?signed=1"})
        if self.command == "HEAD":
            return self._head(200, headers | {"Content-Length": str(size), "X-Linked-Size": str(size)})
        body, status = data + self.hub.surplus, 200
        if (wanted := self.headers.get("Range")) and self.hub.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            body, status = body[start:], 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(status, headers | {"Content-Length": str(len(body))})
        if self.hub.cuts and large:
            self.wfile.write(body[: self.hub.cuts.pop(0)])
            self.close_connection = True
            return None
        self.wfile.write(body)
        return None
