"""Loudness and true peak: the signals of EBU Tech 3341, made by their specification, and leveled sounds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile

from models.mixing.leveling import CEILING, MOST_LIMITED, leveled, measured
from models.mixing.limiter import LimitedSound
from models.mixing.loudness import SURROUND, LoudnessMeter, integrated_loudness
from models.mixing.sound import BLOCK, Samples, StoredSound, as_pcm
from models.mixing.true_peak import true_peak
from stages.video.ffmpeg import ffmpeg_binary


def sine(parts: list[tuple[float, float]], rate: int) -> Samples:
    """A stereo sine of 1 kHz: parts of (level in dBFS, seconds)."""
    levels = np.concatenate([np.full(round(seconds * rate), 10 ** (level / 20)) for level, seconds in parts])
    tone = levels * np.sin(2 * np.pi * 1000 * np.arange(len(levels)) / rate)
    return np.stack((tone, tone), 1).astype(np.float32)


def drums(rate: int, seconds: float, seed: int) -> Samples:
    """Strokes of noise over a soft chord: peaks far above the mean, as in music."""
    draws, times = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * f * times) for f in draws.uniform(100, 900, 4)) * draws.uniform(0.01, 0.08)
    beat = times % draws.uniform(0.3, 0.7)
    stroke = np.exp(-beat * draws.uniform(10, 20)) * draws.uniform(-0.5, 0.5, len(times))
    return np.stack((chord + stroke, chord - 0.8 * stroke), 1).astype(np.float32)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(
    ("parts", "loudness"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
)
def test_integrated_loudness_of_tech_3341(parts: list[tuple[float, float]], loudness: float, rate: int) -> None:
    assert integrated_loudness(StoredSound(sine(parts, rate), rate)) == pytest.approx(loudness, abs=0.1)


def test_surround_channels_count_more() -> None:
    """Case 6 of Tech 3341: -28 dBFS in front, -24 in the center, -30 behind."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(20 * 48000) / 48000)[:, None]
    meter = LoudnessMeter(48000, SURROUND)
    meter.add((tone * 10 ** (np.array([-28, -28, -24, -30, -30]) / 20)).astype(np.float32))
    assert meter.integrated == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(
    ("period", "degrees", "amplitude", "expected"),
    [(4, 0, 0.5, -6.0), (4, 45, 0.5, -6.0), (6, 60, 0.5, -6.0), (8, 67.5, 0.5, -6.0), (4, 45, 1.41, 3.0)],
)
def test_true_peak_of_tech_3341(period: int, degrees: float, amplitude: float, expected: float, rate: int) -> None:
    """Cases 15 to 19; the tolerance of the standard is +0.2 and -0.4 dB."""
    tone = amplitude * np.sin(2 * np.pi * np.arange(rate) / period + np.deg2rad(degrees))
    fade = np.minimum(1, np.minimum(np.arange(rate), np.arange(rate)[::-1]) / (0.01 * rate))
    found = true_peak(StoredSound(np.stack((tone * fade,) * 2, 1).astype(np.float32), rate))
    assert expected - 0.4 <= found <= expected + 0.2


@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_meter_agrees_with_others(rate: int, tmp_path: Path) -> None:
    """With pyloudnorm's meter, and with that of ffmpeg, which shares no code with either."""
    sound = drums(rate, 12, 1) * np.linspace(0.001, 2, 12 * rate, dtype=np.float32)[:, None]
    levels = measured(StoredSound(sound, rate))
    assert levels.loudness == pytest.approx(pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(sound))
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    command = [ffmpeg_binary(), "-nostats", "-i", tmp_path / "a.wav", "-af", "ebur128=peak=true", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, text=True).stderr
    summary = log[log.rindex("Summary:") :]
    loudness, peak = (float(re.findall(rf"{name}:\s+(-?[\d.]+)", summary)[0]) for name in ("I", "Peak"))
    assert levels.loudness == pytest.approx(loudness, abs=0.15)
    assert levels.true_peak == pytest.approx(peak, abs=0.3)


@pytest.mark.parametrize("target", [-14.0, -23.0])
def test_twenty_sounds_come_to_their_loudness(target: float) -> None:
    for seed in range(10):
        rate = (44100, 48000)[seed % 2]
        pcm, levels = leveled(StoredSound(drums(rate, 6, seed), rate), target)
        again = measured(StoredSound(pcm, rate))
        assert again.loudness == pytest.approx(target, abs=0.1)
        assert again.true_peak is not None
        assert again.true_peak <= CEILING
        assert (levels.loudness, levels.true_peak) == pytest.approx((again.loudness, again.true_peak), abs=0.01)


def test_a_gain_that_takes_no_peak_too_high_is_the_same_all_through() -> None:
    sound = drums(44100, 8, 3)
    pcm, levels = leveled(StoredSound(sound, 44100), -24.0)
    assert levels.limited == 0
    np.testing.assert_array_equal(pcm, as_pcm(sound * np.float32(10 ** (levels.gain / 20))))


def test_the_limiter_changes_nothing_but_the_peaks() -> None:
    """A soft tone with one loud click: limited around the click, and untouched elsewhere, in whatever blocks."""
    rate = 44100
    sound = sine([(-20, 10)], rate)
    sound[5 * rate : 5 * rate + 3] = 0.99
    limited = LimitedSound(StoredSound(sound, rate), 2.0, CEILING)
    whole = limited.read(0, len(sound))
    factor = np.float32(10 ** (2 / 20))
    changed = np.flatnonzero(np.abs(whole - sound * factor).max(1) > 1e-6)
    assert 5 * rate - 0.07 * rate < changed[0]
    assert changed[-1] < 5 * rate + 0.07 * rate
    assert true_peak(StoredSound(whole, rate)) <= CEILING
    gain = whole[changed, 0] / np.where(np.abs(sound[changed, 0]) > 0.01, sound[changed, 0] * factor, np.nan)
    assert np.nanmax(np.abs(np.diff(gain))) < 0.002  # smooth: no click, and no distortion that can be heard
    parts = [limited.read(start, min(start + 9999, len(sound))) for start in range(0, len(sound), 9999)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_a_target_that_would_crush_the_sound_is_not_reached() -> None:
    clicks = np.zeros((BLOCK + 1000, 2), np.float32)
    clicks[::20000] = 0.9
    pcm, levels = leveled(StoredSound(clicks, 44100), -14.0)
    assert levels.limited == pytest.approx(MOST_LIMITED)
    assert levels.loudness is not None
    assert levels.loudness < -20
    assert true_peak(StoredSound(pcm, 44100)) <= CEILING


def test_silence_stays_silent() -> None:
    pcm, levels = leveled(StoredSound(np.zeros((44100, 2), np.int16), 44100), -14.0)
    assert not pcm.any()
    assert (levels.loudness, levels.true_peak, levels.gain) == (None, None, 0.0)
    assert measured(StoredSound(np.full((4410, 2), 3000, np.int16), 44100)).loudness is None  # shorter than a block


def test_a_sound_is_silent_outside_of_itself() -> None:
    sound = StoredSound(np.full((3, 2), 16384, np.int16), 44100)
    assert sound.read(-2, 5)[:, 0].tolist() == [0, 0, 0.5, 0.5, 0.5, 0, 0]
    assert sound.read(-5, -2).tolist() == sound.read(7, 10).tolist() == [[0, 0]] * 3
