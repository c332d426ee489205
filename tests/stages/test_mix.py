"""The stage Mix: music as released, at a loudness, and under the sound that the video brings along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.studies.original_sound.voices import voice
from models.mixing.leveling import CEILING
from models.mixing.loudness import integrated_loudness
from models.mixing.settings import MixingSettings
from models.mixing.sound import StoredSound
from stages.contracts import SOUND, Row, rows_of, table_of
from stages.mix import Mix, MixSettings
from tests.support.rows import common, media, sound_columns
from tests.support.sounds import first_loud, write_clicking
from tests.support.videos import ffmpeg, gray, write_video

RATE = 44100
KEEP = MixingSettings(original="keep")
DUCK = MixingSettings(original="duck")


def with_sound(path: Path, sound: np.ndarray, *options: str, rate: int = RATE) -> Path:
    """A video whose sound is [samples] or [samples, channels]."""
    pictures = write_video(path.with_name("silent.mkv"), [gray(50)] * round(25 * len(sound) / rate))
    soundfile.write(path.with_suffix(".wav"), sound, rate, "PCM_16")
    ffmpeg("-i", pictures, "-i", path.with_suffix(".wav"), "-map", "0:v", "-map", "1:a", "-c:v", "copy", *options, path)
    return path


def under(path: Path, mixing: MixingSettings, seconds: float = 4.0) -> Row:
    """The mix of a tone under the sound of a video, as far as the row goes."""
    row = common("clip.mp4", seconds, **(sound_columns(seconds) | {"media": media(has_audio=True), "uri": str(path)}))
    (found,) = rows_of(Mix(MixSettings(mixing))(table_of([row], SOUND)))
    return found


def original_in(row: Row) -> np.ndarray:
    """The mix without the music, in the numbers of 16-bit PCM."""
    found: np.ndarray = row["mix"].astype(int) - row["waveform"]
    return found


def mixed(mixing: MixingSettings, **values: object) -> Row:
    row = common("clip.mp4", 4.0, **(sound_columns(4.0) | {"media": media()} | values))
    (found,) = rows_of(Mix(MixSettings(mixing))(table_of([row], SOUND)))
    assert found["error"] is None, found["error"]
    return found


def test_by_default_the_music_stays_as_it_was_made() -> None:
    row = mixed(MixingSettings())
    np.testing.assert_array_equal(row["waveform"], sound_columns(4.0)["waveform"])
    assert row["sample_rate"] == 44100
    assert row["loudness"]["loudness"] == pytest.approx(-12.25 - 0.7 + 0.3, abs=0.5)  # a tone of 440 Hz at -12.25 dBFS
    assert row["loudness"]["true_peak"] == pytest.approx(-12.25, abs=0.1)
    assert (row["loudness"]["gain"], row["loudness"]["limited"]) == (0.0, 0.0)


def test_a_loudness_is_reached_by_one_gain() -> None:
    before, row = mixed(MixingSettings()), mixed(MixingSettings(loudness=-23.0))
    gain = -23.0 - before["loudness"]["loudness"]
    assert row["loudness"]["loudness"] == pytest.approx(-23.0, abs=0.01)
    assert row["loudness"]["gain"] == pytest.approx(gain, abs=0.01)
    np.testing.assert_allclose(row["waveform"], before["waveform"] * 10 ** (gain / 20), atol=1)


@pytest.mark.parametrize(
    ("name", "codec", "offset"),
    [("a.mp4", "aac", 0.0), ("b.mp4", "aac", 0.5), ("c.mkv", "libopus", 0.5), ("d.mov", "pcm_s16le", 0.7)],
)
def test_a_click_of_the_original_stays_where_it_is(tmp_path: Path, name: str, codec: str, offset: float) -> None:
    path = write_clicking(tmp_path / name, 4, [1.3], codec=codec, offset=offset, level=0.1)
    row = under(path, KEEP)
    assert (row["error"], row["original"]) == (None, "kept")
    assert first_loud(original_in(row)) == pytest.approx(1.3 + offset, abs=0.005)


def test_a_sound_without_loss_stays_bit_for_bit_at_its_time_and_level(tmp_path: Path) -> None:
    """And ends early: the music goes on alone."""
    times = np.arange(2 * RATE) / RATE
    sound = np.stack((0.2 * np.sin(2 * np.pi * 300 * times), 0.1 * np.sin(2 * np.pi * 500 * times)), 1)
    path = with_sound(tmp_path / "a.mkv", sound, "-c:a", "flac")
    row = under(path, KEEP)
    want = np.zeros((4 * RATE, 2))
    want[: len(sound)] = sound * 32768
    assert np.abs(original_in(row) - want).max() <= 2
    music, loudness = StoredSound(row["waveform"], RATE), integrated_loudness(StoredSound(sound, RATE))
    assert integrated_loudness(music) == pytest.approx(loudness - 8, abs=0.1)


def test_a_gap_of_the_original_stays_a_gap(tmp_path: Path) -> None:
    """Packets are missing between 1 s and 2 s: what comes after them is where it was, and the gap is silent."""
    whole = write_clicking(tmp_path / "whole.mkv", 4, [2.5], codec="flac", level=0.1)
    cut = tmp_path / "cut.mkv"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:a", "noise=drop=between(pts*tb\\,1\\,2)", cut)
    found = original_in(under(cut, KEEP))
    assert first_loud(found) == pytest.approx(2.5, abs=0.001)  # Matroska counts milliseconds
    assert np.abs(found[round(1.15 * RATE) : round(1.85 * RATE)]).max() <= 1
    assert np.abs(found[: round(0.85 * RATE)]).max() > 3000


@pytest.mark.parametrize(("channels", "place", "factor"), [(1, 0, 1.0), (6, 2, 0.7071), (8, 2, 0.7071), (4, 0, 1.0)])
def test_any_number_of_channels_keeps_its_level(tmp_path: Path, channels: int, place: int, factor: float) -> None:
    """A tone in one channel: of a single one, in the center of 5.1 and 7.1, at the left of quadro; at 48 kHz."""
    sound = np.zeros((2 * 48000, channels))
    sound[:, place] = 0.25 * np.sin(2 * np.pi * 300 * np.arange(len(sound)) / 48000)
    row = under(with_sound(tmp_path / "a.mkv", sound, "-c:a", "flac", rate=48000), KEEP, 2.0)
    assert row["error"] is None
    inner = original_in(row)[4000:-4000]
    assert np.abs(inner[:, 0]).max() / 32768 == pytest.approx(0.25 * factor, rel=0.01)


def test_music_sinks_under_a_voice_and_comes_back(tmp_path: Path) -> None:
    """Silence, a voice, silence: the distance of voice and music grows by the depth, and the gaps have full music."""
    sound = np.zeros(12 * RATE, np.float32)
    sound[4 * RATE : 7 * RATE] = voice(3, RATE)
    row = under(with_sound(tmp_path / "a.mkv", sound, "-c:a", "flac"), DUCK, 12.0)
    assert (row["error"], row["original"]) == (None, "ducked")
    assert row["speech"][0, 0] == pytest.approx(4.0, abs=0.3)
    assert row["speech"][-1, 1] == pytest.approx(7.0, abs=0.5)
    level = [
        float(np.abs(row["waveform"][round(a * RATE) : round(b * RATE)]).max()) for a, b in ((1, 3), (5, 6.5), (10, 11))
    ]
    assert 20 * np.log10(level[1] / level[0]) == pytest.approx(-12, abs=0.2)
    assert level[2] == pytest.approx(level[0], rel=0.01)
    kept = under(tmp_path / "a.mkv", KEEP, 12.0)
    assert np.abs(original_in(row) - original_in(kept)).max() <= 3  # the voice is the same


def test_a_mix_has_the_loudness_that_was_asked_for(tmp_path: Path) -> None:
    path = with_sound(tmp_path / "a.mkv", voice(4, RATE), "-c:a", "flac")
    row = under(path, MixingSettings(loudness=-14.0, original="keep"))
    assert integrated_loudness(StoredSound(row["mix"], RATE)) == pytest.approx(-14.0, abs=0.2)
    assert row["loudness"]["true_peak"] <= CEILING


def test_the_second_track_is_kept_and_a_third_is_none(tmp_path: Path) -> None:
    first = with_sound(tmp_path / "first.mkv", 0.1 * np.ones(2 * RATE), "-c:a", "flac")
    second = with_sound(tmp_path / "second.mkv", np.sin(np.arange(2 * RATE) / 20) / 5, "-c:a", "flac")
    both = tmp_path / "both.mkv"
    ffmpeg("-i", first, "-i", second, "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy", both)
    row = under(both, MixingSettings(original="keep", original_track=2), 2.0)
    assert np.abs(original_in(row)[:, 0]).max() / 32768 == pytest.approx(0.2, abs=0.01)
    error = under(both, MixingSettings(original="keep", original_track=3), 2.0)["error"]
    assert (error["stage"], error["type"]) == ("mix", "NoTrack")
    assert "the file has 2" in error["message"]


def test_where_nothing_sounds_the_music_is_alone(tmp_path: Path) -> None:
    silent = with_sound(tmp_path / "a.mkv", np.zeros(4 * RATE), "-c:a", "flac")
    for row, original in ((under(silent, KEEP), "silent"), (mixed(KEEP), "none"), (mixed(MixingSettings()), "dropped")):
        assert (row["original"], row["mix"]) == (original, None)
        np.testing.assert_array_equal(row["waveform"], sound_columns(4.0)["waveform"])
