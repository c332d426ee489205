"""The layout of Diff-V2M's authors, read as a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.features.motion import Movement, pace_curve
from pipeline.datasets.builder import PrepareSettings
from pipeline.datasets.dataset import Dataset, DatasetError
from pipeline.datasets.import_released import prepare_released
from pipeline.storage.storage import Storage
from stages.cut_segments import LENGTHS, decode_flac
from tests.support.listener import RecordedProgress
from tests.support.sounds import RATE, clicking

SETTINGS = PrepareSettings(device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good clips of 12 and 30.03 s, one without color and one that is silent."""
    root, draws = tmp_path / "train", np.random.default_rng(0)
    for name in ("wav_30", "clip_30", "color_30"):
        (root / name).mkdir(parents=True)
    pace = {}
    for name, seconds in (("a", 12.0), ("b", 30.03), ("colorless", 6.0), ("silent", 6.0)):
        steps = int(seconds)
        sound = clicking(seconds, [2.5], level=0.0 if name == "silent" else 0.02) * (name != "silent")
        soundfile.write(root / "wav_30" / f"{name}.wav", sound, RATE, "PCM_16")
        np.save(root / "clip_30" / f"{name}.npy", draws.standard_normal((steps, 512)).astype(np.float32))
        if name != "colorless":
            np.save(root / "color_30" / f"{name}.npy", draws.random((steps, 3, 32, 32)).astype(np.float32))
        beats = [0.0, 0.5] + [0.0] * (steps - 2)
        pace[f"{name}.mp4"] = {"scene_cut": [int(i == 4) for i in range(steps)], "pseudo_beats": beats}
    (root / "visualRhythm_30.json").write_text(json.dumps(pace))
    return root


def test_clips_become_segments(folder: Path, tmp_path: Path) -> None:
    out = Storage.open(tmp_path / "set")
    summary = prepare_released([str(folder)], out, SETTINGS, RecordedProgress())
    assert (summary.total, summary.done, summary.segments) == (4, 2, 2)
    why = {Path(row["uri"]).stem: row["error_type"] for row in summary.failures}
    assert why == {"colorless": "NoFeatures", "silent": "SilentAudio"}
    dataset = Dataset.open(out.url, tmp_path / "cache")
    assert dataset.settings["pace"] == "seconds"
    assert dataset.settings["semantic"] == 512
    short, long = (dataset.segment(i) for i in range(2))
    assert (short["seconds"], long["seconds"]) == (12, 30)
    assert long["duration"] == pytest.approx(645 / LENGTHS.latent_rate)
    assert short["semantic"].shape == (12, 512)
    assert short["color"].shape == (12, 3072)
    assert short["scene_cut"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(short["cuts"], [4.5])
    assert decode_flac(short["sound"]).shape[0] == LENGTHS.latents_of(12) * 2048
    motion = short["pace"][0]
    assert motion[round(1.5 * LENGTHS.latent_rate)] == pytest.approx(0.5, abs=0.01)
    assert motion[round(5 * LENGTHS.latent_rate)] == 0
    cut = pace_curve(
        Movement(np.zeros(0), np.zeros(0, np.float32), np.array([4.5])), LENGTHS.latent_rate, short["pace"].shape[1]
    )
    np.testing.assert_array_equal(short["pace"][1], cut[1])
    assert not short["pace"][2:].any()


def test_again_does_nothing_and_goes_on(folder: Path, tmp_path: Path) -> None:
    out = Storage.open(tmp_path / "set")
    prepare_released([str(folder)], out, SETTINGS, RecordedProgress(), limit=1)
    np.save(folder / "color_30" / "colorless.npy", np.ones((6, 3072), np.float32))
    summary = prepare_released([str(folder)], out, SETTINGS, RecordedProgress())
    assert (summary.total, summary.skipped, summary.done, len(summary.failures)) == (4, 1, 2, 1)
    summary = prepare_released([str(folder)], out, SETTINGS, RecordedProgress())
    assert (summary.skipped, summary.done, len(summary.failures)) == (3, 0, 1)
    assert len(out.files()) == 4  # manifest, failures and two shards


def test_features_that_are_none_fail_alone(folder: Path, tmp_path: Path) -> None:
    (folder / "clip_30" / "b.npy").write_bytes(b"text")
    pace = json.loads((folder / "visualRhythm_30.json").read_text())
    pace["colorless.mp4"] = {"scene_cut": "yes"}
    (folder / "visualRhythm_30.json").write_text(json.dumps(pace))
    np.save(folder / "color_30" / "colorless.npy", np.ones((6, 3072), np.float32))
    summary = prepare_released([str(folder)], Storage.open(tmp_path / "set"), SETTINGS, RecordedProgress())
    why = {Path(row["uri"]).stem: row["error_type"] for row in summary.failures}
    assert why == {"b": "BadFeatures", "colorless": "BadFeatures", "silent": "SilentAudio"}
    assert summary.done == 1


def test_another_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "visualRhythm_30.json").unlink()
    with pytest.raises(DatasetError, match=r"lacks one visualRhythm\*.json"):
        prepare_released([str(folder)], Storage.open(tmp_path / "set"), SETTINGS, RecordedProgress())
    with pytest.raises(DatasetError, match=r"lacks wav\*/"):
        prepare_released([str(tmp_path)], Storage.open(tmp_path / "set"), SETTINGS, RecordedProgress())
    assert not (tmp_path / "set").exists()
