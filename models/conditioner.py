"""From features of the picture to condition tokens: rhythm predictor and encoders (paper 3.2, as released)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import CurveConfig, ModelConfig, NumberRange, PredictorConfig, Rhythm
from models.groove import CHANNELS as GROOVE_CHANNELS
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


class CurvePredictor(nn.Module):
    """Predicts the rhythm curve at its own rate from semantic features and the picture's pace.

    The released predictor sees a second at a time; a hit that shall fall on a cut needs the cut's own time. With a
    groove it is also told where the beats fall, and says beforehand what tempo suits the picture.
    """

    GROUP = 2  # steps of the curve in one token

    def __init__(self, config: ModelConfig, curve: CurveConfig) -> None:
        super().__init__()
        width = config.predictor.width
        self.channels, self.seconds_per_step = curve.channels, 1 / config.curve_rate
        self.semantic_in = nn.Sequential(nn.LayerNorm(config.semantic_dim), nn.Linear(config.semantic_dim, width))
        groove = GROOVE_CHANNELS if curve.groove else 0
        self.pace_channels, self.groove_channels = curve.pace, groove
        self.pace_in = nn.Conv1d((curve.pace + groove) * self.GROUP, width, 5, padding=2)
        if curve.groove:
            pooled = config.semantic_dim + curve.pace
            self.tempo_out = nn.Sequential(
                nn.LayerNorm(pooled), nn.Linear(pooled, width), nn.GELU(), nn.Linear(width, 2)
            )
        self.class_embedding = nn.Embedding(3, width)
        self.transformer = PredictorTransformer(config.predictor, width, curve.channels * self.GROUP)

    def tempo(self, semantic: Tensor, pace: Tensor) -> tuple[Tensor, Tensor]:
        """What suits a picture: octaves above a moderate tempo, and strength of the groove, each [clips].

        Args:
            semantic: [clips, seconds, D], zeros behind the end.
            pace: [clips, pace channels, steps], zeros behind the end.
        """
        seconds = (semantic.abs().amax(2, keepdim=True) > 0).sum(1).clamp(min=1)
        means = semantic.sum(1) / seconds, pace.sum(2) * self.seconds_per_step / seconds
        octaves, strength = self.tempo_out(torch.cat(means, dim=1)).unbind(1)
        return octaves, strength

    def forward(self, semantic: Tensor, pace: Tensor, class_label: Tensor, groove: Tensor | None = None) -> Tensor:
        """[clips, seconds, D], [clips, pace channels, steps], [clips] -> [clips, channels, steps].

        `groove` [clips, 3, steps] is zero for clips without.
        """
        steps = pace.shape[-1]
        if self.groove_channels:
            none = pace.new_zeros(len(pace), self.groove_channels, steps)
            pace = torch.cat((pace, none if groove is None else groove), dim=1)
        pace = F.pad(pace, (0, -steps % self.GROUP))
        x = self.pace_in(pace.unflatten(-1, (-1, self.GROUP)).transpose(2, 3).flatten(1, 2)).transpose(1, 2)
        x = x + self._at_tokens(self.semantic_in(semantic), x.shape[1]) + self.class_embedding(class_label)[:, None]
        out = self.transformer(F.gelu(x)).unflatten(-1, (self.channels, self.GROUP))
        return out.permute(0, 2, 1, 3).flatten(2)[..., :steps]

    def _at_tokens(self, semantic: Tensor, tokens: int) -> Tensor:
        """Features of seconds, linear between their middles, at the middle of each token."""
        middles = (torch.arange(tokens, device=semantic.device) + 0.5) * self.GROUP * self.seconds_per_step - 0.5
        middles = middles.clamp(0, semantic.shape[1] - 1)
        before = middles.floor().long().clamp(max=max(semantic.shape[1] - 2, 0))
        after = (before + 1).clamp(max=semantic.shape[1] - 1)
        weight = (middles - before)[None, :, None].to(semantic.dtype)
        return torch.lerp(semantic[:, before], semantic[:, after], weight)


def tokens_of_curve(curve: Tensor, rate: float, steps: int) -> Tensor:
    """The 1 Hz rhythm tokens of a curve: the greatest onset strength of each second, [clips, steps, 1].

    Args:
        curve: [clips, channels, n], onset strength first, `rate` steps a second.
        steps: seconds of the window.
    """
    onset = curve[:, 0]
    second = ((torch.arange(onset.shape[1], device=onset.device) + 0.5) / rate).long().clamp(max=steps - 1)
    seconds = onset.new_full((len(onset), steps), -math.inf)
    seconds = seconds.scatter_reduce(1, second.expand_as(onset), onset, "amax")
    return seconds.masked_fill(seconds.isinf(), 0.0)[..., None]


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
        self.extractor = RhythmPredictor(config) if config.curve is None else CurvePredictor(config, config.curve)


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


class ModeReader(nn.Module):
    """Whether music for a picture is to be in major or in minor, from what the picture means and from its colors."""

    HIDDEN = 32

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.semantic_in = nn.Sequential(nn.LayerNorm(config.semantic_dim), nn.Linear(config.semantic_dim, self.HIDDEN))
        self.color_in = nn.Sequential(nn.LayerNorm(config.color_dim), nn.Linear(config.color_dim, self.HIDDEN))
        self.out = nn.Linear(self.HIDDEN, 1)

    def forward(self, semantic: Tensor, color: Tensor) -> Tensor:
        """Means over a picture's seconds [clips, D] and [clips, C] -> [clips], above 0 for major."""
        return self.out(F.gelu(self.semantic_in(semantic) + self.color_in(color)))[:, 0]


class Conditioner(nn.Module):
    """All condition encoders, named as in the released checkpoint."""

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
        return self["semantic"].extractor  # type: ignore[return-value]


def pad(features: Sequence[Tensor], steps: int) -> Tensor:
    """Clips of [seconds, ...] padded with zeros to [clips, steps, ...]."""
    batch = features[0].new_zeros(len(features), steps, *features[0].shape[1:])
    for row, feature in zip(batch, features, strict=True):
        row[: len(feature)] = feature
    return batch
