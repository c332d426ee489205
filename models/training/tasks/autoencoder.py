"""Training of the spectral autoencoder, with losses that compare what is audible."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.spectral import CENTER, FLOOR, QUIETEST, SCALE, SpectralAutoencoder
from models.features.audio import N_FFT, mel_filters
from models.metrics.metrics import HIGHEST_HZ, MEL_FLOOR, MELS
from models.training.checkpoints import TrainingError
from models.training.data.batches import SoundBatch
from models.training.seeding import seeded_generator

LOSS_WEIGHTS = {"convergence": 1.0, "magnitude": 1.0, "mel": 1.0, "change": 0.5, "pan": 0.5, "kl": 0.03}
"""Weights of the losses. The weight of `kl` balances the others where the noise of latents is 0.15 of their standard
deviation."""
KL_WARMUP_STEPS = 200
"""Steps over which the weight of `kl` grows. With the full weight from the beginning, when the decoder cannot yet use
latents, the encoder would stop encoding anything."""
STATISTICS_BATCHES = 50
"""Number of batches that the statistics of latents are measured over."""


class AutoencoderTask(nn.Module):
    """The losses of an autoencoder on crops of sound.

    All losses are means over items of values that depend on one item alone, so the losses of the shares of a batch,
    weighted by their numbers of items, add up to those of the whole batch.

    Args:
        codec: a `SpectralAutoencoder`.
        sample_rate: samples per second of the sound.
        seed: seed of the noise of the latents.
        decoder_only: whether the encoder, and so the meaning of latents, stays as it is.

    Raises:
        TrainingError: it is another kind of autoencoder.
    """

    mel: Tensor
    pan_bands: Tensor

    def __init__(self, codec: nn.Module, sample_rate: int, seed: int = 0, decoder_only: bool = False) -> None:
        super().__init__()
        self.codec = _checked(codec)
        self.seed, self.decoder_only = seed, decoder_only
        config, transform = self.codec.config, self.codec.transform
        filters = mel_filters(sample_rate, config.n_fft, MELS, 0.0, min(HIGHEST_HZ, sample_rate / 2))
        # The factor gives the units of `models.metrics.metrics.log_magnitudes`, which has the same floor.
        self.register_buffer("mel", filters * (N_FFT / 8), persistent=False)
        members = F.one_hot(transform.pan_band_of_bin, config.pan_bands).float()
        self.register_buffer("pan_bands", (members / members.sum(0)).T.contiguous(), persistent=False)
        for name, parameter in self.codec.named_parameters():
            parameter.requires_grad_(not (decoder_only and name.startswith("encode_")))

    def forward(self, batch: SoundBatch, step: int) -> dict[str, Tensor]:
        """Returns losses, scalars, of sound [items, 2, samples] whose samples are a multiple of the downsampling.

        Returns:
            `convergence`: distance of magnitudes, relative to their norm. `magnitude`, `mel`: mean distance of log
            magnitudes and of log mel bands, where 1 is a factor of e. `change`: mean distance of the changes of log
            magnitudes from spectrum to spectrum. `pan`: mean distance of directions, where 2 is from left to right.
            `kl`: nats per value of the latents. `loss`: their sum with `LOSS_WEIGHTS`, and with the warm-up of `kl`.
        """
        target = self.codec.transform.features(batch.audio, QUIETEST)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.decoder_only):
            mean, log_variance = (x.float() for x in self.codec.posterior(self._encoder_input(target)))
        # All items have the same noise, so that a share need not know which items of the batch it has.
        noise = torch.randn(mean.shape[1:], generator=seeded_generator("posterior", self.seed, step)).to(mean.device)
        reconstructed = self.codec.reconstruct(mean + (log_variance / 2).exp() * noise).float()
        losses = self._distances(reconstructed, target)
        losses["kl"] = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
        weights = LOSS_WEIGHTS | {"kl": LOSS_WEIGHTS["kl"] * min(1.0, step / KL_WARMUP_STEPS)}
        return {"loss": torch.stack([weights[name] * value for name, value in losses.items()]).sum()} | losses

    def _encoder_input(self, features: Tensor) -> Tensor:
        """Returns features with the encoder's floor in place of the decoder's."""
        config = self.codec.config
        levels, directions = features.split((config.bins + config.bands, config.pan_bands), dim=1)
        lowest = (math.log(FLOOR) - CENTER) / SCALE
        return torch.cat((levels.clamp(min=lowest), directions), dim=1)

    def _distances(self, reconstructed: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Returns the distances between reconstructed features and the target, both [items, features, frames]."""
        config, transform = self.codec.config, self.codec.transform
        sizes = (config.bins + config.bands, config.pan_bands)
        level, direction = reconstructed.split(sizes, dim=1)
        target_level, target_direction = target.split(sizes, dim=1)
        magnitudes, real = transform.levels(reconstructed), transform.levels(target)
        distance = (magnitudes - real).flatten(1).norm(dim=1) / real.flatten(1).norm(dim=1).clamp(min=QUIETEST)
        mels = [(self.mel @ m).clamp(min=MEL_FLOOR).log() for m in (magnitudes, real)]
        # The direction of silence is inaudible: a band counts from the encoder's floor upwards, and fully from -40 dB.
        loud = (self.pan_bands @ real).clamp(min=FLOOR).div(FLOOR).log10().div(2).clamp(max=1)
        return {
            "convergence": distance.clamp(max=10).mean(),
            "magnitude": SCALE * (level - target_level).abs().mean(),
            "mel": (mels[0] - mels[1]).abs().mean(),
            "change": SCALE * (level.diff(dim=-1) - target_level.diff(dim=-1)).abs().mean(),
            "pan": (loud * (direction - target_direction).abs()).mean(),
        }


def standardize_latents(
    codec: nn.Module, batches: Callable[[int], SoundBatch], count: int = STATISTICS_BATCHES
) -> None:
    """Measures `latent_mean` and `latent_std`, so that each channel of encoded latents has mean 0 and variance 1.

    Args:
        codec: a `SpectralAutoencoder`.
        batches: function that returns the batch of a step.
        count: number of steps, from 0 on, whose batches are measured.

    Raises:
        TrainingError: it is another kind of autoencoder.
    """
    spectral = _checked(codec)
    device = spectral.latent_mean.device
    total = torch.zeros(2, spectral.config.latents, dtype=torch.float64, device=device)
    frames = 0
    with torch.no_grad():
        for step in range(count):
            audio = batches(step).to(device).audio
            mean = spectral.posterior(spectral.transform.features(audio))[0].double().transpose(0, 1).flatten(1)
            total += torch.stack((mean.sum(1), mean.square().sum(1)))
            frames += mean.shape[1]
        mean, square = total / frames
        spectral.latent_mean.copy_(mean)
        # The lower bound keeps a channel that is always about 0 from being amplified.
        spectral.latent_std.copy_((square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3))


def _checked(codec: nn.Module) -> SpectralAutoencoder:
    if not isinstance(codec, SpectralAutoencoder):
        raise TrainingError(f"only an autoencoder of spectra can be trained, got {type(codec).__name__}")
    return codec
