"""From features of the picture to condition tokens: rhythm predictor and encoders (paper 3.2, as released)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.config import ModelConfig, NumberRange, PredictorConfig, Rhythm
from models.transformer import FeedForward, LayerNorm, RotaryEmbedding, SelfAttention, two_layers

EPSILON = 1e-6
"""Added to standard deviations by the released code."""


def standardise(x: Tensor) -> Tensor:
    """`x` [clips, ...] by one mean and one standard deviation per clip over everything, padding included."""
    dims = tuple(range(1, x.ndim))
    return (x - x.mean(dims, keepdim=True)) / (x.std(dims, keepdim=True) + EPSILON)


def real_rhythm_grid(rhythm: Tensor, seconds: int, steps: int, kind: Rhythm) -> Tensor:
    """A clip's measured rhythm on the condition grid, block-averaged and padded with zeros, not yet standardised.

    Args:
        rhythm: ODF [seconds, 1]; log-mel or tempogram [frames, bins], the same number of frames each second.
        seconds: whole seconds of the clip.
        steps: condition steps of the window.

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


class PredictorBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: PredictorConfig) -> None:
        super().__init__()
        self.pre_norm = LayerNorm(config.width)
        self.self_attn = SelfAttention(config.width, config.heads)
        self.ff_norm = LayerNorm(config.width)
        self.ff = FeedForward(config.width)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.pre_norm(x), rotary)
        return x + self.ff(self.ff_norm(x))


class PredictorTransformer(nn.Module):
    """Bidirectional transformer [clips, steps, width_in] -> [clips, steps, width_out]."""

    def __init__(self, config: PredictorConfig, width_in: int, width_out: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(width_in, config.width, bias=False)
        self.layers = nn.ModuleList(PredictorBlock(config) for _ in range(config.depth))
        self.project_out = nn.Linear(config.width, width_out, bias=False)
        self.rotary_pos_emb = RotaryEmbedding(config.width // config.heads)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project_in(x)
        rotary = self.rotary_pos_emb(x.shape[1])
        for layer in self.layers:
            x = layer(x, rotary)
        return self.project_out(x)


class RhythmPredictor(nn.Module):
    """Predicts the rhythm curve from semantic features, scene cuts, visual beats and the class (paper 3.2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.semantic_dim
        self.transformer = PredictorTransformer(config.predictor, width, config.rhythm.width)
        self.class_embedding = nn.Embedding(3, width)
        self.scene_embedding = nn.Embedding(2, width)
        self.pseudo_linear = two_layers(nn.ReLU(), 1, 128, width)

    def forward(self, semantic: Tensor, scene_cut: Tensor, visual_beat: Tensor, class_label: Tensor) -> Tensor:
        """Padded [clips, steps, D], [clips, steps], [clips, steps] and [clips] -> [clips, steps, 1 or 16]."""
        x = standardise(semantic) + self.scene_embedding(scene_cut) + self.pseudo_linear(visual_beat[..., None])
        x = torch.cat((self.class_embedding(class_label)[:, None], x), dim=1)
        return self.transformer(x)[:, 1:]


class TokenEncoder(nn.Module):
    """Two linear layers without activation between; the first is absent where it would be square, as released."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.proj_out1 = nn.Linear(width_in, hidden) if width_in != hidden else nn.Identity()
        self.proj_out2 = nn.Linear(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out2(self.proj_out1(x))


class SemanticEncoder(TokenEncoder):
    """The semantic conditioner holds the rhythm predictor beside its own token layers, as released."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.semantic_dim, 512, config.cond_dim)
        self.extractor = RhythmPredictor(config)


class ClassEncoder(nn.Module):
    """One token for the kind of video (0 performance, 1 dance, 2 general)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.range = config.classes
        self.int_embedder = nn.Embedding(int(self.range.high - self.range.low) + 1, config.cond_dim)

    def forward(self, label: Tensor) -> Tensor:
        return self.int_embedder(label.clamp(int(self.range.low), int(self.range.high)))[:, None]


class FourierNumber(nn.Module):
    """A number beside sines and cosines of it at learned frequencies: [clips] -> [clips, 257]."""

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(features // 2))

    def forward(self, x: Tensor) -> Tensor:
        angles = x[:, None] * self.weights[None] * 2 * math.pi
        return torch.cat((x[:, None], angles.sin(), angles.cos()), dim=-1)


class NumberEncoder(nn.Module):
    """One token for a number of seconds, clamped to its range."""

    def __init__(self, width: int, limits: NumberRange) -> None:
        super().__init__()
        self.range = limits
        self.embedder = nn.ModuleDict({"embedding": nn.Sequential(FourierNumber(), nn.Linear(257, width))})

    def forward(self, seconds: Tensor) -> Tensor:
        low, high = self.range.low, self.range.high
        return self.embedder["embedding"]((seconds.clamp(low, high) - low) / (high - low))[:, None]


class Conditioner(nn.Module):
    """All condition encoders, named as in the released checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.conditioners = nn.ModuleDict(
            {
                "semantic": SemanticEncoder(config),
                "rhythm": TokenEncoder(config.rhythm.width, 512, config.cond_dim),
                "color": TokenEncoder(config.color_dim, 1024, config.cond_dim),
                "class": ClassEncoder(config),
                "seconds_start": NumberEncoder(config.cond_dim, config.seconds_start),
                "seconds_total": NumberEncoder(config.cond_dim, config.seconds_total),
            }
        )

    def __getitem__(self, name: str) -> nn.Module:
        return self.conditioners[name]

    @property
    def predictor(self) -> RhythmPredictor:
        return self["semantic"].extractor  # type: ignore[return-value]


def pad(features: Sequence[Tensor], steps: int) -> Tensor:
    """Clips of [seconds, ...] padded with zeros to [clips, steps, ...]."""
    batch = features[0].new_zeros(len(features), steps, *features[0].shape[1:])
    for row, feature in zip(batch, features, strict=True):
        row[: len(feature)] = feature
    return batch
