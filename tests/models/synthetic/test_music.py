"""The music of the corpus: deterministic, clean, in its key and tempo, and its truth is found in its sound."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from models.synthetic import Piece, compose, render, stream
from models.synthetic.music.tones import TIMBRES, frequency, tone

RATE = 44100
FLUX_RATE = 100
SEEDS = range(500, 516)
# How well each pitch class fits a key, from Krumhansl and Kessler's listeners.
PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
Curve = npt.NDArray[np.float64]


@cache
def clip(seed: int) -> tuple[Piece, npt.NDArray[np.float32]]:
    piece = compose(seed, 24.0)
    return piece, render(piece, RATE)


def spectrogram(sound: npt.NDArray[np.float32], size: int, hop: int) -> Curve:
    """Returns magnitudes [frames, bins] of windows around each hop."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(sound, size // 2), size)[::hop]
    return np.abs(np.fft.rfft(windows * np.hanning(size).astype(np.float32), axis=1))


def onset_strength(stereo: npt.NDArray[np.float32]) -> Curve:
    """Returns the spectral flux of log magnitudes, a hundred values per second."""
    levels = np.log1p(0.5 * spectrogram(stereo.mean(0), 1024, RATE // FLUX_RATE))
    return np.append(0.0, np.maximum(np.diff(levels, axis=0), 0).sum(1))


def heard_key(stereo: npt.NDArray[np.float32]) -> tuple[int, str]:
    """Returns the key whose profile is most similar to the chroma."""
    magnitudes = spectrogram(stereo.mean(0), 16384, 8192)
    hertz = np.fft.rfftfreq(16384, 1 / RATE)
    audible = (hertz > 60) & (hertz < 1000)
    classes = np.round(12 * np.log2(hertz[audible] / 440) + 69).astype(int) % 12
    chroma = np.zeros(12)
    np.add.at(chroma, classes, np.sqrt((magnitudes**2).sum(0)[audible]))
    fits = {
        (key, mode): np.corrcoef(np.roll(profile, key), chroma)[0, 1]
        for key, (mode, profile) in itertools.product(range(12), PROFILES.items())
    }
    return max(fits, key=fits.__getitem__)


def test_same_seed_same_music_and_another_seed_another() -> None:
    assert compose(3, 12.0) == compose(3, 12.0)
    assert render(compose(3, 12.0)).tobytes() == render(compose(3, 12.0)).tobytes()
    assert compose(4, 12.0) != compose(3, 12.0)
    assert stream(1, "piece").random() != stream(1, "film").random()


def test_sound_is_clean() -> None:
    for seed in SEEDS:
        _, sound = clip(seed)
        assert sound.shape == (2, 24 * RATE)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-3)
        assert np.abs(sound[:, :64]).max() < 0.02
        assert np.abs(sound[:, -64:]).max() < 0.02


@pytest.mark.parametrize("instrument", TIMBRES)
def test_tones_are_in_tune(instrument: str) -> None:
    """The strongest partial of a long tone is a harmonic of the pitch, within three cents."""
    sound = tone(instrument, 57, 1, RATE)[: RATE // 2]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * RATE))
    first = spectrum[8 * 200 : 8 * 240]
    assert 1200 * abs(np.log2((8 * 200 + first.argmax()) / 8 / frequency(57))) < 8
    assert frequency(69) == 440.0


def test_stereo_is_panned_by_loudness_alone() -> None:
    """A piece of one instrument is the same on both sides, except for its level."""
    piece, _ = clip(SEEDS[0])
    alone = Piece(**{**vars(piece), "hits": (), "notes": tuple(n for n in piece.notes if n.instrument == "sub")[:3]})
    if not alone.notes:
        note = piece.notes[0]
        alone = Piece(**{**vars(alone), "notes": (type(note)(1.0, 0.5, 45, 1.0, "sub"),)})
    left, right = render(alone)
    assert np.abs(left - right).max() < 1e-6


def test_accents_are_among_the_strongest_onsets() -> None:
    shares = []
    for seed in SEEDS:
        piece, sound = clip(seed)
        flux = onset_strength(sound)
        strong = np.quantile(flux, 1 - 3 * len(piece.accents) / len(flux))
        places = [round(accent.time * FLUX_RATE) for accent in piece.accents]
        shares.append(np.mean([flux[max(p - 3, 0) : p + 4].max() >= strong for p in places]))
    assert np.mean(shares) > 0.9


def test_accents_come_irregularly_every_few_seconds() -> None:
    gaps = [b.time - a.time for s in range(60) for a, b in itertools.pairwise(compose(s, 24.0).accents)]
    assert min(gaps) > 1.1
    assert max(gaps) < 6
    assert 1.8 < np.mean(gaps) < 3.6
    assert np.std(gaps) > 0.4


def test_beats_are_found_in_the_onsets() -> None:
    correlations = []
    for seed in SEEDS:
        piece, sound = clip(seed)
        flux = onset_strength(sound)
        flux = flux - flux.mean()
        power = np.correlate(flux, flux, "full")[len(flux) - 1 :]
        lag = round(60 / piece.tempo * FLUX_RATE)
        correlations.append(power[lag - 1 : lag + 2].max() / power[0])
        assert np.allclose(np.diff(piece.beats), 60 / piece.tempo)
        assert set(np.round(piece.downbeats, 6)) <= set(np.round(piece.beats, 6))
    assert np.median(correlations) > 0.4
    assert min(correlations) > 0.25


def test_the_key_is_found_in_the_sound() -> None:
    right = [heard_key(clip(seed)[1]) == (clip(seed)[0].key, clip(seed)[0].mode) for seed in SEEDS]
    assert np.mean(right) >= 0.75


def test_mood_goes_with_mode_tempo_and_timbre() -> None:
    pieces = [compose(seed, 8.0) for seed in range(200)]
    warm = [p for p in pieces if p.mood.label == 1]
    cold = [p for p in pieces if p.mood.label == -1]
    assert all(p.mode == "major" and p.tempo > 110 and p.mood.warmth > 0.8 for p in warm)
    assert all(p.mode == "minor" and p.tempo < 95 and p.mood.warmth < 0.2 for p in cold)
    assert 0.4 < (len(warm) + len(cold)) / len(pieces) < 0.6
    between = [p for p in pieces if p.mood.label == 0]
    assert np.corrcoef([p.mood.warmth for p in between], [p.mode == "major" for p in between])[0, 1] > 0.2
    assert len({p.style for p in pieces}) >= 6
    assert {p.key for p in pieces} == set(range(12))


def test_everything_lies_within_the_clip() -> None:
    for seed in range(40):
        piece = compose(seed, 10.0)
        assert all(n.onset >= 0 and n.onset + n.duration <= 10 and n.duration > 0 for n in piece.notes)
        assert all(0 < hit.onset < 10 for hit in piece.hits)
        assert all(0 < accent.time < 10 for accent in piece.accents)
        assert piece.sections[0].start == 0
        assert piece.sections[-1].stop == 10
        assert all(a.stop == b.start for a, b in itertools.pairwise(piece.sections))
