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


def build_autoencoder(config: ModelConfig) -> OobleckAutoencoder | SpectralAutoencoder:
    """Builds the autoencoder of a configuration: the released Oobleck, or the small spectral one."""
    settings = config.autoencoder
    if settings.get("type") != "spectral":
        return OobleckAutoencoder(config)
    codec = SpectralAutoencoder(settings["codec"])
    if (codec.config.latents, codec.config.downsampling) != (config.latent_channels, config.lengths.downsampling):
        raise ConfigError("model configuration: latent_dim and downsampling_ratio do not fit the codec's own")
    return codec


class OobleckAutoencoder(nn.Module):
    """The released autoencoder: audio [clips, channels, samples] <-> latents [clips, latent channels, frames]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        settings = config.autoencoder
        oobleck = _oobleck(settings, config.lengths.sample_rate)
        self.encoder = oobleck.get_submodule("encoder")
        self.decoder = oobleck.get_submodule("decoder")
        self.downsampling, self.channels = config.lengths.downsampling, config.audio_channels
        self.context = _receptive_field(settings["decoder"]["config"])

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and raw scale of the posterior, both [clips, latent channels, frames].

        The standard deviation is softplus(scale) + 1e-4.
        """
        mean, scale = self.encoder(audio).chunk(2, dim=1)
        return mean, scale

    def decode(self, latents: Tensor, chunk: int | None = None, to: torch.device | None = None) -> Tensor:
        """Returns audio [clips, channels, frames * downsampling].

        Args:
            latents: [clips, latent channels, frames].
            chunk: frames that are decoded at a time, so that memory does not grow with the length. Each chunk is
                decoded together with all neighbors that the decoder's receptive field covers, and the audio of the
                neighbors is dropped, so the result is the same. None decodes everything at once.
            to: device of the audio; that of the latents if left out.
        """
        frames = latents.shape[-1]
        if chunk is None or frames <= chunk + 2 * self.context:
            return self._decode_at_once(latents).to(to or latents.device)
        hop = self.downsampling
        audio = latents.new_empty(len(latents), self.channels, frames * hop, device=to)
        for start in range(0, frames, chunk):
            stop = min(start + chunk, frames)
            left, right = max(0, start - self.context), min(frames, stop + self.context)
            sound = self._decode_at_once(latents[..., left:right])
            audio[..., start * hop : stop * hop] = sound[..., (start - left) * hop : (stop - left) * hop]
        return audio

    def _decode_at_once(self, latents: Tensor) -> Tensor:
        dtype = next(self.decoder.parameters()).dtype
        return self.decoder(latents.to(dtype)).to(latents.dtype)

    def to_precision(self, dtype: torch.dtype) -> None:
        """Lets the decoder compute in another precision from now on."""
        self.decoder.to(dtype)

    def fuse(self) -> OobleckAutoencoder:
        """Multiplies the weight normalization out once, instead of at every call."""
        for module in self.modules():
            if hasattr(module, "weight_g"):
                nn.utils.remove_weight_norm(module)
        return self


def _oobleck(settings: dict[str, Any], sample_rate: int) -> nn.Module:
    """Builds the autoencoder of stable-audio-tools."""
    kinds = settings["encoder"]["type"], settings["decoder"]["type"], settings["bottleneck"]["type"]
    if kinds != ("oobleck", "oobleck", "vae"):
        raise ConfigError(f"model configuration: expected an Oobleck autoencoder with a vae bottleneck, got {kinds}")
    # The import takes seconds and prints to standard output, where only results belong.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stable_audio_tools.models.autoencoders import create_autoencoder_from_config

        return create_autoencoder_from_config({"model": settings, "sample_rate": sample_rate})


def _receptive_field(settings: dict[str, Any]) -> int:
    """Returns how many latents to either side the audio of a latent depends on, rounded up.

    Each stage upsamples by its stride (kernel 2 * stride, so one input to either side), then three residual units of
    kernel 7 and dilations 1, 3 and 9 reach 39 samples of its output. The first and the last convolution of kernel 7
    reach 3.
    """
    reach, rate = 3.0, 1
    for stride in reversed(settings["strides"]):
        reach += 1 / rate
        rate *= stride
        reach += 39 / rate
    return math.ceil(reach + 3 / rate) + 1
