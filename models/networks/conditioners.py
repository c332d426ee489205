"""Encoders of the conditions: features of the picture to condition tokens (paper 3.2, as released)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig, NumberRange, Rhythm
from models.networks.rhythm_predictor import CurvePredictor, RhythmPredictor


def real_rhythm_grid(rhythm: Tensor, seconds: int, steps: int, kind: Rhythm) -> Tensor:
    """Measured rhythm of a clip on the condition grid: block-averaged, padded with zeros, not yet standardized.

    Args:
        rhythm: ODF [seconds, 1]; log-mel or tempogram [frames, bins], with the same number of frames in each second.
        seconds: length of the clip in whole seconds.
        steps: condition steps of the window, one per second.

    Returns:
        [steps, 1 or 16].

    Raises:
        ValueError: the shape does not fit the representation.
    """
    rows, bins = rhythm.shape
    if rows % seconds or bins % kind.width or (kind is Rhythm.ODF and bins != 1):
        raise ValueError(f"a rhythm of kind {kind} for {seconds} s cannot have the shape {list(rhythm.shape)}")
    blocks = rhythm.reshape(seconds, rows // seconds, kind.width, bins // kind.width).mean((1, 3))
    return torch.cat((blocks, blocks.new_zeros(steps - seconds, kind.width)))


def tokens_of_curve(curve: Tensor, rate: float, steps: int) -> Tensor:
    """Rhythm tokens at 1 Hz from a rhythm curve: the greatest onset strength of each second, [clips, steps, 1].

    Args:
        curve: [clips, channels, n], onset strength first.
        rate: steps of the curve per second.
        steps: length of the window in seconds.
    """
    onset = curve[:, 0]
    second = ((torch.arange(onset.shape[1], device=onset.device) + 0.5) / rate).long().clamp(max=steps - 1)
    seconds = onset.new_full((len(onset), steps), -math.inf)
    seconds = seconds.scatter_reduce(1, second.expand_as(onset), onset, "amax")
    return seconds.masked_fill(seconds.isinf(), 0.0)[..., None]


class TokenEncoder(nn.Module):
    """Two linear layers with no activation between them; as released, a square first one is left out."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.proj_out1 = nn.Linear(width_in, hidden) if width_in != hidden else nn.Identity()
        self.proj_out2 = nn.Linear(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out2(self.proj_out1(x))


class SemanticEncoder(TokenEncoder):
    """Encoder of CLIP embeddings. It also holds the rhythm predictor, as in the released checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.semantic_dim, 512, config.cond_dim)
        self.extractor = RhythmPredictor(config) if config.curve is None else CurvePredictor(config, config.curve)


class ClassEncoder(nn.Module):
    """Encoder of the kind of video, one token: 0 performance, 1 dance, 2 general."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.range = config.classes
        self.int_embedder = nn.Embedding(int(self.range.high - self.range.low) + 1, config.cond_dim)

    def forward(self, label: Tensor) -> Tensor:
        return self.int_embedder(label.clamp(int(self.range.low), int(self.range.high)))[:, None]


class FourierNumber(nn.Module):
    """Fourier features of a number, at learned frequencies, beside the number itself: [clips] -> [clips, 257]."""

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(features // 2))

    def forward(self, x: Tensor) -> Tensor:
        angles = x[:, None] * self.weights[None] * 2 * math.pi
        return torch.cat((x[:, None], angles.sin(), angles.cos()), dim=-1)


class NumberEncoder(nn.Module):
    """Encoder of a number of seconds, clamped to its range: one token."""

    def __init__(self, width: int, limits: NumberRange) -> None:
        super().__init__()
        self.range = limits
        self.embedder = nn.ModuleDict({"embedding": nn.Sequential(FourierNumber(), nn.Linear(257, width))})

    def forward(self, seconds: Tensor) -> Tensor:
        low, high = self.range.low, self.range.high
        return self.embedder["embedding"]((seconds.clamp(low, high) - low) / (high - low))[:, None]


class ModeReader(nn.Module):
    """Chooses between major and minor for a picture, from its CLIP embeddings and its colors."""

    HIDDEN = 32

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.semantic_in = nn.Sequential(nn.LayerNorm(config.semantic_dim), nn.Linear(config.semantic_dim, self.HIDDEN))
        self.color_in = nn.Sequential(nn.LayerNorm(config.color_dim), nn.Linear(config.color_dim, self.HIDDEN))
        self.out = nn.Linear(self.HIDDEN, 1)

    def forward(self, semantic: Tensor, color: Tensor) -> Tensor:
        """Means over a picture's seconds, [clips, D] and [clips, C] -> logits [clips], above 0 for major."""
        return self.out(F.gelu(self.semantic_in(semantic) + self.color_in(color)))[:, 0]


class Conditioner(nn.Module):
    """All condition encoders, under the names of the released checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoders: dict[str, nn.Module] = {
            "semantic": SemanticEncoder(config),
            "rhythm": TokenEncoder(config.rhythm.width, 512, config.cond_dim),
            "color": TokenEncoder(config.color_dim, config.color_hidden, config.cond_dim),
            "class": ClassEncoder(config),
            "seconds_start": NumberEncoder(config.cond_dim, config.seconds_start),
            "seconds_total": NumberEncoder(config.cond_dim, config.seconds_total),
        }
        if config.key:
            encoders["key"] = ModeReader(config)
        self.conditioners = nn.ModuleDict(encoders)

    def __getitem__(self, name: str) -> nn.Module:
        return self.conditioners[name]

    @property
    def predictor(self) -> RhythmPredictor | CurvePredictor:
        """The rhythm predictor."""
        return self["semantic"].extractor  # type: ignore[return-value]
