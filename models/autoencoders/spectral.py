"""A small autoencoder of spectra: it codes log magnitudes and panning as latents, and phases are found after decoding.

It learns in minutes what an autoencoder of waveforms learns in days: magnitudes tell which pitches sound and when, and
phases follow from them well enough (`models.autoencoders.phase_reconstruction`). It is made for stereo at 44.1 kHz: a
spectrum of 2048 samples is described by every bin below 11 kHz, by bands above that, and by the direction of bands
instead of a second channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.phase_reconstruction import advancing_phases, frames_seen, griffin_lim, istft

FLOOR = 1e-4
"""The magnitude that counts as silence for the encoder: 80 dB below a sine at full scale."""
QUIETEST = 1e-5
"""The least magnitude that the decoder makes: 100 dB below a sine at full scale."""
CENTER, SCALE = math.log(1e-2), 2.3
"""Center and scale that log magnitudes are normalized with, to a range of about [-2, 2]."""


@dataclass(frozen=True)
class SpectralConfig:
    """Shape of the autoencoder.

    Attributes:
        latents: channels of the latents.
        width, depth: channels and number of the blocks at the rate of the latents, in encoder and decoder each.
        fine_width, fine_depth: channels and number of the decoder's blocks at the rate of the spectra.
        n_fft, hop: samples of a spectrum's window, and samples between two spectra.
        group: spectra per latent frame.
        bins: number of the lowest bins, which are described by one value each.
        bands: number of bands that describe all higher bins.
        pan_bands: number of bands, over all bins, whose direction is described.
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
        """The number of values that describe one spectrum."""
        return self.bins + self.bands + self.pan_bands

    @property
    def downsampling(self) -> int:
        """Samples per latent frame."""
        return self.hop * self.group


