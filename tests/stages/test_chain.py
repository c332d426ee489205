"""All stages one after another with their default settings, in one line each and without Ray."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.clip.config import TINY
from stages.contracts import MANIFEST, rows_of, table_of
from stages.decode import Decode
from stages.decode_audio import DecodeAudio
from stages.extract_audio import ExtractAudio
from stages.extract_features import ExtractFeatures
from stages.mix import Mix
from stages.mux import Mux, MuxSettings
from stages.predict_rhythm import PredictRhythm
from stages.sample_latents import SampleLatents
from stages.video.probe import probe
from tests.support.rows import CONFIG, common
from tests.support.sounds import write_clicking

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS = 3.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three seconds with one cut in its middle and a sound of its own."""
    return write_clicking(tmp_path_factory.mktemp("video") / "clip.mp4", SECONDS, [1.0])


def test_the_stages_fit_together_with_default_settings(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # an import of Ray would fail
    table = table_of([common(video.name, uri=str(video), size=video.stat().st_size)], MANIFEST)
    decoded = Decode()(table)
    features = ExtractFeatures()(decoded)
    rhythm = PredictRhythm()(features)
    latents = SampleLatents()(rhythm)
    sound = DecodeAudio()(latents)
    mixed = Mix()(sound)
    muxed = Mux(MuxSettings(tmp_path))(mixed)

    frames, duration = (rows_of(decoded)[0][name] for name in ("clip_frames", "duration"))
    assert frames.shape == (3, TINY.image_size, TINY.image_size, 3)
    assert duration == pytest.approx(SECONDS, abs=0.01)
    (found,) = rows_of(features)
    assert (found["semantic"].shape, found["color"].shape) == ((3, CONFIG.semantic_dim), (3, CONFIG.color_dim))
    assert found["scene_cut"].tolist() == [0, 1, 0]
    assert rows_of(latents)[0]["latents"].shape == (CONFIG.latent_channels, CONFIG.lengths.latents_of(duration))
    (row,) = rows_of(muxed)
    assert row["error"] is None
    assert list(row["seconds"]) == ["decode", "features", "rhythm", "sample", "sound", "mix", "mux"]
    files = {Path(output["name"]).suffix: Path(output["path"]) for output in row["outputs"]}
    assert set(files) == {".mp4", ".wav", ".json"}
    music, rate = soundfile.read(files[".wav"], dtype="float32")
    assert (rate, music.shape) == (44100, (round(duration * 44100), 2))
    assert np.abs(music).max() > 0.9  # the peak is at full scale, as released
    info = probe(files[".mp4"])
    assert info.has_audio
    assert info.duration == pytest.approx(duration, abs=0.05)
    sidecar = json.loads(files[".json"].read_text())
    assert (music * 32768).astype(np.int16).tolist() == rows_of(sound)[0]["waveform"].tolist()  # as the model made it
    assert (sidecar["gain"], sidecar["limited"]) == (0.0, 0.0)
    assert -25 < sidecar["loudness"] < -8
    assert -0.1 < sidecar["true_peak"] < 2
    assert sidecar["cuts"] == [pytest.approx(1.52, abs=0.05)]
    assert [(one["kind"], one["start"]) for one in sidecar["transitions"]] == [("cut", sidecar["cuts"][0])]


def test_the_source_audio_follows_the_features(video: Path) -> None:
    table = table_of([common(video.name, uri=str(video))], MANIFEST)
    (row,) = rows_of(ExtractAudio()(ExtractFeatures()(Decode()(table))))
    assert row["error"] is None
    assert row["sound"].shape == (round(row["duration"] * 44100), 2)
