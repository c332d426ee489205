"""Sound on the picture's time axis: starts, ends, single channels, and what cannot be heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.base import ItemError
from stages.contracts import FEATURES, SOURCE_AUDIO, Row, rows_of, table_of
from stages.decode import decode
from stages.extract_audio import SAMPLE_RATE, ExtractAudio, ExtractAudioSettings, extract_audio
from stages.video.decode_settings import DecodeSettings
from tests.support.rows import features_row
from tests.support.sounds import clicking, first_loud, write_clicking
from tests.support.videos import ffmpeg, gray, write_video

CLICK = 1.3


@pytest.mark.parametrize(
    ("name", "codec", "offset"),
    [
        ("a.mp4", "aac", 0.0),
        ("b.mp4", "aac", 0.5),
        ("c.mkv", "libopus", 0.5),
        ("d.mov", "pcm_s16le", 0.7),
        ("e.mp4", "aac", -0.5),
    ],
)
def test_a_click_is_where_it_is_heard(tmp_path: Path, name: str, codec: str, offset: float) -> None:
    path = write_clicking(tmp_path / name, 3, [CLICK], codec=codec, offset=offset)
    duration = decode(path, DecodeSettings(clip_size=64))["duration"]
    sound = extract_audio(path, duration, ExtractAudioSettings())
    assert sound.shape == (round(duration * SAMPLE_RATE), 2)
    assert sound.dtype == np.int16
    assert first_loud(sound) == pytest.approx(CLICK + offset, abs=0.005)


def test_a_picture_that_starts_late_takes_its_sound_along(tmp_path: Path) -> None:
    path = write_clicking(tmp_path / "a.mp4", 3, [CLICK])
    late = tmp_path / "late.mp4"
    ffmpeg("-itsoffset", 0.5, "-i", path, "-i", path, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    columns = decode(late, DecodeSettings(clip_size=64))
    assert columns["frame_times"][0] == pytest.approx(0.5, abs=0.03)
    assert first_loud(extract_audio(late, columns["duration"], ExtractAudioSettings())) == pytest.approx(
        CLICK, abs=0.005
    )


def test_a_sound_that_ends_early_is_filled_with_silence_and_a_long_one_is_cut(tmp_path: Path) -> None:
    path = write_clicking(tmp_path / "short.mkv", 4, [CLICK], codec="flac", heard=2.0)
    sound = extract_audio(path, 4.0, ExtractAudioSettings())
    assert len(sound) == 4 * SAMPLE_RATE
    assert np.abs(sound[: 2 * SAMPLE_RATE - 10]).max() > 6000
    assert not sound[2 * SAMPLE_RATE + 10 :].any()
    assert len(extract_audio(path, 1.5, ExtractAudioSettings())) == 1.5 * SAMPLE_RATE


def test_a_single_channel_keeps_its_level(tmp_path: Path) -> None:
    path = write_clicking(tmp_path / "mono.mkv", 2, [CLICK], codec="flac")
    want = np.rint(clicking(2, [CLICK]) * 32767)
    sound = extract_audio(path, 2.0, ExtractAudioSettings())
    assert np.abs(sound - want[:, None]).max() <= 2


@pytest.fixture
def mute(tmp_path: Path) -> Path:
    return write_video(tmp_path / "mute.mp4", [gray(i) for i in range(50)])


def test_a_video_without_sound_says_so(mute: Path) -> None:
    with pytest.raises(ItemError) as error:
        extract_audio(mute, 2.0, ExtractAudioSettings())
    assert error.value.kind == "NoAudio"


def test_silence_is_no_sound(tmp_path: Path) -> None:
    path = write_clicking(tmp_path / "silent.mkv", 2, codec="flac", level=0.0005)
    with pytest.raises(ItemError, match="silent") as error:
        extract_audio(path, 2.0, ExtractAudioSettings())
    assert error.value.kind == "SilentAudio"
    extract_audio(write_clicking(tmp_path / "soft.mkv", 2, codec="flac", level=0.002), 2.0, ExtractAudioSettings())


def test_a_file_of_noise_fails_alone(tmp_path: Path, mute: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 100)
    good = write_clicking(tmp_path / "good.mp4", 2, [CLICK])
    rows: list[Row] = []
    for path, audio in ((noise, True), (tmp_path / "gone.mp4", True), (mute, False), (good, True)):
        row = features_row(path.name, 2.0) | {"uri": str(path)}
        rows.append(row | {"media": row["media"] | {"has_audio": audio}})
    heard = rows_of(SOURCE_AUDIO.check(ExtractAudio()(table_of(rows, FEATURES))))
    assert [row["error"] and row["error"]["type"] for row in heard] == ["AudioFailed", "Unreadable", "NoAudio", None]
    assert all("\n" not in row["error"]["message"] for row in heard[:3])
    assert heard[3]["sound"].shape == (2 * SAMPLE_RATE, 2)
