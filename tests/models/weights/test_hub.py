"""Downloading released weights from a server on this machine that speaks the protocol of the hub."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from pathlib import Path

import pytest

from models.weights import hub as hub_module
from models.weights.hub import RELEASES, HubError, pull
from tests.support.hub import CLIP, CLIP_REPO, COMMIT, CONFIG, WEIGHTS, Hub, serve

TOKEN = "hf_verysecrettoken"


def test_pull_makes_a_folder_that_load_model_opens(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    pulled = pull("diff-v2m", tmp_path / "w", on_progress=lambda *step: seen.append(step))
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


def test_a_second_pull_downloads_only_missing_or_new_files(hub: Hub, tmp_path: Path) -> None:
    pull(folder=tmp_path)
    hub.requests.clear()
    pull(folder=tmp_path)
    assert [file for method, file, _ in hub.requests if method == "GET"] == []
    (tmp_path / "clip.safetensors").write_bytes(b"short")
    hub.files[WEIGHTS] = os.urandom(3_000_000)
    pull(folder=tmp_path)
    assert sorted(file for method, file, _ in hub.requests if method == "GET") == sorted([WEIGHTS, CLIP])
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert (tmp_path / "clip.safetensors").read_bytes() == hub.files[CLIP]


def test_a_broken_download_is_resumed_at_once(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [1_000_000, 1_500_000]
    pull(folder=tmp_path)
    assert hub.ranges_of(WEIGHTS) == [None, "bytes=1000000-", "bytes=2500000-"]
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_an_interrupted_pull_is_resumed_by_the_next(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_ATTEMPTS", 1)
    hub.cuts = [2_000_000]
    with pytest.raises(HubError, match="2000000 of 3000000 bytes are kept: run it again to go on"):
        pull(folder=tmp_path)
    assert not (tmp_path / "model.ckpt").exists()
    (part,) = tmp_path.glob("model.ckpt.*.part")
    assert part.stat().st_size == 2_000_000
    pull(folder=tmp_path)
    assert hub.ranges_of(WEIGHTS) == [None, "bytes=2000000-"]
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]


def test_a_partial_file_of_another_version_is_not_resumed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "MAX_ATTEMPTS", 1)
    hub.cuts = [2_000_000]
    with pytest.raises(HubError):
        pull(folder=tmp_path)
    hub.files[WEIGHTS] = os.urandom(3_000_000)
    pull(folder=tmp_path)
    assert hub.ranges_of(WEIGHTS) == [None, None]
    assert (tmp_path / "model.ckpt").read_bytes() == hub.files[WEIGHTS]
    assert list(tmp_path.glob("*.part")) == []


def test_a_server_that_ignores_ranges_sends_the_whole_file_again(hub: Hub, tmp_path: Path) -> None:
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
    monkeypatch.setattr(hub_module, "MAX_ATTEMPTS", 1)
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


def test_the_declared_license_is_shown(hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    diff_v2m, clip = pull(folder=tmp_path).licenses
    assert (diff_v2m.name, clip.name) == (None, "apache-2.0")
    assert "TaylorJi/Diff-V2M: its model card declares no licence" in str(diff_v2m)
    assert str(diff_v2m) in caplog.text
    assert f"{CLIP_REPO}: licence apache-2.0" in caplog.text
    hub.cards["TaylorJi/Diff-V2M"] = {"license": "other", "license_name": "mine", "license_link": "https://x/LICENSE"}
    assert str(pull(folder=tmp_path).licenses[0]) == "TaylorJi/Diff-V2M: licence mine (https://x/LICENSE)"
    assert json.loads((tmp_path / "hub.json").read_text())["licences"][0]["name"] == "mine"


def test_the_token_is_sent_only_to_the_hub_and_never_shown(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    other = Hub({f"cdn/{name}": data for name, data in hub.files.items()}, {})
    other.files |= hub.files
    with serve(other):
        hub.elsewhere = other.endpoint.replace("127.0.0.1", "localhost")
        pulled = pull(folder=tmp_path)
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
def test_a_refused_request_is_one_line_of_error(hub: Hub, tmp_path: Path, status: int, code: str, words: str) -> None:
    hub.status, hub.code = status, code
    with pytest.raises(HubError, match=f"TaylorJi/Diff-V2M: .*{words}") as caught:
        pull(folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_that_the_hub_does_not_have_is_named(hub: Hub, tmp_path: Path) -> None:
    del hub.files[WEIGHTS]
    with pytest.raises(HubError, match=r"TaylorJi/Diff-V2M/model_odf.ckpt: not found at .*the release may have moved"):
        pull(folder=tmp_path)


def test_an_unreachable_hub_is_named(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"no connection to http://127.0.0.1:1 \(ConnectError\); check the network"):
        pull(folder=tmp_path, endpoint="http://127.0.0.1:1")


def test_a_full_disk_is_named(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RELEASES["diff-v2m"][0]
    data = hub.files[CONFIG]
    key = hashlib.sha256(f"{config.repo}\n{hashlib.sha1(data).hexdigest()}".encode()).hexdigest()[:16]
    os.symlink("/dev/full", tmp_path / f"model_config.json.{key}.part")
    with pytest.raises(HubError, match="the disk is full; free some space and run it again, it goes on"):
        pull(folder=tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match=os.strerror(errno.ENOTDIR)):
        pull(folder=tmp_path / "file" / "below")


def test_an_unknown_release_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="no released weights are called 'v2m'; there are: diff-v2m"):
        pull("v2m", tmp_path)
