"""The producer: loudness as the standard says, rooms that fade, wide and steady masters, and whole recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from models.synthetic.music.band.arrange import arrange
from models.synthetic.music.production.loudness import loudness
from models.synthetic.music.production.master import Master, master
from models.synthetic.music.production.mix import Channel, active_level, mix
from models.synthetic.music.production.record import record
from models.synthetic.music.production.rooms import reverberate, room
from models.synthetic.music.soundfont.player import SoundfontPlayer
from models.synthetic.music.soundfont.riff import check_soundfont
from models.synthetic.rng import stream
from tests.support.soundfonts import write_soundfont

RATE = 44100


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundfontPlayer]:
    made = SoundfontPlayer(check_soundfont(write_soundfont(tmp_path_factory.mktemp("font") / "tiny.sf2")), RATE)
    yield made
    made.close()


def tone(hertz: float, level: float, seconds: float = 4.0) -> np.ndarray:
    wave = 10 ** (level / 20) * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)
    return np.stack([wave, wave]).astype(np.float32)


def decibels(values: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(values)) + 1e-12))


def width(sound: np.ndarray) -> float:
    return decibels((sound[0] - sound[1]) / 2) - decibels(sound.mean(0))


def test_loudness_is_that_of_the_standard() -> None:
    """A tone of 997 Hz at -20 dB full scale on both sides is at -20 LUFS (EBU Tech 3341)."""
    assert loudness(tone(997, -20), RATE) == pytest.approx(-20.0, abs=0.1)
    assert loudness(tone(50, -20), RATE) < -21
    half_silent = np.concatenate([tone(997, -20), np.zeros((2, 6 * RATE), np.float32)], axis=1)
    assert loudness(half_silent, RATE) == pytest.approx(-20.0, abs=0.4)
    assert loudness(np.zeros((2, RATE), np.float32), RATE) == -70.0


def test_a_room_fades_by_sixty_decibels_in_its_time_and_differs_on_both_sides() -> None:
    for seconds in (0.5, 1.5):
        response = room(seconds, RATE, stream(1, "room"))
        assert np.square(response).sum(1) == pytest.approx([1, 1], abs=1e-3)
        early, late = (
            decibels(response[:, int(t * seconds * RATE) : int((t + 0.05) * seconds * RATE)]) for t in (0.15, 0.65)
        )
        assert 24 < early - late < 42
        assert abs(np.corrcoef(response)[0, 1]) < 0.2
    click = np.zeros((2, RATE), np.float32)
    click[:, 100] = 1
    assert np.argmax(np.abs(reverberate(click, response)).max(0) > 1e-4) > 100


def test_channels_have_the_level_of_their_kind_and_their_place() -> None:
    sound = tone(440, -40)
    channel = Channel("lead", 0.0, 0.0, 0.0, 0.0, 0.0)
    dry, send = mix([(channel, sound)], RATE)
    assert active_level(dry, RATE) == pytest.approx(-19, abs=0.3)
    assert decibels(send) < decibels(dry) - 6
    left, _ = mix([(replace(channel, pan=-0.8), sound)], RATE)
    assert decibels(left[0]) > decibels(left[1]) + 6
    wide, _ = mix([(replace(channel, kind="pad", spread=0.9), sound)], RATE)
    assert width(wide) > width(dry) + 20


def test_the_master_reaches_width_loudness_and_crest() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 6 * RATE)).astype(np.float32) * 0.1
    noise[:, ::90000] = 3.0  # peaks far above the rest
    done = master(noise, Master(width=-6, loudness=-20, tilt=0.0, ratio=1.0, crest=14), RATE)
    assert width(done) == pytest.approx(-6, abs=1)
    assert loudness(done, RATE) == pytest.approx(-20, abs=1)
    assert 20 * np.log10(np.abs(done).max()) - decibels(done) < 16
    assert np.abs(done).max() <= 0.94
    dark = master(noise, Master(width=-6, loudness=-20, tilt=-3.0, ratio=1.0, crest=14), RATE)
    spectra = [np.abs(np.fft.rfft(s.mean(0))) for s in (done, dark)]
    high, low = (slice(int(6 * f), int(6 * f * 1.5)) for f in (8000, 500))
    change = [decibels(s[high]) - decibels(s[low]) for s in spectra]
    assert change[1] - change[0] == pytest.approx(-12, abs=1.5)


def test_a_recording_is_the_same_again_and_sounds_as_its_score_says(player: SoundfontPlayer) -> None:
    score = arrange(3, 6.0)
    sound = record(score, 6.0, player)
    assert sound.shape == (2, 6 * RATE)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert 0.05 < np.abs(sound).max() <= 0.94
    assert -25 < loudness(sound, RATE) < -10
    assert -14 < width(sound) < 1
    assert record(score, 6.0, player).tobytes() == sound.tobytes()
    other = record(arrange(4, 6.0), 6.0, player)
    assert other.tobytes() != sound.tobytes()


def test_a_score_without_notes_is_silent(player: SoundfontPlayer) -> None:
    silent = record(replace(arrange(3, 6.0), parts=()), 2.0, player)
    assert silent.shape == (2, 2 * RATE)
    assert not silent.any()
