"""Where somebody speaks, and how music sinks and comes back."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.studies.original_sound.voices import voice
from models.mixing.bed import ENVELOPE_RATE, Bed, MixedSound
from models.mixing.ducking import ASIDE_DB, BESIDE_MUSIC, UNDER_SPEECH, ducking_envelope, speech_spans
from models.mixing.own_music import music_spans
from models.mixing.sound import StoredSound
from models.mixing.speech import STEP_S, SpeechDetector

RATE = 44100


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def test_speech_is_found_among_music_and_noise(detector: SpeechDetector) -> None:
    """Voices in silence, over a chord and over noise, between 3 s and 7 s: precision and recall of 32 ms steps."""
    times = np.arange(10 * RATE) / RATE
    chord = sum(0.02 * np.sin(2 * np.pi * f * times) for f in (220, 277, 330, 440)) * np.exp(-(times % 0.5) * 3)
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(times))
    found = expected = both = 0
    for seed, background in enumerate((np.zeros(len(times)), chord, noise)):
        sound = background.copy()
        sound[3 * RATE : 7 * RATE] += voice(4, RATE, seed)
        spans = speech_spans(detector(StoredSound(np.stack((sound, sound), 1).astype(np.float32), RATE)), STEP_S)
        steps = np.arange(0, 10, STEP_S)
        heard = np.any([(steps >= begin) & (steps < end) for begin, end in spans], axis=0)
        truth = (steps >= 3) & (steps < 6.8)
        found, expected, both = found + heard.sum(), expected + truth.sum(), both + (heard & truth).sum()
    assert both / found > 0.85
    assert both / expected > 0.85


def test_music_and_noise_are_no_speech(detector: SpeechDetector) -> None:
    times = np.arange(6 * RATE) / RATE
    melody = 0.3 * np.sin(2 * np.pi * 220 * 2 ** (np.floor(times * 4) % 12 / 12) * times) * np.exp(-(times % 0.25) * 6)
    noise = 0.1 * np.random.default_rng(1).standard_normal(len(times))
    for sound in (melody, noise):
        assert speech_spans(detector(StoredSound(np.stack((sound, sound), 1).astype(np.float32), RATE)), STEP_S) == []


def test_spans_have_a_threshold_for_each_end() -> None:
    probabilities = np.array([0.05, 0.4, 0.6, 0.4, 0.4, 0.4, 0.3, 0.9, 0.0, 0.0, 0.7, 0.7, 0.7, 0.7], np.float32)
    np.testing.assert_allclose(speech_spans(probabilities, 0.05), [(0.05, 0.3), (0.5, 0.7)])
    joined = np.array([0.9, 0.9, 0.9, 0.2, 0.2, 0.9, 0.9, 0.9], np.float32)  # a beginning never reaches into the last
    np.testing.assert_allclose(speech_spans(joined, 0.05), [(0.0, 0.15), (0.15, 0.4)])


def test_music_is_down_before_the_first_word_and_comes_back_slowly() -> None:
    envelope = ducking_envelope([(3.0, 4.0)], 10.0, 12.0)
    times = np.arange(len(envelope)) / ENVELOPE_RATE
    assert not envelope[times < 3.0 - UNDER_SPEECH.attack].any()
    assert envelope[(times >= 3.0) & (times <= 4.0 + UNDER_SPEECH.hang_over)] == pytest.approx(-12.0)
    assert not envelope[times > 4.0 + UNDER_SPEECH.hang_over + UNDER_SPEECH.release + 0.02].any()
    assert np.abs(np.diff(envelope)).max() * ENVELOPE_RATE < 70  # decibels per second


def test_nothing_pumps_between_phrases() -> None:
    """Gaps shorter than the music needs to come back and to sink again leave it down."""
    spans = [(1.0, 1.5), (2.5, 3.0), (4.5, 5.0)]
    envelope = ducking_envelope(spans, 12.0, 9.0)
    times = np.arange(len(envelope)) / ENVELOPE_RATE
    assert envelope[(times >= 1.0) & (times <= 5.0 + UNDER_SPEECH.hang_over)] == pytest.approx(-9.0)
    far = ducking_envelope([(1.0, 1.5), (6.0, 7.0)], 12.0, 9.0)
    assert far[round(4.0 * ENVELOPE_RATE)] == 0


def test_a_bed_is_the_same_in_whatever_blocks() -> None:
    music = StoredSound(np.full((RATE, 2), 0.5, np.float32), RATE)
    bed = Bed(music, 6.0, np.linspace(0, -12, ENVELOPE_RATE + 1))
    whole = bed.read(0, RATE)
    np.testing.assert_array_equal(np.concatenate((bed.read(0, 999), bed.read(999, RATE))), whole)
    assert whole[RATE // 2, 0] == pytest.approx(0.5, rel=0.001)
    mix = MixedSound(bed, StoredSound(np.full((RATE // 2, 2), 0.25, np.float32), RATE))
    assert mix.read(0, RATE)[[0, -1], 0] == pytest.approx([0.9976 + 0.25, 0.5 * 10 ** (-6 / 20)], abs=0.001)


def test_music_steps_aside_where_the_original_has_its_own() -> None:
    """Silence, chords, noise: the chords are music; a voice, noise and silence are not."""
    times = np.arange(40 * RATE) / RATE
    roots = 220 * 2 ** (np.array([0, 5, 7, 0])[(times // 2 % 4).astype(int)] / 12)
    chords = sum(np.sin(2 * np.pi * np.cumsum(roots * ratio) / RATE) for ratio in (1, 1.26, 1.5)) * 0.05
    sound = np.where((times > 12) & (times < 28), chords, 0) + 0.002 * np.random.default_rng(0).standard_normal(
        len(times)
    )
    ((begin, end),) = music_spans(StoredSound(np.stack((sound, sound), 1).astype(np.float32), RATE))
    assert (begin, end) == (pytest.approx(12, abs=5), pytest.approx(28, abs=5))
    speech = np.tile(voice(12, RATE)[:, None], 2)
    assert music_spans(StoredSound(speech, RATE), [(0.0, 12.0)]) == music_spans(StoredSound(speech * 0, RATE)) == []
    assert music_spans(StoredSound(speech[: 3 * RATE], RATE)) == []
    envelope = ducking_envelope([(begin, end)], 40.0, ASIDE_DB, BESIDE_MUSIC)
    assert envelope[round(20 * ENVELOPE_RATE)] == -ASIDE_DB
    assert envelope[round((begin - 2.1) * ENVELOPE_RATE)] == envelope[round((end + 2.1) * ENVELOPE_RATE)] == 0
