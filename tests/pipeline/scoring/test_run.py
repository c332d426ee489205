"""Whole runs on Ray: good and bad files, another destination, another order, and resumed runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile

from models.mixing.settings import MixingSettings
from models.sampling.settings import SamplingSettings
from models.weights.source import ModelSource
from pipeline.cluster.session import cluster
from pipeline.destination.ledger import FAILED, Ledger
from pipeline.destination.run_lock import RunLockError, locked
from pipeline.discovery import discover
from pipeline.scoring.resume import FingerprintError, remaining_work
from pipeline.scoring.run import RunSummary, run
from pipeline.scoring.settings import RunSettings
from pipeline.scoring.steps import STAGES
from pipeline.storage.storage import Storage
from tests.support.listener import RecordedProgress
from tests.support.s3 import S3, Bucket
from tests.support.videos import cut_in_half, ffmpeg, gray, write_video

QUICK = RunSettings(seed=3, sampling=SamplingSettings(steps=2))
GOOD = ["a.mp4", "deep/b c.mov", "deep/er/-d.mkv", "naïve 映像.mp4", "new\nline.mp4", "w'e\"b.webm"]
BAD = {
    "audio.mp4": "NoVideoStream",
    "blink.mp4": "TooShort",
    "empty.mp4": "EmptyFile",
    "half.mp4": "Truncated",
    "part.webm": "Truncated",
    "noise.mov": "NotAVideo",
    "playlist.mp4": "NotAVideo",
    "text.mp4": "NotAVideo",
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six good files and eight bad ones."""
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(GOOD):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shades = [gray((11 * number + 5 * (i // 8)) % 256) for i in range(25 + 5 * number)]
        coding = ("-c:v", "libvpx", "-deadline", "realtime") if path.suffix == ".webm" else ("-c:v", "libx264")
        plain = write_video(folder / f"plain{path.suffix}", shades, coding=(*coding, "-pix_fmt", "yuv420p"))
        plain.rename(path)
    long = write_video(folder / "long.mp4", [gray(2 * i) for i in range(100)], sound=True)
    ffmpeg("-i", long, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", folder / "long.webm")
    ffmpeg("-i", long, "-vn", "-c", "copy", folder / "audio.mp4")
    ffmpeg("-i", long, "-t", "0.4", folder / "blink.mp4")
    for whole, half in (("long.mp4", "half.mp4"), ("long.webm", "part.webm")):
        cut_in_half(folder / whole, folder / half)
        (folder / whole).unlink()
    (folder / "empty.mp4").touch()
    (folder / "noise.mov").write_bytes(bytes(range(256)) * 400)
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n")
    (folder / "text.mp4").write_text("this is a text\n" * 100)
    (folder / "notes.txt").write_text("not counted")
    return folder


@pytest.fixture(scope="module")
def ray_with_s3(s3_endpoint: S3) -> Iterator[None]:
    """A local cluster whose workers know the endpoint."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_endpoint.environment.items():
            patch.setenv(name, value)
        with cluster():
            yield


@pytest.fixture(scope="module")
def scored(
    videos: Path, ray_with_s3: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Storage, RunSummary, RecordedProgress]:
    destination, listener = Storage.open(tmp_path_factory.mktemp("scored")), RecordedProgress()
    summary = run(discover([str(videos)], destination), QUICK, destination, listener)
    return destination, summary, listener


def test_every_good_file_is_scored_and_every_bad_one_says_why(
    scored: tuple[Storage, RunSummary, RecordedProgress],
) -> None:
    destination, summary, listener = scored
    assert (summary.total, summary.done, summary.skipped) == (14, 6, 0)
    assert {Path(row["uri"]).name: row["error_type"] for row in summary.failures} == BAD
    assert {row["stage"] for row in summary.failures} == {"decode"}
    assert (listener.total, listener.counts) == (14, dict.fromkeys(STAGES, 14))
    rows = Ledger(destination).table().to_pylist()
    assert len(rows) == 14
    assert len({row["item_id"] for row in rows}) == 14
    assert all(row["error_message"] for row in rows if row["state"] == FAILED)


def test_outputs_stand_beside_each_other(scored: tuple[Storage, RunSummary, RecordedProgress], videos: Path) -> None:
    destination, _, _ = scored
    names = {entry.name for entry in destination.files()}
    assert names == {str(Path(name).with_suffix(s)) for name in GOOD for s in (Path(name).suffix, ".wav", ".json")}
    for name in GOOD:
        scored_file = Path(destination.root) / name
        seconds = float(av.open(str(videos / name)).duration) / 1e6
        assert float(av.open(str(scored_file)).duration) / 1e6 == pytest.approx(seconds, abs=1 / 25)
        assert soundfile.info(scored_file.with_suffix(".wav")).duration == pytest.approx(seconds, abs=1 / 25)
        sidecar = json.loads(scored_file.with_suffix(".json").read_text())
        assert (sidecar["fingerprint"], sidecar["seed"], sidecar["steps"]) == (QUICK.fingerprint, 3, 2)
        assert set(sidecar["seconds"]) == {"decode", "features", "rhythm", "sample", "sound", "mix"}


def test_again_recomputes_nothing(scored: tuple[Storage, RunSummary, RecordedProgress], videos: Path) -> None:
    destination, _, _ = scored
    before = _times(destination)
    listener = RecordedProgress()
    summary = run(discover([str(videos)], destination), QUICK, destination, listener)
    assert (summary.total, summary.done, summary.skipped, len(summary.failures)) == (14, 0, 6, 8)
    assert listener.total == 0
    assert _times(destination) == before


def _times(destination: Storage) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(destination.root).rglob("*") if path.is_file()}


def test_alone_to_a_bucket_from_a_bucket_is_the_same_music(
    scored: tuple[Storage, RunSummary, RecordedProgress], videos: Path, bucket: Bucket, ray_with_s3: None
) -> None:
    for name in (GOOD[1], GOOD[3]):
        bucket.put(f"in/{name}", (videos / name).read_bytes())
    destination = Storage.open(f"{bucket.url}/out")
    summary = run(discover([f"{bucket.url}/in"], destination), QUICK, destination, RecordedProgress())
    assert (summary.done, summary.failures) == (2, [])
    for name in (GOOD[1], GOOD[3]):
        sound = str(Path(name).with_suffix(".wav"))
        assert destination.read(sound) == scored[0].read(sound)
    hidden = [key for key in sorted(bucket.keys()) if "/." in key and not key.endswith("/")]
    ours = [key.removeprefix("out/.diff-v2m/").partition("/")[0] for key in hidden]
    assert sorted(set(ours)) == ["ledger", "runs"]


def test_other_settings_are_not_mixed_unless_allowed(
    scored: tuple[Storage, RunSummary, RecordedProgress], videos: Path
) -> None:
    destination, _, _ = scored
    manifest = discover([str(videos)], destination)
    other = RunSettings(seed=4, sampling=SamplingSettings(steps=2))
    with pytest.raises(FingerprintError, match=f"{QUICK.fingerprint}.*{other.fingerprint}"):
        remaining_work(manifest, other, Ledger(destination))
    assert remaining_work(manifest, other, Ledger(destination), mix=True).todo.num_rows == 14


def test_lost_and_changed_files_are_done_again(
    scored: tuple[Storage, RunSummary, RecordedProgress], videos: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scored[0].root, copy)
    (copy / "a.wav").unlink()
    (copy / "deep" / "b c.mov").write_bytes(b"truncated")
    destination = Storage.open(copy)
    work = remaining_work(discover([str(videos)], destination), QUICK, Ledger(destination))
    assert work.todo["output"].to_pylist() == ["a.mp4", "deep/b c.mov"]
    assert set(work.attempts.values()) == {1}


def test_settings_come_back_from_their_record() -> None:
    other = RunSettings(take=2, device="cpu", sampling=SamplingSettings(sampler="ddim", guidance=1.5, compiled=True))
    other = replace(other, mixing=MixingSettings(loudness=-14.0))
    for settings in (QUICK, other):
        assert RunSettings.of_record(json.loads(json.dumps(settings.record))) == settings
    elsewhere = RunSettings(model=ModelSource("weights/x.safetensors"), clip_weights="weights/clip.safetensors").record
    assert (Path(elsewhere["model"]).is_absolute(), Path(elsewhere["clip"]).is_absolute()) == (True, True)


def test_two_runs_do_not_share_a_destination(
    scored: tuple[Storage, RunSummary, RecordedProgress], videos: Path
) -> None:
    destination = scored[0]
    manifest = discover([str(videos)], destination)
    with locked(destination), pytest.raises(RunLockError, match="another run is at work"):
        run(manifest, QUICK, destination, RecordedProgress())
    left = destination.root + "/deep/.diff-v2m-" + "0" * 32 + ".tmp"
    Path(left).write_bytes(b"half a video")
    assert run(manifest, QUICK, destination, RecordedProgress()).skipped == len(GOOD)
    assert not Path(left).exists()


def test_the_fingerprint_stands_for_what_changes_the_music() -> None:
    base = RunSettings()
    steps, guidance = base.model.steps, base.model.guidance
    same = SamplingSettings(steps=steps, guidance=guidance, compiled=True)
    assert RunSettings(device="cuda", sampling=same).fingerprint == base.fingerprint
    assert RunSettings(sampling=SamplingSettings(sampler="dpm")).fingerprint == base.fingerprint
    changes: list[dict[str, Any]] = [
        {"steps": steps + 1},
        {"guidance": guidance + 1},
        {"sampler": "ddim"},
        {"precision": "bfloat16"},
    ]
    prints = {RunSettings(sampling=SamplingSettings(**change)).fingerprint for change in changes}
    loud = {RunSettings(mixing=MixingSettings(loudness=loudness)).fingerprint for loudness in (-14.0, -23.0)}
    assert len(loud | {base.fingerprint}) == 3
    # A destination that was begun before there was a mix goes on.
    older = {name: value for name, value in base.record.items() if name != "mixing"}
    assert RunSettings.of_record(older).fingerprint == base.fingerprint
    assert "mixing" not in base.to_dict()
    prints |= {RunSettings(seed=1).fingerprint, RunSettings(take=1).fingerprint}
    assert len(prints | {base.fingerprint}) == 7
    assert RunSettings(model=ModelSource()).fingerprint == base.fingerprint
