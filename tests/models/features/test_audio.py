"""Audio features, compared with librosa and scipy, and with sounds of known rhythm and pitch."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks as scipy_find_peaks

from models.features.audio import (
    HOP,
    SAMPLE_RATE,
    attack_strength,
    chroma,
    key_of,
    log_mel,
    mel_filters,
    mono,
    onset_strength,
    spectrogram,
)
from models.features.rhythm_curve import (
    accent_times,
    autocorrelation,
    beat_autocorrelation,
    find_peaks,
    peaks_on_grid,
    pulses,
    rhythm_curve,
    tempo_of,
)
from models.features.rhythm_targets import mel_rhythm, odf, tempo_rhythm, tempogram
from tests.support.signals import drum_strokes, tones, white_noise

RATE = SAMPLE_RATE / 2048


BAND = drum_strokes([0.4, 0.9, 1.37, 2.2, 3.1, 3.6, 4.05], 5.3) + torch.cat(
    (tones([57, 60, 64, 65, 69]), white_noise(0.3))
)


@pytest.mark.parametrize(("rate", "n_fft", "mels", "high"), [(44100, 2048, 128, None), (22050, 1024, 80, 8000.0)])
def test_mel_filters_equal_those_of_librosa(rate: int, n_fft: int, mels: int, high: float | None) -> None:
    theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=mels, fmax=high)
    np.testing.assert_allclose(mel_filters(rate, n_fft, mels, 0.0, high).numpy(), theirs, atol=1e-8)


def test_spectra_equal_those_of_librosa() -> None:
    audio = BAND.numpy()
    np.testing.assert_allclose(
        spectrogram(BAND, 1024, 300).numpy(), abs(librosa.stft(audio, n_fft=1024, hop_length=300)), atol=1e-4
    )
    power = librosa.feature.melspectrogram(y=audio, sr=44100, hop_length=512)
    np.testing.assert_allclose(log_mel(BAND).numpy(), librosa.power_to_db(power), atol=1e-3)


@pytest.mark.parametrize(("rate", "hop"), [(44100, 512), (44100, 128), (22050, 512)])
def test_onset_strength_equals_that_of_librosa(rate: int, hop: int) -> None:
    theirs = librosa.onset.onset_strength(y=BAND.numpy(), sr=rate, hop_length=hop)
    assert theirs.max() > 3
    np.testing.assert_allclose(onset_strength(BAND, rate, hop).numpy(), theirs, atol=1e-4)


def test_the_tempogram_equals_that_of_librosa() -> None:
    strength = onset_strength(BAND, hop=128)
    theirs = librosa.feature.tempogram(onset_envelope=strength.numpy(), hop_length=128, win_length=384)
    np.testing.assert_allclose(tempogram(strength).numpy(), theirs, atol=1e-5)
    assert (tempogram(torch.zeros(500)) == 0).all()


def test_channels_are_averaged() -> None:
    assert torch.equal(mono(torch.stack((BAND, -BAND))), torch.zeros(len(BAND)))
    torch.testing.assert_close(onset_strength(torch.stack((BAND, BAND))), onset_strength(BAND))
    with pytest.raises(ValueError, match="expected audio of"):
        mono(BAND[None, None])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 6), max_size=60) | st.lists(st.floats(-5, 5), max_size=60),
    st.sampled_from((0.0, 0.05, 1.0, 2.5)),
)
def test_peaks_equal_those_of_scipy(values: list[float], prominence: float) -> None:
    peaks, prominences = find_peaks(values, prominence)
    theirs, properties = scipy_find_peaks(np.array(values, dtype=np.float64), prominence=prominence)
    assert peaks.tolist() == theirs.tolist()
    assert prominences.tolist() == properties["prominences"].tolist()


def test_odf_bins_onsets_by_the_second_they_are_in() -> None:
    """A stroke at 1.8 s counts in second 1, although 2 is nearer; the second without strokes is the weakest."""
    target = odf(drum_strokes([0.5, 1.8, 4.2], 5.5))
    assert target.shape == (6, 1)
    assert (target >= 0).all()
    assert set(target[:, 0].argsort(descending=True)[:3].tolist()) == {0, 1, 4}
    assert target[1] > 3 * target[2]


def test_mel_and_tempo_targets_are_block_means() -> None:
    mel = mel_rhythm(BAND)
    bands = log_mel(BAND).T
    inside = bands[87:173, 24:32].mean()  # frames of second 1, whose times are 1.010 .. 1.997 s
    blocks = torch.stack(
        [
            bands[math.ceil(s * 86.1328125) : math.ceil((s + 1) * 86.1328125)].reshape(-1, 16, 8).mean((0, 2))
            for s in range(6)
        ]
    )
    torch.testing.assert_close(blocks[1, 3], inside)
    torch.testing.assert_close(mel, (blocks - blocks.mean()) / blocks.std(correction=0), atol=1e-3, rtol=1e-3)
    tempo = tempo_rhythm(BAND)
    for target in (mel, tempo):
        assert target.shape == (6, 16)
        assert float(target.mean()) == pytest.approx(0, abs=1e-4)
        assert float(target.std(correction=0)) == pytest.approx(1, abs=1e-3)
    assert tempo[:, 0].mean() > tempo[:, 8].mean()  # short lags correlate best


@pytest.mark.parametrize("time", [3.0, 4.017, 4.55])
def test_a_drum_stroke_is_an_onset_an_accent_and_a_pulse_at_its_time(time: float) -> None:
    audio = drum_strokes([time], 8.0)
    assert float(onset_strength(audio)[100:].argmax() + 100) * HOP / SAMPLE_RATE == pytest.approx(time, abs=0.025)
    assert float(attack_strength(audio)[100:].argmax() + 100) * HOP / SAMPLE_RATE == pytest.approx(time, abs=0.04)
    times, strengths = accent_times(audio)
    near = (times - time).abs() < 1
    assert times[near].tolist() == pytest.approx([time], abs=0.012)
    assert strengths[near].tolist() == pytest.approx([1.0])
    curve = rhythm_curve(audio, SAMPLE_RATE, RATE, 172)
    assert curve.shape == (3, 172)
    assert int(curve[0, 20:].argmax()) + 20 in range(int(time * RATE), int((time + 0.025) * RATE) + 1)
    torch.testing.assert_close(curve[2], pulses(times, strengths, RATE, 172))


def test_accents_stand_out_of_a_steady_beat() -> None:
    times = [0.25 + 0.5 * n for n in range(23)]
    loud = {5, 12, 18}
    audio = drum_strokes(times, 12.0, [0.5 if n in loud else 0.05 for n in range(23)])
    found, _ = accent_times(audio)
    assert found.tolist() == pytest.approx([times[n] for n in sorted(loud)], abs=0.015)
    softer, _ = accent_times(0.2 * audio)
    torch.testing.assert_close(softer, found)
    assert len(accent_times(white_noise(12.0, 0.1))[0]) == 0
    assert len(accent_times(torch.zeros(SAMPLE_RATE))[0]) == 0


def test_the_beginning_of_an_excerpt_is_no_onset() -> None:
    curve = rhythm_curve(white_noise(6.0, 0.1), SAMPLE_RATE, RATE, 129)
    assert float(curve[0].max()) < 1.5
    assert float(curve[2].max()) == 0


def test_an_excerpt_has_the_same_rhythm_alone_and_in_its_clip() -> None:
    times = [0.3 + 0.41 * n for n in range(55)]
    audio = drum_strokes(times, 24.0, [0.3 + 0.25 * math.sin(n) for n in range(55)])
    frames = 10 * 22
    whole = rhythm_curve(audio, SAMPLE_RATE, RATE, 517)
    alone = rhythm_curve(audio[frames * 2048 // 2 :], SAMPLE_RATE, RATE, 300)
    inner = slice(80, 230)  # 3 s from the new start
    torch.testing.assert_close(alone[:, inner], whole[:, frames // 2 :][:, inner], atol=2e-3, rtol=1e-3)


def test_energy_has_a_fixed_scale() -> None:
    energies = []
    for level in (-39.0, -15.0, -9.0):
        curve = rhythm_curve(white_noise(4.0, 10 ** (level / 20)), SAMPLE_RATE, RATE, 100)
        energies.append(float(curve[1, 10:75].mean()))
        assert float(curve[1, 96:].max()) == -3  # after the end of the audio
    assert energies == pytest.approx([-3.0, 0.0, 1.0], abs=0.05)


@given(st.floats(0.5, 20.0))
def test_a_pulse_encodes_its_exact_time(time: float) -> None:
    drawn = pulses(torch.tensor([time], dtype=torch.float64), torch.tensor([0.5]), RATE, 517).double()
    assert float(drawn.sum()) == pytest.approx(0.5, abs=1e-5)
    assert int((drawn > 0).sum()) <= 2
    middles = (torch.arange(517) + 0.5) / RATE
    assert float((drawn * middles).sum() / drawn.sum()) == pytest.approx(time, abs=1e-4)


def test_events_outside_the_grid_make_no_pulses() -> None:
    assert pulses(torch.tensor([9.0, -2.0]), torch.tensor([1.0, 1.0]), 10.0, 20).sum() == 0
    assert torch.equal(pulses(torch.zeros(0), torch.zeros(0), 10.0, 4), torch.zeros(4))


def test_values_on_a_boundary_belong_to_the_frame_that_begins() -> None:
    curve = torch.zeros(41)
    curve[[4, 11, 40]] = torch.tensor([1.0, 2.0, 3.0])
    assert peaks_on_grid(curve, SAMPLE_RATE / HOP, RATE, 11).tolist() == [0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]


def test_a440_is_pitch_class_9() -> None:
    result = chroma(tones([69]) + 0.3 * tones([81]))
    assert result.shape[1] == 12
    assert (result.argmax(1) == 9).all()
    torch.testing.assert_close(result.sum(1), torch.ones(len(result)))
    assert (chroma(torch.zeros(2, 44100)) == 0).all()


@pytest.mark.parametrize("tonic", [0, 9])
@pytest.mark.parametrize(
    ("mode", "chords"),
    [("major", ([0, 4, 7], [5, 9, 12], [7, 11, 14])), ("minor", ([0, 3, 7], [5, 8, 12], [7, 11, 14]))],
)
def test_keys_of_cadences(tonic: int, mode: str, chords: tuple[list[int], ...]) -> None:
    order = (chords[0], chords[1], chords[2], chords[0])
    audio = torch.cat([sum((tones([48 + tonic + p]) for p in c), torch.zeros(SAMPLE_RATE)) for c in order])
    key = key_of(chroma(audio))
    assert (key.tonic, key.mode) == (tonic, mode)
    assert 0.7 < key.clarity <= 1
    assert key_of(torch.zeros(5, 12)).clarity == 0


@pytest.mark.parametrize("tempo", [72.0, 96.0, 120.0, 145.0])
def test_tempo_and_autocorrelation_of_a_steady_beat(tempo: float) -> None:
    beats = [0.2 + n * 60 / tempo for n in range(int(15 * tempo / 60))]
    audio = drum_strokes(beats, 16.0, [0.3 + 0.1 * (n % 4 == 0) for n in range(len(beats))])
    assert tempo_of(attack_strength(audio)) == pytest.approx(tempo, rel=0.02)
    assert beat_autocorrelation(onset_strength(audio)) > 0.4


def test_noise_has_no_beat() -> None:
    assert beat_autocorrelation(onset_strength(white_noise(24.0, 0.1))) < 0.12
    scattered = torch.rand(50, generator=torch.Generator().manual_seed(4)) * 23
    assert beat_autocorrelation(onset_strength(drum_strokes(sorted(scattered.tolist()), 24.0))) < 0.25
    assert beat_autocorrelation(torch.zeros(500)) == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=8, max_size=40))
def test_autocorrelation_is_the_cosine_of_the_shifted_curve(values: list[float]) -> None:
    curve = torch.tensor(values, dtype=torch.float64)
    result = autocorrelation(curve, len(values) + 3)
    centered = curve - curve.mean()
    assert result.abs().max() <= 1 + 1e-6
    for lag in (1, 3, 5):
        a, b = centered[:-lag], centered[lag:]
        if float(a.norm() * b.norm()) > 1e-6:
            assert float(result[lag]) == pytest.approx(float(a @ b / (a.norm() * b.norm())), abs=1e-6)
