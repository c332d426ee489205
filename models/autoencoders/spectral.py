"""A small autoencoder of spectra: log magnitudes and panning in, latents, the same out, phases found afterwards.

It learns in minutes what an autoencoder of waveforms learns in days: magnitudes say which pitches sound and when, and
phases follow from them well enough (`models.autoencoders.phase_reconstruction`). Works at 44.1 kHz stereo: below 11
kHz every bin of a spectrum of 2048 samples, above it bands, and the direction of each band instead of a second
channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.phase_reconstruction import advancing_phases, frames_seen, invert, synthesised

FLOOR = 1e-4
"""Magnitude that the encoder takes for silence: -80 dB below a sine at full scale."""
QUIETEST = 1e-5
"""The least magnitude that the decoder makes, -100 dB."""
CENTER, SCALE = math.log(1e-2), 2.3
"""Of log magnitudes, so that the network sees numbers about [-2, 2]."""


@dataclass(frozen=True)
class CodecConfig:
    """Shape of the autoencoder.

    Attributes:
        latents: channels of the latents.
        width, depth: channels and blocks of either side at the latents' rate.
        fine_width, fine_depth: of the decoder's blocks at the spectra's rate.
        n_fft, hop: samples of a spectrum's window, and between two spectra.
        group: spectra of one latent frame.
        bins: bins below the bands, one number each.
        bands: of the bins above them.
        pan_bands: over all bins.
    """

    latents: int = 64
    width: int = 320
    depth: int = 3
    fine_width: int = 256
    fine_depth: int = 2
    n_fft: int = 2048
    hop: int = 512
    group: int = 4
    bins: int = 512
    bands: int = 32
    pan_bands: int = 32

    @property
    def features(self) -> int:
        """Numbers that describe one spectrum."""
        return self.bins + self.bands + self.pan_bands

    @property
    def downsampling(self) -> int:
        return self.hop * self.group


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then an MLP over channels (arXiv 2201.03545)."""

    def __init__(self, width: int, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, width, frames] -> the same."""
        y = self.norm(self.conv(x).transpose(1, 2))
        return x + (self.scale * self.narrow(F.gelu(self.widen(y)))).transpose(1, 2)


class Spectra(nn.Module):
    """Sound to features of its spectra and back, with no weight to learn."""

    window: Tensor
    band_of_bin: Tensor
    pan_band_of_bin: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        above = config.n_fft // 2 + 1 - config.bins
        # On the CPU even where a network is built without numbers, on the meta device: no checkpoint holds these.
        self.register_buffer("window", torch.hann_window(config.n_fft, device="cpu"), persistent=False)
        bands = torch.arange(above, device="cpu") * config.bands // above
        self.register_buffer("band_of_bin", bands, persistent=False)
        pan_bands = torch.tensor(_growing_bands(config.n_fft // 2 + 1, config.pan_bands), device="cpu")
        self.register_buffer("pan_band_of_bin", pan_bands, persistent=False)

    def magnitudes(self, audio: Tensor) -> Tensor:
        """[clips, 2, samples] -> [clips, 2, bins of the spectrum, frames]; a sine at full scale makes about 1."""
        config = self.config
        reach = (config.n_fft - config.hop) // 2  # frame i lies around the middle of its own `hop` samples
        flat = F.pad(audio, (reach, config.n_fft - config.hop - reach)).flatten(0, 1)
        spectra = torch.stft(
            flat, config.n_fft, config.hop, window=self.window, center=False, return_complex=True
        ).unflatten(0, audio.shape[:2])
        return spectra.abs() / (self.window.sum() / 2)

    def features(self, audio: Tensor, floor: float = FLOOR) -> Tensor:
        """[clips, 2, samples] -> [clips, features, frames]: log magnitudes about [-2, 2], directions in [-1, 1]."""
        channels = self.magnitudes(audio)
        power = channels.square().mean(1)
        bins = self.config.bins
        above = _mean_by(power[:, bins:], self.band_of_bin, self.config.bands)
        level = torch.cat((power[:, :bins], above), dim=1).clamp(min=floor**2).log() / 2
        left, right = (_mean_by(c.square(), self.pan_band_of_bin, self.config.pan_bands) for c in channels.unbind(1))
        quiet = 1e-9  # what is silent sounds from the middle
        angle = torch.atan2((right + quiet).sqrt(), (left + quiet).sqrt())
        return torch.cat(((level - CENTER) / SCALE, angle / (math.pi / 4) - 1), dim=1)

    def levels(self, features: Tensor) -> Tensor:
        """Magnitudes of both channels together, [clips, bins of the spectrum, frames], of features."""
        config = self.config
        level = (features[:, : config.bins + config.bands] * SCALE + CENTER).clamp(math.log(QUIETEST), 2.0).exp()
        return torch.cat((level[:, : config.bins], level[:, config.bins :][:, self.band_of_bin]), dim=1)

    def sound(self, features: Tensor, iterations: int, last: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[clips, features, frames] -> [clips, 2, frames * hop]; both channels have the same phases.

        Also gives the phases [clips, bins, frames] that the search for them began with; `last` are those of the frame
        before the first, [clips, bins], where there is one.
        """
        config, window = self.config, self.window
        level = self.levels(features)
        level = torch.where(level <= QUIETEST * 1.1, 0.0, level) * (window.sum() / 2)
        before = [None] * len(level) if last is None else list(last)
        begun = [
            advancing_phases(one, config.n_fft, config.hop, angle) for one, angle in zip(level, before, strict=True)
        ]
        found = [invert(one, angles, window, config.hop, iterations) for one, angles in zip(level, begun, strict=True)]
        angle = (features[:, config.bins + config.bands :].clamp(-1, 1) + 1) * (math.pi / 4)
        angle = angle[:, self.pan_band_of_bin]
        spectra = level * torch.stack(found) * math.sqrt(2)
        channels = (spectra * angle.cos(), spectra * angle.sin())
        sound = [[synthesised(x, window, config.hop) for x in clip] for clip in zip(*channels, strict=True)]
        return torch.stack([torch.stack(clip) for clip in sound]), torch.stack(begun)


