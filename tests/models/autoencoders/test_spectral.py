"""The spectral autoencoder without its network: sound keeps its pitch, time, level and direction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.autoencoders.phase_reconstruction import advancing_phases, frames_seen, griffin_lim, istft, stft
from models.autoencoders.spectral import QUIETEST, SpectralAutoencoder, SpectralConfig, SpectralTransform
from models.metrics.metrics import chroma_correlation, log_mel_l1, onset_correlation
from tests.support.signals import stereo_notes

RATE = 44100


@pytest.fixture(scope="module")
def transform() -> SpectralTransform:
    return SpectralTransform(SpectralConfig())


def test_features_keep_what_is_audible(transform: SpectralTransform) -> None:
    audio = stereo_notes()
    features = transform.features(audio[None], QUIETEST)
    assert features.shape == (1, SpectralConfig().features, 64 * 4)
    assert features.abs().max() < 3.1
    back = transform.sound(features, 12)[0][0]
    assert back.shape == audio.shape
    assert log_mel_l1(audio, back) < 0.35
    assert onset_correlation(audio, back) > 0.88
    assert chroma_correlation(audio, back) > 0.97
    torch.testing.assert_close(back.square().mean(-1), audio.square().mean(-1), rtol=0.1, atol=0)


def test_sound_on_the_left_stays_on_the_left(transform: SpectralTransform) -> None:
    audio = stereo_notes()
    audio[1] = 0
    back = transform.sound(transform.features(audio[None]), 4)[0][0]
    assert back[1].square().mean() < 1e-3 * back[0].square().mean()


def test_silence_stays_silent(transform: SpectralTransform) -> None:
    back = transform.sound(transform.features(torch.zeros(1, 2, 8192), QUIETEST), 4)[0]
    assert not back.any()


def test_a_sine_gets_the_phases_of_a_sine() -> None:
    window, hop, frames = torch.hann_window(2048), 512, 64
    sine = torch.sin(2 * torch.pi * 1234.5 * torch.arange(frames * hop) / RATE)
    magnitudes = stft(sine, window, hop).abs()
    made = istft(torch.polar(magnitudes, advancing_phases(magnitudes, 2048, hop)), window, hop)
    inside = slice(4096, -4096)
    spectrum = torch.fft.rfft(made[inside] * torch.hann_window(len(made[inside]))).abs()
    hertz = spectrum.argmax() * RATE / len(made[inside])
    assert abs(hertz - 1234.5) < 2.5
    assert made[inside].square().mean() > 0.8 * sine[inside].square().mean()


def test_consistent_spectra_are_reproduced_exactly() -> None:
    window, noise = torch.hann_window(2048), torch.randn(40 * 512, generator=torch.Generator().manual_seed(0))
    spectrum = stft(noise, window, 512)
    inside = slice(2048, -2048)
    torch.testing.assert_close(istft(spectrum, window, 512)[inside], noise[inside], rtol=0, atol=1e-4)


def test_phases_continue_those_of_the_frame_before() -> None:
    magnitudes = stft(stereo_notes(16).mean(0), torch.hann_window(2048), 512).abs()
    whole = advancing_phases(magnitudes, 2048, 512)
    assert torch.equal(advancing_phases(magnitudes[:, 20:], 2048, 512, whole[:, 19]), whole[:, 20:])


def test_phases_depend_on_a_known_number_of_frames() -> None:
    window, iterations = torch.hann_window(2048), 3
    seen = frames_seen(2048, 512, iterations)
    assert seen == 12
    magnitudes = stft(stereo_notes(16).mean(0), window, 512).abs()
    angles = advancing_phases(magnitudes, 2048, 512)
    changed = magnitudes.clone()
    changed[:, 40] += 5

    def sound(levels: Tensor) -> Tensor:
        return istft(levels * griffin_lim(levels, angles, window, 512, iterations), window, 512)

    moved = ((sound(changed) - sound(magnitudes)).abs() > 1e-5).unflatten(0, (-1, 512)).any(1).nonzero()
    assert 40 - seen <= int(moved.min()) < 40 < int(moved.max()) <= 40 + seen


@pytest.mark.parametrize(("frames", "chunk"), [(120, 40), (97, 40), (61, 7), (130, 64)])
def test_decoding_in_chunks_gives_the_same_sound(frames: int, chunk: int) -> None:
    torch.manual_seed(0)
    codec = SpectralAutoencoder({"width": 32, "depth": 2, "fine_width": 16, "fine_depth": 2}).eval()
    audio = stereo_notes(frames)[None]
    with torch.no_grad():
        latents = torch.randn(2, 64, frames)
        torch.testing.assert_close(codec.decode(latents, chunk), codec.decode(latents), rtol=0, atol=1e-4)
        features = codec.transform.features(audio)
        codec.reconstruct = lambda raw: features[..., int(raw[0, 0, 0]) * 4 :][..., : raw.shape[-1] * 4]  # type: ignore
        numbered = torch.arange(frames, dtype=torch.float32).expand(1, 64, -1)
        music = codec.decode(numbered)
        assert music.abs().max() > 0.2
        torch.testing.assert_close(codec.decode(numbered, chunk), music, rtol=0, atol=1e-4)


def test_decoding_in_chunks_needs_the_memory_of_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = SpectralAutoencoder({"width": 32, "depth": 2, "fine_width": 16, "fine_depth": 2}).eval()
    whole, lengths = codec.reconstruct, list[int]()
    monkeypatch.setattr(codec, "reconstruct", lambda raw: (lengths.append(raw.shape[-1]), whole(raw))[1])
    with torch.no_grad():
        assert codec.decode(torch.randn(1, 64, 400), 40).shape[-1] == 400 * 2048
    assert max(lengths) <= 40 + 2 * sum(codec.reach)
    assert len(lengths) == 10


def test_latents_are_standardized_and_decoded() -> None:
    torch.manual_seed(0)
    codec = SpectralAutoencoder({"latents": 8, "width": 16, "depth": 1, "fine_width": 16, "fine_depth": 1}).eval()
    codec.latent_mean.fill_(2.0)
    codec.latent_std.fill_(4.0)
    audio = stereo_notes(8)[None]
    mean, _ = codec.posterior(codec.transform.features(audio))
    latents, deviation = codec.encode(audio)
    torch.testing.assert_close(latents, (mean - 2) / 4)
    assert latents.shape == deviation.shape == (1, 8, 8)
    assert codec.decode(latents).shape == audio.shape
