"""How the autoencoder of spectra learns: what it gives back is compared as it is heard."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.autoencoders.spectral import CENTER, FLOOR, QUIETEST, SCALE, SpectralAutoencoder
from models.features.audio import N_FFT, mel_filters
from models.metrics.metrics import FLOOR as MEL_FLOOR
from models.metrics.metrics import HIGHEST, MELS
from models.training.checkpoints import TrainingError
from models.training.data.batches import SoundBatch
from models.training.trainer import generator

WEIGHTS = {"convergence": 1.0, "magnitude": 1.0, "mel": 1.0, "change": 0.5, "pan": 0.5, "kl": 0.03}
"""Of the parts in the loss. That of `kl` balances the others where latents' noise is 0.15 of their deviation."""
WARMUP = 200
"""Steps over which the weight of `kl` grows: a decoder that cannot tell latents yet would have them given up."""
BATCHES = 50
"""Batches that the statistics of latents are measured over."""


class CodecTask(nn.Module):
    """The losses of an autoencoder on crops of sound.

    All parts are means over the items of numbers that each item has by itself, so that shares of a batch, weighted by
    their items, add up to the whole.

    Args:
        codec: a `SpectralAutoencoder`.
        sample_rate: of the sound.
        seed: of the noise that latents are drawn with.
        decoder_only: whether the encoder stays as it is, and with it what latents mean.

    Raises:
        TrainingError: it is another kind of autoencoder.
    """

    mel: Tensor
    pan_bands: Tensor

    def __init__(self, codec: nn.Module, sample_rate: int, seed: int = 0, decoder_only: bool = False) -> None:
        super().__init__()
        self.codec = _spectral(codec)
        self.seed, self.decoder_only = seed, decoder_only
        config, spectra = self.codec.codec, self.codec.spectra
        filters = mel_filters(sample_rate, config.n_fft, MELS, 0.0, min(HIGHEST, sample_rate / 2))
        # In the units of `measures.log_magnitudes`, which has the same floor.
        self.register_buffer("mel", filters * (N_FFT / 8), persistent=False)
        members = F.one_hot(spectra.pan_band_of_bin, config.pan_bands).float()
        self.register_buffer("pan_bands", (members / members.sum(0)).T.contiguous(), persistent=False)
        for name, parameter in self.codec.named_parameters():
            parameter.requires_grad_(not (decoder_only and name.startswith("encode_")))

    def forward(self, batch: SoundBatch, step: int) -> dict[str, Tensor]:
        """Losses, scalars, of sound [items, 2, samples], samples a multiple of the downsampling.

        Returns:
            `convergence`: distance of magnitudes over their length; `magnitude`, `mel`: mean distance of log magnitudes
            and log mel bands, 1 is a factor of e; `change`: of log magnitudes' steps from spectrum to spectrum; `pan`:
            of directions, 2 is from left to right; `kl`: nats of a latent number; `loss`: their sum by `WEIGHTS`, `kl`
            with its warm-up.
        """
        target = self.codec.spectra.features(batch.audio, QUIETEST)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.decoder_only):
            mean, log_variance = (x.float() for x in self.codec.posterior(self._heard(target)))
        # One noise for all items, so that a share need not know which of them are its.
        noise = torch.randn(mean.shape[1:], generator=generator("posterior", self.seed, step)).to(mean.device)
        made = self.codec.reconstruct(mean + (log_variance / 2).exp() * noise).float()
        losses = self._distances(made, target)
        losses["kl"] = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
        weights = WEIGHTS | {"kl": WEIGHTS["kl"] * min(1.0, step / WARMUP)}
        return {"loss": torch.stack([weights[name] * value for name, value in losses.items()]).sum()} | losses

    def _heard(self, features: Tensor) -> Tensor:
        """Features with the encoder's floor in place of the decoder's."""
        config = self.codec.codec
        levels, directions = features.split((config.bins + config.bands, config.pan_bands), dim=1)
        lowest = (math.log(FLOOR) - CENTER) / SCALE
        return torch.cat((levels.clamp(min=lowest), directions), dim=1)

    def _distances(self, made: Tensor, target: Tensor) -> dict[str, Tensor]:
        """How far features [items, features, frames] are from those wanted."""
        config, spectra = self.codec.codec, self.codec.spectra
        sizes = (config.bins + config.bands, config.pan_bands)
        (level, direction), (wanted, wanted_direction) = made.split(sizes, dim=1), target.split(sizes, dim=1)
        magnitudes, real = spectra.levels(made), spectra.levels(target)
        distance = (magnitudes - real).flatten(1).norm(dim=1) / real.flatten(1).norm(dim=1).clamp(min=QUIETEST)
        mels = [(self.mel @ m).clamp(min=MEL_FLOOR).log() for m in (magnitudes, real)]
        # Nobody hears where silence comes from: a band counts from the encoder's floor up, fully from -40 dB.
        loud = (self.pan_bands @ real).clamp(min=FLOOR).div(FLOOR).log10().div(2).clamp(max=1)
        return {
            "convergence": distance.clamp(max=10).mean(),
            "magnitude": SCALE * (level - wanted).abs().mean(),
            "mel": (mels[0] - mels[1]).abs().mean(),
            "change": SCALE * (level.diff(dim=-1) - wanted.diff(dim=-1)).abs().mean(),
            "pan": (loud * (direction - wanted_direction).abs()).mean(),
        }


def standardise_latents(codec: nn.Module, batches: Callable[[int], SoundBatch], count: int = BATCHES) -> None:
    """Measure `latent_mean` and `latent_std`, so that each channel of latents comes out with mean 0 and variance 1.

    Args:
        codec: a `SpectralAutoencoder`.
        batches: sound by step.
        count: of steps, from 0 on, that are taken.

    Raises:
        TrainingError: it is another kind of autoencoder.
    """
    spectral = _spectral(codec)
    device = spectral.latent_mean.device
    total = torch.zeros(2, spectral.codec.latents, dtype=torch.float64, device=device)
    frames = 0
    with torch.no_grad():
        for step in range(count):
            audio = batches(step).to(device).audio
            mean = spectral.posterior(spectral.spectra.features(audio))[0].double().transpose(0, 1).flatten(1)
            total += torch.stack((mean.sum(1), mean.square().sum(1)))
            frames += mean.shape[1]
        mean, square = total / frames
        spectral.latent_mean.copy_(mean)
        # A channel that says nothing must not be blown up.
        spectral.latent_std.copy_((square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3))


def _spectral(codec: nn.Module) -> SpectralAutoencoder:
    if not isinstance(codec, SpectralAutoencoder):
        raise TrainingError(f"only an autoencoder of spectra can be trained, got {type(codec).__name__}")
    return codec
