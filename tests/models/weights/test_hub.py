"""Fetching released weights from a server that speaks the hub's protocol on this machine."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from models.weights import hub as hub_module
from models.weights.hub import RELEASES, HubError, pull

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS, CONFIG, CLIP = "TaylorJi/Diff-V2M/model_odf.ckpt", "TaylorJi/Diff-V2M/model_config_odf.json", ""
CLIP_REPO = "timm/vit_base_patch32_clip_224.openai"
CLIP = f"{CLIP_REPO}/open_clip_model.safetensors"
TOKEN = "hf_verysecrettoken"


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    cards: dict[str, dict[str, object] | None]
    cuts: list[int] = field(default_factory=list)  # the next answers break after so many bytes
    surplus: bytes = b""  # sent after the declared size
    declared: dict[str, int] = field(default_factory=dict)  # sizes that HEAD declares instead of the true ones
    status: int = 0  # answer everything with this
    code: str = ""  # X-Error-Code beside it
    ranges: bool = True  # whether Range is understood
    elsewhere: str = ""  # address of the server that large files are redirected to
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, file, Range
    tokens: list[tuple[str, str | None]] = field(default_factory=list)  # path, Authorization
    endpoint: str = ""

    def gets(self, file: str) -> list[str | None]:
        return [wanted for method, name, wanted in self.asked if (method, name) == ("GET", file)]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
            hub.tokens.append((path, self.headers.get("Authorization")))
            if hub.status:
                return self._head(hub.status, {"X-Error-Code": hub.code} if hub.code else {})
            if path.startswith("api/models/"):
                repo = path.removeprefix("api/models/")
                body = json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "cardData": hub.cards[repo]}).encode()
                self._head(200, {"Content-Length": str(len(body)), "Content-Type": "application/json"})
                self.wfile.write(body)
                return None
            owner, repo, _, revision, *rest = path.split("/")
            file = "/".join((owner, repo, *rest))
            hub.asked.append((self.command, file, self.headers.get("Range")))
            if file not in hub.files or revision not in ("main", COMMIT):
                return self._head(404, {"X-Error-Code": "EntryNotFound"})
            return self._file(file, hub.files[file])

        def _file(self, file: str, data: bytes) -> None:
            large = not file.endswith(".json")
            etag = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
            size = hub.declared.get(file, len(data))
            facts = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if large and hub.elsewhere and "/cdn/" not in self.path:
                facts |= {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{etag}"'}
                return self._head(302, facts | {"Location": f"{hub.elsewhere}{self.path}?signed=1"})
            if self.command == "HEAD":
                return self._head(200, facts | {"Content-Length": str(size), "X-Linked-Size": str(size)})
            body, status = data + hub.surplus, 200
            if (wanted := self.headers.get("Range")) and hub.ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                body, status = body[start:], 206
                facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._head(status, facts | {"Content-Length": str(len(body))})
            if hub.cuts and large:
                self.wfile.write(body[: hub.cuts.pop(0)])
                self.close_connection = True
                return None
            self.wfile.write(body)
            return None

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {WEIGHTS: os.urandom(3_000_000), CONFIG: b'{"model_type": "x"}', CLIP: os.urandom(500_000)}
    served = Hub(files, {"TaylorJi/Diff-V2M": None, CLIP_REPO: {"license": "apache-2.0"}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    served.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(hub_module.time, "sleep", lambda seconds: None)
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def test_pull_lays_out_a_folder_that_load_model_opens(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    pulled = pull("diff-v2m", tmp_path / "w", progress=lambda *step: seen.append(step))
    held = {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()}
    record = json.loads(held.pop("hub.json"))
    assert held == {
        "model.ckpt": hub.files[WEIGHTS],
        "model_config.json": hub.files[CONFIG],
        "clip.safetensors": hub.files[CLIP],
    }
    facts = {file.name: (file.repo, file.commit, file.size) for file in pulled.files}
    assert facts["model.ckpt"] == ("TaylorJi/Diff-V2M", COMMIT, 3_000_000)
    assert record["files"]["clip.safetensors"]["etag"] == hashlib.sha256(hub.files[CLIP]).hexdigest()
    steps = [there for name, there, size in seen if name == "model.ckpt"]
    assert (steps[0], steps[-1]) == (0, 3_000_000)
    assert steps == sorted(steps)
    assert {size for name, _, size in seen if name == "model.ckpt"} == {3_000_000}


def test_pull_again_fetches_nothing_but_what_is_missing_or_new(hub: Hub, tmp_path: Path) -> None:
    pull(folder=tmp_path)
    hub.asked.clear()
    pull(folder=tmp_path)
    assert [file for method, file, _ in hub.asked if method == "GET"] == []
    (tmp_path / "clip.safetensors").write_bytes(b"short")
    hub.files[WEIGHTS] = os.urandom(3_000_000)
    pull(folder=tmp_path)
    assert sorted(file for method, file, _ in hub.asked if method == "GET") == sorted([WEIGHTS, CLIP])
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert (tmp_path / "clip.safetensors").read_bytes() == hub.files[CLIP]


def test_a_connection_that_breaks_is_gone_on_with_at_once(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [1_000_000, 1_500_000]
    pull(folder=tmp_path)
    assert hub.gets(WEIGHTS) == [None, "bytes=1000000-", "bytes=2500000-"]
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_an_interrupted_pull_is_gone_on_with_by_the_next(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TRIES", 1)
    hub.cuts = [2_000_000]
    with pytest.raises(HubError, match="2000000 of 3000000 bytes are kept: run it again to go on"):
        pull(folder=tmp_path)
    assert not (tmp_path / "model.ckpt").exists()
    (part,) = tmp_path.glob("model.ckpt.*.part")
    assert part.stat().st_size == 2_000_000
    pull(folder=tmp_path)
    assert hub.gets(WEIGHTS) == [None, "bytes=2000000-"]
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]


def test_a_part_of_another_version_is_not_gone_on_with(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TRIES", 1)
    hub.cuts = [2_000_000]
    with pytest.raises(HubError):
        pull(folder=tmp_path)
    hub.files[WEIGHTS] = os.urandom(3_000_000)
    pull(folder=tmp_path)
    assert hub.gets(WEIGHTS) == [None, None]
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert list(tmp_path.glob("*.part")) == []


def test_a_server_that_ignores_ranges_sends_it_all_again(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.ranges = [1_000_000], False
    pull(folder=tmp_path)
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]


def test_more_than_the_declared_size_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.surplus = b"x" * 10
    with pytest.raises(HubError, match=r"model_config_odf.json: the hub declares 19 bytes but sent 29"):
        pull(folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by", [-1000, 1000])
def test_another_size_than_the_declared_one_is_refused(hub: Hub, tmp_path: Path, by: int) -> None:
    hub.declared[WEIGHTS] = 3_000_000 + by
    with pytest.raises(HubError, match=r"TaylorJi/Diff-V2M/model_odf.ckpt: ") as caught:
        pull(folder=tmp_path)
    assert str(3_000_000 + by) in str(caught.value)
    assert not (tmp_path / "model.ckpt").exists()


def test_content_with_another_hash_is_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TRIES", 1)
    hub.cuts = [1_000_000]
    with pytest.raises(HubError):
        pull(folder=tmp_path)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(b"\0" * 1_000_000)
    with pytest.raises(HubError, match="another hash than the hub declares; run it again"):
        pull(folder=tmp_path)
    assert not (tmp_path / "model.ckpt").exists()
    pull(folder=tmp_path)
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]


def test_the_licence_is_said_plainly(hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ours, clip = pull(folder=tmp_path).licences
    assert (ours.name, clip.name) == (None, "apache-2.0")
    assert "TaylorJi/Diff-V2M: its model card declares no licence" in str(ours)
    assert str(ours) in caplog.text
    assert f"{CLIP_REPO}: licence apache-2.0" in caplog.text
    hub.cards["TaylorJi/Diff-V2M"] = {"license": "other", "license_name": "mine", "license_link": "https://x/LICENSE"}
    assert str(pull(folder=tmp_path).licences[0]) == "TaylorJi/Diff-V2M: licence mine (https://x/LICENSE)"
    assert json.loads((tmp_path / "hub.json").read_text())["licences"][0]["name"] == "mine"


def test_the_token_goes_to_the_hub_alone_and_is_never_shown(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    other = Hub({f"cdn/{name}": data for name, data in hub.files.items()}, {})
    other.files |= hub.files
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(other))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    hub.elsewhere = f"http://localhost:{server.server_port}"
    try:
        pulled = pull(folder=tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert {token for _, token in hub.tokens} == {f"Bearer {TOKEN}"}
    assert len(other.tokens) == 2
    assert {token for _, token in other.tokens} == {None}
    hub.status = 403
    with pytest.raises(HubError) as caught:
        pull(folder=tmp_path)
    everything = f"{pulled} {caught.value!r} {caplog.text} {(tmp_path / 'hub.json').read_text()}"
    assert TOKEN not in everything


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "GatedRepo", "access is restricted; accept its terms"),
        (403, "GatedRepo", "access is restricted; accept its terms"),
        (401, "RepoNotFound", "not found at .* or private"),
        (404, "RepoNotFound", "not found at .* or private"),
        (403, "", r"refuses access \(403\); set HF_TOKEN"),
        (503, "", r"overloaded or failing \(503\); try again later"),
    ],
)
def test_a_refusal_is_one_line(hub: Hub, tmp_path: Path, status: int, code: str, words: str) -> None:
    hub.status, hub.code = status, code
    with pytest.raises(HubError, match=f"TaylorJi/Diff-V2M: .*{words}") as caught:
        pull(folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_that_the_hub_lacks(hub: Hub, tmp_path: Path) -> None:
    del hub.files[WEIGHTS]
    with pytest.raises(HubError, match=r"TaylorJi/Diff-V2M/model_odf.ckpt: not found at .*the release may have moved"):
        pull(folder=tmp_path)


def test_no_network(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"no connection to http://127.0.0.1:1 \(ConnectError\); check the network"):
        pull(folder=tmp_path, endpoint="http://127.0.0.1:1")


def test_a_full_disk_says_that_the_pull_goes_on(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RELEASES["diff-v2m"][0]
    data = hub.files[CONFIG]
    key = hashlib.sha256(f"{config.repo}\n{hashlib.sha1(data).hexdigest()}".encode()).hexdigest()[:16]
    os.symlink("/dev/full", tmp_path / f"model_config.json.{key}.part")
    with pytest.raises(HubError, match="the disk is full; free some space and run it again, it goes on"):
        pull(folder=tmp_path)


def test_a_folder_that_cannot_be_made(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match=os.strerror(errno.ENOTDIR)):
        pull(folder=tmp_path / "file" / "below")


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="no released weights are called 'v2m'; there are: diff-v2m"):
        pull("v2m", tmp_path)