class ConvNeXtBlock(nn.Module):
    """A ConvNeXt block (arXiv 2201.03545): a depthwise convolution over time, then an MLP over channels."""

    def __init__(self, width: int, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [batch, width, frames] to the same shape."""
        y = self.norm(self.conv(x).transpose(1, 2))
        return x + (self.scale * self.narrow(F.gelu(self.widen(y)))).transpose(1, 2)


class SpectralTransform(nn.Module):
    """Computes the features of sound's spectra, and sound from such features; it has no weights."""

    window: Tensor
    band_of_bin: Tensor
    pan_band_of_bin: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        above = config.n_fft // 2 + 1 - config.bins
        # These stay on the CPU where a network is built on the meta device, because no checkpoint contains them.
        self.register_buffer("window", torch.hann_window(config.n_fft, device="cpu"), persistent=False)
        bands = torch.arange(above, device="cpu") * config.bands // above
        self.register_buffer("band_of_bin", bands, persistent=False)
        pan_bands = torch.tensor(_growing_bands(config.n_fft // 2 + 1, config.pan_bands), device="cpu")
        self.register_buffer("pan_band_of_bin", pan_bands, persistent=False)

    def magnitudes(self, audio: Tensor) -> Tensor:
        """Returns magnitudes [clips, 2, n_fft / 2 + 1, frames] of audio [clips, 2, samples].

        A sine at full scale has a magnitude of about 1.
        """
        config = self.config
        reach = (config.n_fft - config.hop) // 2  # frame i lies around the middle of its own `hop` samples
        flat = F.pad(audio, (reach, config.n_fft - config.hop - reach)).flatten(0, 1)
        spectra = torch.stft(
            flat, config.n_fft, config.hop, window=self.window, center=False, return_complex=True
        ).unflatten(0, audio.shape[:2])
        return spectra.abs() / (self.window.sum() / 2)

    def features(self, audio: Tensor, floor: float = FLOOR) -> Tensor:
        """Returns features [clips, features, frames] of audio [clips, 2, samples].

        The log magnitudes come first, in about [-2, 2], then the directions, from -1 (left) to 1 (right). Magnitudes
        below `floor` are raised to it.
        """
        channels = self.magnitudes(audio)
        power = channels.square().mean(1)
        bins = self.config.bins
        above = _mean_by(power[:, bins:], self.band_of_bin, self.config.bands)
        level = torch.cat((power[:, :bins], above), dim=1).clamp(min=floor**2).log() / 2
        left, right = (_mean_by(c.square(), self.pan_band_of_bin, self.config.pan_bands) for c in channels.unbind(1))
        quiet = 1e-9  # silence has its direction in the middle
        angle = torch.atan2((right + quiet).sqrt(), (left + quiet).sqrt())
        return torch.cat(((level - CENTER) / SCALE, angle / (math.pi / 4) - 1), dim=1)

    def levels(self, features: Tensor) -> Tensor:
        """Returns the magnitudes of both channels together, [clips, n_fft / 2 + 1, frames], of features."""
        config = self.config
        level = (features[:, : config.bins + config.bands] * SCALE + CENTER).clamp(math.log(QUIETEST), 2.0).exp()
        return torch.cat((level[:, : config.bins], level[:, config.bins :][:, self.band_of_bin]), dim=1)

    def sound(self, features: Tensor, iterations: int, last: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns audio [clips, 2, frames * hop] of features, and the angles that the search for phases began with.

        Both channels have the same phases.

        Args:
            features: [clips, features, frames].
            iterations: iterations of the search for phases.
            last: initial angles of the frame before the first, [clips, n_fft / 2 + 1], where there is one.

        Returns:
            The audio, and initial angles [clips, n_fft / 2 + 1, frames].
        """
        config, window = self.config, self.window
        level = self.levels(features)
        level = torch.where(level <= QUIETEST * 1.1, 0.0, level) * (window.sum() / 2)
        before = [None] * len(level) if last is None else list(last)
        initial = [
            advancing_phases(one, config.n_fft, config.hop, angles) for one, angles in zip(level, before, strict=True)
        ]
        phases = [
            griffin_lim(one, angles, window, config.hop, iterations) for one, angles in zip(level, initial, strict=True)
        ]
        direction = (features[:, config.bins + config.bands :].clamp(-1, 1) + 1) * (math.pi / 4)
        direction = direction[:, self.pan_band_of_bin]
        spectra = level * torch.stack(phases) * math.sqrt(2)
        channels = (spectra * direction.cos(), spectra * direction.sin())
        sound = [[istft(x, window, config.hop) for x in clip] for clip in zip(*channels, strict=True)]
        return torch.stack([torch.stack(clip) for clip in sound]), torch.stack(initial)


class SpectralAutoencoder(nn.Module):
    """Audio [clips, 2, samples] <-> latents [clips, channels, frames] whose channels have a variance of about 1."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.config = config = SpectralConfig(**settings)
        self.iterations = 12  # iterations of the search for phases; more make no audible difference
        self.transform = SpectralTransform(config)
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
        """Numbers of latents to either side: those that the decoder's network sees, and those that phases depend on."""
        config = self.config
        network = 1 + 3 * config.depth + -(-3 * config.fine_depth // config.group)
        return network, -(-frames_seen(config.n_fft, config.hop, self.iterations) // config.group)

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log variance of raw latents, given features [clips, features, frames of spectra]."""
        group = self.config.group
        x = features.unflatten(-1, (-1, group)).transpose(2, 3).flatten(1, 2)
        x = self.encode_out(self.encode_blocks(self.encode_in(x)))
        mean, log_variance = x.chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    def reconstruct(self, raw: Tensor) -> Tensor:
        """Returns features of spectra, given raw latents [clips, channels, frames]."""
        group = self.config.group
        x = self.decode_fine(self.decode_blocks(self.decode_in(raw)))
        x = x.unflatten(1, (-1, group)).transpose(2, 3).flatten(2)
        return self.decode_out(self.fine_blocks(x))

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and standard deviations of standardized latents, [clips, channels, frames] each.

        The number of samples must be a multiple of the downsampling.
        """
        mean, log_variance = self.posterior(self.transform.features(audio))
        std = self.latent_std[:, None]
        return (mean - self.latent_mean[:, None]) / std, (log_variance / 2).exp() / std

    def decode(self, latents: Tensor, chunk: int | None = None, to: torch.device | None = None) -> Tensor:
        """Returns audio [clips, 2, frames * downsampling].

        Args:
            latents: standardized latents, [clips, channels, frames].
            chunk: frames that are decoded at a time, so that memory does not grow with the length. Each chunk is
                decoded with as many neighbors as its audio depends on, and its phases continue those of the chunk
                before, so the result is the same. None decodes everything at once.
            to: device of the audio; that of the latents if left out.
        """
        frames, group, hop = latents.shape[-1], self.config.group, self.config.downsampling
        network_reach, phase_reach = self.reach
        if chunk is None or frames <= chunk + 2 * phase_reach:
            return self.transform.sound(self._features(latents), self.iterations)[0].to(to or latents.device)
        audio = latents.new_empty(len(latents), 2, frames * hop, device=to)
        last: Tensor | None = None
        for start in range(0, frames, chunk):
            stop = min(start + chunk, frames)
            first, end = max(0, start - phase_reach), min(frames, stop + phase_reach)
            left, right = max(0, first - network_reach), min(frames, end + network_reach)
            features = self._features(latents[..., left:right])[..., (first - left) * group : (end - left) * group]
            sound, initial = self.transform.sound(features, self.iterations, last)
            audio[..., start * hop : stop * hop] = sound[..., (start - first) * hop : (stop - first) * hop]
            if passed := max(0, stop - phase_reach) - first:  # the next chunk begins so many latents after this one
                last = initial[..., passed * group - 1]
        return audio

    def _features(self, latents: Tensor) -> Tensor:
        """Returns the features of spectra, given standardized latents."""
        raw = latents * self.latent_std[:, None] + self.latent_mean[:, None]
        return self.reconstruct(raw.to(self.decode_in.weight.dtype)).to(latents.dtype)

    def to_precision(self, dtype: torch.dtype) -> None:
        """Lets the decoder's network, but not the search for phases, compute in another precision from now on."""
        for layer in (self.decode_in, self.decode_blocks, self.decode_fine, self.fine_blocks, self.decode_out):
            layer.to(dtype)

    def fuse(self) -> SpectralAutoencoder:
        """Does nothing; the Oobleck autoencoder multiplies its weight normalization out here."""
        return self


def _mean_by(x: Tensor, groups: Tensor, count: int) -> Tensor:
    """Returns the mean of `x` [clips, bins, frames] over the bins of each group: [clips, count, frames]."""
    total = x.new_zeros(len(x), count, x.shape[-1]).index_add_(1, groups, x)
    size = torch.bincount(groups, minlength=count).to(x)
    return total / size[:, None]


def _growing_bands(bins: int, bands: int) -> list[int]:
    """Returns the band of each bin; low bands are narrow, high bands are wide, and none is empty."""
    edges = [math.ceil((i / bands) ** 2 * bins) for i in range(1, bands + 1)]
    for band in range(1, bands):
        edges[band] = max(edges[band], edges[band - 1] + 1)
    return [next(band for band, edge in enumerate(edges) if i < edge) for i in range(bins)]
