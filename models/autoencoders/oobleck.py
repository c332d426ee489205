"""The Oobleck variational autoencoder of stable-audio-tools, from the released configuration."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from models.autoencoders.spectral import SpectralAutoencoder
from models.config import ConfigError, ModelConfig


def build_autoencoder(config: ModelConfig) -> Autoencoder | SpectralAutoencoder:
    """The autoencoder that a configuration asks for: the released Oobleck, or the small one of spectra."""
    settings = config.autoencoder
    if settings.get("type") != "spectral":
        return Autoencoder(config)
    codec = SpectralAutoencoder(settings["codec"])
    if (codec.codec.latents, codec.codec.downsampling) != (config.latent_channels, config.lengths.downsampling):
        raise ConfigError("model configuration: latent_dim and downsampling_ratio do not fit the codec's own")
    return codec


class Autoencoder(nn.Module):
    """Audio [clips, channels, samples] <-> latents [clips, latent channels, frames]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        settings = config.autoencoder
        oobleck = _oobleck(settings, config.lengths.sample_rate)
        self.encoder = oobleck.get_submodule("encoder")
        self.decoder = oobleck.get_submodule("decoder")
        self.downsampling, self.channels = config.lengths.downsampling, config.audio_channels
        self.context = _decoder_reach(settings["decoder"]["config"])

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw scale of the posterior, [clips, latent channels, frames]; deviation = softplus(scale) + 1e-4."""
        mean, scale = self.encoder(audio).chunk(2, dim=1)
        return mean, scale

    def decode(self, latents: Tensor, chunk: int | None = None, to: torch.device | None = None) -> Tensor:
        """Audio [clips, channels, frames * downsampling] of latents [clips, latent channels, frames].

        With `chunk` frames at a time memory does not grow with the length: each chunk is decoded with as many
        neighbours as the decoder can see, and the neighbours' sound is dropped, so the result is the same. `to` is
        where the audio shall lie.
        """
        frames = latents.shape[-1]
        if chunk is None or frames <= chunk + 2 * self.context:
            return self._sound(latents).to(to or latents.device)
        hop = self.downsampling
        audio = latents.new_empty(len(latents), self.channels, frames * hop, device=to)
        for start in range(0, frames, chunk):
            stop = min(start + chunk, frames)
            left, right = max(0, start - self.context), min(frames, stop + self.context)
            sound = self._sound(latents[..., left:right])
            audio[..., start * hop : stop * hop] = sound[..., (start - left) * hop : (stop - left) * hop]
        return audio

    def _sound(self, latents: Tensor) -> Tensor:
        dtype = next(self.decoder.parameters()).dtype
        return self.decoder(latents.to(dtype)).to(latents.dtype)

    def lower(self, dtype: torch.dtype) -> None:
        """Let the decoder compute with such numbers from now on."""
        self.decoder.to(dtype)

    def fuse(self) -> Autoencoder:
        """Multiply the weight normalisation out once, instead of at every call."""
        for module in self.modules():
            if hasattr(module, "weight_g"):
                nn.utils.remove_weight_norm(module)
        return self


def _oobleck(settings: dict[str, Any], sample_rate: int) -> nn.Module:
    kinds = settings["encoder"]["type"], settings["decoder"]["type"], settings["bottleneck"]["type"]
    if kinds != ("oobleck", "oobleck", "vae"):
        raise ConfigError(f"model configuration: expected an Oobleck autoencoder with a vae bottleneck, got {kinds}")
    # The import takes seconds and prints to standard output, which belongs to our caller.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stable_audio_tools.models.autoencoders import create_autoencoder_from_config

        return create_autoencoder_from_config({"model": settings, "sample_rate": sample_rate})


def _decoder_reach(settings: dict[str, Any]) -> int:
    """Latents to either side that a decoded latent depends on: the decoder's receptive field, rounded up.

    Each stage upsamples by its stride (kernel 2 * stride: one input to either side), then three residual units of
    kernel 7 and dilations 1, 3, 9 reach 39 of its samples. The first and last convolutions of kernel 7 reach 3.
    """
    reach, rate = 3.0, 1
    for stride in reversed(settings["strides"]):
        reach += 1 / rate
        rate *= stride
        reach += 39 / rate
    return math.ceil(reach + 3 / rate) + 1