class SpectralAutoencoder(nn.Module):
    """Audio [clips, 2, samples] <-> latents [clips, latent channels, frames], each channel of variance about 1."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.codec = config = CodecConfig(**settings)
        self.iterations = 12  # of the search for phases; more change nothing that is heard
        self.spectra = Spectra(config)
        width, fine = config.width, config.fine_width
        self.encode_in = nn.Conv1d(config.features * config.group, width, 1)
        self.encode_blocks = nn.Sequential(*(ConvNeXtBlock(width) for _ in range(config.depth)))
        self.encode_out = nn.Conv1d(width, 2 * config.latents, 1)
        self.decode_in = nn.Conv1d(config.latents, width, 3, padding=1)
        self.decode_blocks = nn.Sequential(*(ConvNeXtBlock(width) for _ in range(config.depth)))
        self.decode_fine = nn.Conv1d(width, fine * config.group, 1)
        self.fine_blocks = nn.Sequential(*(ConvNeXtBlock(fine) for _ in range(config.fine_depth)))
        self.decode_out = nn.Sequential(
            nn.Conv1d(fine, fine * 2, 1), nn.GELU(), nn.Conv1d(fine * 2, config.features, 1)
        )
        self.register_buffer("latent_mean", torch.zeros(config.latents))
        self.register_buffer("latent_std", torch.ones(config.latents))

    @property
    def reach(self) -> tuple[int, int]:
        """Latents to either side that the decoder's network sees, and on which the phases depend."""
        config = self.codec
        network = 1 + 3 * config.depth + -(-3 * config.fine_depth // config.group)
        return network, -(-frames_seen(config.n_fft, config.hop, self.iterations) // config.group)

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [clips, features, frames of spectra] -> mean and log variance of raw latents."""
        group = self.codec.group
        x = features.unflatten(-1, (-1, group)).transpose(2, 3).flatten(1, 2)
        x = self.encode_out(self.encode_blocks(self.encode_in(x)))
        mean, log_variance = x.chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    def reconstruct(self, raw: Tensor) -> Tensor:
        """Raw latents [clips, channels, frames] -> features of spectra."""
        group = self.codec.group
        x = self.decode_fine(self.decode_blocks(self.decode_in(raw)))
        x = x.unflatten(1, (-1, group)).transpose(2, 3).flatten(2)
        return self.decode_out(self.fine_blocks(x))

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Mean latents, standardised, and their deviations; samples a multiple of the downsampling."""
        mean, log_variance = self.posterior(self.spectra.features(audio))
        std = self.latent_std[:, None]
        return (mean - self.latent_mean[:, None]) / std, (log_variance / 2).exp() / std

    def decode(self, latents: Tensor, chunk: int | None = None, to: torch.device | None = None) -> Tensor:
        """Audio [clips, 2, frames * downsampling] of standardised latents.

        With `chunk` frames at a time memory does not grow with the length: each piece is decoded with as much on either
        side as its sound depends on, and its phases advance from those of the piece before, so the result is the same.
        `to` is where the audio shall lie.
        """
        frames, group, hop = latents.shape[-1], self.codec.group, self.codec.downsampling
        seen, heard = self.reach
        if chunk is None or frames <= chunk + 2 * heard:
            return self.spectra.sound(self._described(latents), self.iterations)[0].to(to or latents.device)
        audio = latents.new_empty(len(latents), 2, frames * hop, device=to)
        last: Tensor | None = None
        for start in range(0, frames, chunk):
            stop = min(start + chunk, frames)
            first, end = max(0, start - heard), min(frames, stop + heard)
            left, right = max(0, first - seen), min(frames, end + seen)
            described = self._described(latents[..., left:right])[..., (first - left) * group : (end - left) * group]
            sound, begun = self.spectra.sound(described, self.iterations, last)
            audio[..., start * hop : stop * hop] = sound[..., (start - first) * hop : (stop - first) * hop]
            if passed := max(0, stop - heard) - first:  # the next piece begins so many latents after this one
                last = begun[..., passed * group - 1]
        return audio

    def _described(self, latents: Tensor) -> Tensor:
        """Features of spectra of standardised latents."""
        raw = latents * self.latent_std[:, None] + self.latent_mean[:, None]
        return self.reconstruct(raw.to(self.decode_in.weight.dtype)).to(latents.dtype)

    def lower(self, dtype: torch.dtype) -> None:
        """Let the decoder's network compute with such numbers from now on; the search for phases does not."""
        for layer in (self.decode_in, self.decode_blocks, self.decode_fine, self.fine_blocks, self.decode_out):
            layer.to(dtype)

    def fuse(self) -> SpectralAutoencoder:
        """Nothing to multiply out; beside the Oobleck's."""
        return self


def _mean_by(x: Tensor, groups: Tensor, count: int) -> Tensor:
    """Mean of `x` [clips, bins, frames] over the bins of each group: [clips, count, frames]."""
    total = x.new_zeros(len(x), count, x.shape[-1]).index_add_(1, groups, x)
    size = torch.bincount(groups, minlength=count).to(x)
    return total / size[:, None]


def _growing_bands(bins: int, bands: int) -> list[int]:
    """Band of each bin: narrow below, wide above, none empty."""
    edges = [math.ceil((i / bands) ** 2 * bins) for i in range(1, bands + 1)]
    for band in range(1, bands):
        edges[band] = max(edges[band], edges[band - 1] + 1)
    return [next(band for band, edge in enumerate(edges) if i < edge) for i in range(bins)]
