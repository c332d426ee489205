"""The plan: counts that add up, reasons, disk space and time, for folders and buckets, without computing music."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.cluster.resources import Machine
from pipeline.destination.ledger import Ledger
from pipeline.discovery import discover
from pipeline.planning.cost_model import CostModel, StageCost
from pipeline.planning.estimate import plan
from pipeline.scoring.resume import FingerprintError
from pipeline.scoring.settings import RunSettings
from pipeline.storage.storage import Storage
from stages.audio.formats import OutputSettings
from tests.support.awkward_videos import longer_subtitles, open_ended
from tests.support.ledger import START, failed, row
from tests.support.s3 import Bucket
from tests.support.videos import gray, write_video

SETTINGS = RunSettings()
MACHINE = Machine(2.0, 0.0, 2.0)
RATES = CostModel(
    "x", 1.0, 0.0, dict.fromkeys(("decode", "features", "rhythm", "sample", "sound", "mix", "mux"), StageCost(0.0, 0.5))
)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(4):
        write_video(folder / f"clip{number}.mp4", [gray(4 * i + number) for i in range(50)])
    (folder / "text.mp4").write_text("no video")
    return folder


def test_counts_length_room_and_time(videos: Path, tmp_path: Path) -> None:
    destination = Storage.open(tmp_path / "out")
    calls: list[tuple[int, int]] = []
    found = plan(
        discover([str(videos)], destination), SETTINGS, destination, MACHINE,
        cost_model=RATES, price=3.0, on_progress=lambda *at: calls.append(at),
    )  # fmt: skip
    assert (found.total, found.done, found.todo, found.guessed) == (5, 0, 4, 0)
    assert [(Path(look["uri"]).name, look["type"]) for look in found.unusable] == [("text.mp4", "NotAVideo")]
    assert found.seconds == pytest.approx(8.0, abs=0.1)
    assert found.hours == pytest.approx(7 * 0.5 * found.seconds / 2 / 3600)
    assert found.cost == pytest.approx(3 * found.hours)
    sizes = sum(path.stat().st_size for path in videos.glob("clip*"))
    assert found.written == pytest.approx(sizes + found.seconds * (176_400 + 24_000) + 4 * 4096, rel=1e-6)
    wishes = OutputSettings(("wav24", "mp3"), 48000, stems=True)
    more = plan(discover([str(videos)], destination), replace(SETTINGS, outputs=wishes), destination, MACHINE)
    sound = 176_400 * ((1.5 + 0.12) * 48000 / 44100 + 1)
    assert more.written == pytest.approx(sizes + found.seconds * (sound + 24_000) + 4 * 4096, rel=1e-6)
    assert found.fits
    assert not replace(found, free=10).fits
    assert calls[-1] == (5, 5)
    assert not (tmp_path / "out").exists()  # a plan writes nothing
    assert found.layouts["with one GPU"]["sample"].num_gpus == 0.6
    assert sum(pool.num_gpus for pool in found.layouts["with one GPU"].pools.values()) <= 1.0
    assert not any(pool.num_gpus for pool in found.layouts["without a GPU"].pools.values())


def test_files_in_a_bucket_are_probed_by_their_ends(
    videos: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.planning.probing.HEAD", 600)
    monkeypatch.setattr("pipeline.planning.probing.TAIL", 2000)  # the index of such a file lies at its end
    for path in videos.iterdir():
        bucket.put(f"in/{path.name}", path.read_bytes())
    destination = Storage.open(f"{bucket.url}/out")
    found = plan(discover([f"{bucket.url}/in"], destination), SETTINGS, destination, MACHINE)
    assert (found.todo, [look["type"] for look in found.unusable]) == (4, ["NotAVideo"])
    assert found.seconds == pytest.approx(8.0, abs=0.1)
    assert (found.hours, found.free, found.cost_model) == (None, None, None)


def test_done_videos_are_not_planned_and_give_the_costs(videos: Path, tmp_path: Path) -> None:
    destination = Storage.open(tmp_path / "out")
    manifest = discover([str(videos)], destination)
    ids = manifest["item_id"].to_pylist()
    rows = []
    for number, (item, output) in enumerate(zip(ids[:3], manifest["output"].to_pylist(), strict=False)):
        outputs = [destination.write(output, b"done")]
        moment = START + timedelta(seconds=5 * number)
        rows.append(
            row(
                item, 0, output=output, outputs=outputs, fingerprint=SETTINGS.fingerprint, duration=2.0, finished=moment
            )
        )
    rows.append(failed(ids[4], 1, output="text.mp4", fingerprint=SETTINGS.fingerprint))
    Ledger(destination).append(rows)
    found = plan(manifest, SETTINGS, destination, MACHINE, fallback=RATES)
    assert (found.total, found.done, len(found.failed_before), found.todo) == (5, 3, 1, 1)
    assert found.cost_model is not None
    assert "3 videos done at" in found.cost_model.source
    assert found.cost_model.stages["sample"].work(1, 2.0) == pytest.approx(2.0)
    with pytest.raises(FingerprintError):
        plan(manifest, RunSettings(seed=9), destination, MACHINE)


def test_a_sample_stands_for_all(videos: Path, tmp_path: Path) -> None:
    destination = Storage.open(tmp_path / "out")
    found = plan(discover([str(videos)], destination), SETTINGS, destination, MACHINE, sample=2)
    assert (found.looked_at, found.todo) == (2, 5)
    assert found.seconds == pytest.approx(10.0, abs=0.2)


def test_containers_and_what_is_left_behind_are_known_before(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    open_ended(folder / "a.webm")
    longer_subtitles(folder / "b.mkv")
    recorded = write_video(tmp_path / "h264.mkv", [gray(4 * i) for i in range(50)])
    recorded.rename(folder / "c.webm")
    destination = Storage.open(tmp_path / "out")
    found = plan(discover([str(folder)], destination), SETTINGS, destination, MACHINE)
    assert [(Path(look["uri"]).name, look["wanted"], look["output"]) for look in found.other_containers] == [
        ("c.webm", "c.webm", "c.mkv")
    ]
    assert found.left_behind == {"subtitle": 1}
    assert found.seconds == pytest.approx(8.0, abs=0.01)
    assert found.to_dict()["left_behind"] == {"subtitle": 1}
