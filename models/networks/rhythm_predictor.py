"""Networks that predict the rhythm that suits a picture: per second (paper 3.2, as released), or as a curve."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import CurveConfig, ModelConfig, PredictorConfig
from models.features.beat_grid import CHANNELS as GROOVE_CHANNELS
from models.features.rhythm_curve import ENERGY_RANGE
from models.networks.attention import FeedForward, LayerNorm, RotaryEmbedding, SelfAttention, two_layers
from models.networks.calibration import Calibration

CURVE_CENTER, CURVE_SCALE = (0.55, 0.4, 0.0), (0.45, 0.6, 0.15)
"""Center and scale of the root of onset strength, of energy and of accents in composed music (accents are rare)."""
EPSILON = 1e-6
"""Constant that the released code adds to standard deviations."""


def standardize(x: Tensor) -> Tensor:
    """`x` [clips, ...] with mean 0 and standard deviation 1 for each clip, over all its values, padding included."""
    dims = tuple(range(1, x.ndim))
    return (x - x.mean(dims, keepdim=True)) / (x.std(dims, keepdim=True) + EPSILON)


class PredictorBlock(nn.Module):
    """A pre-norm transformer block."""

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
        x = standardize(semantic) + self.scene_embedding(scene_cut) + self.pseudo_linear(visual_beat[..., None])
        x = torch.cat((self.class_embedding(class_label)[:, None], x), dim=1)
        return self.transformer(x)[:, 1:]


class CurvePredictor(nn.Module):
    """Predicts the rhythm curve at its own rate from semantic features and the picture's pace.

    The released predictor sees one second at a time; a hit that is to fall on a cut needs the cut's own time. With a
    groove, the predictor also reads where the beats fall, and chooses beforehand what tempo suits the picture. If it
    samples its curves, it also reads a noisy curve and its timestep, and gives the velocity.
    """

    GROUP = 2  # steps of the curve in one token
    COSINES = 16  # features of the timestep of a noisy curve

    def __init__(self, config: ModelConfig, curve: CurveConfig) -> None:
        super().__init__()
        width = config.predictor.width
        self.channels, self.seconds_per_step = curve.channels, 1 / config.curve_rate
        if curve.semantic:
            self.semantic_in = nn.Sequential(nn.LayerNorm(config.semantic_dim), nn.Linear(config.semantic_dim, width))
        self.reads_semantic = curve.semantic
        groove = GROOVE_CHANNELS if curve.groove else 0
        self.pace_channels, self.groove_channels = curve.pace, groove
        noisy = curve.channels if curve.drawn else 0
        self.pace_in = nn.Conv1d((curve.pace + groove + noisy) * self.GROUP, width, 5, padding=2)
        if curve.drawn:
            self.time_in = two_layers(nn.SiLU(), self.COSINES, width, width)
        if curve.groove:
            pooled = config.semantic_dim + curve.pace
            self.tempo_out = nn.Sequential(
                nn.LayerNorm(pooled), nn.Linear(pooled, width), nn.GELU(), nn.Linear(width, 2)
            )
        self.class_embedding = nn.Embedding(3, width)
        self.transformer = PredictorTransformer(config.predictor, width, curve.channels * self.GROUP)
        self.calibration = Calibration(curve.channels) if curve.calibrated else None

    def tempo(self, semantic: Tensor, pace: Tensor) -> tuple[Tensor, Tensor]:
        """Tempo, in octaves above a moderate one, and strength of the groove that suits a picture, each [clips].

        Args:
            semantic: [clips, seconds, D], zeros after the end.
            pace: [clips, pace channels, steps], zeros after the end.
        """
        seconds = (semantic.abs().amax(2, keepdim=True) > 0).sum(1).clamp(min=1)
        means = semantic.sum(1) / seconds, pace.sum(2) * self.seconds_per_step / seconds
        octaves, strength = self.tempo_out(torch.cat(means, dim=1)).unbind(1)
        return octaves, strength

    def forward(
        self,
        semantic: Tensor,
        pace: Tensor,
        class_label: Tensor,
        groove: Tensor | None = None,
        noisy: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Rhythm curves, or velocities of noisy ones: [clips, channels, steps].

        Args:
            semantic: [clips, seconds, D]; without effect in a predictor that does not read them.
            pace: [clips, pace channels, steps].
            class_label: [clips].
            groove: [clips, 3, steps], zeros for clips without one.
            noisy: for a predictor that samples, noisy curves [clips, channels, steps], scaled as by
                `normalize_curve`, and their timesteps [clips] in [0, 1].
        """
        steps = pace.shape[-1]
        if self.groove_channels:
            none = pace.new_zeros(len(pace), self.groove_channels, steps)
            pace = torch.cat((pace, none if groove is None else groove), dim=1)
        if noisy is not None:
            pace = torch.cat((pace, noisy[0]), dim=1)
        pace = F.pad(pace, (0, -steps % self.GROUP))
        x = self.pace_in(pace.unflatten(-1, (-1, self.GROUP)).transpose(2, 3).flatten(1, 2)).transpose(1, 2)
        x = x + self.class_embedding(class_label)[:, None]
        if self.reads_semantic:
            x = x + self._at_tokens(self.semantic_in(semantic), x.shape[1])
        if noisy is not None:
            harmonics = torch.arange(self.COSINES, device=x.device, dtype=x.dtype) * math.pi
            x = x + self.time_in((noisy[1][:, None] * harmonics).cos())[:, None]
        out = self.transformer(F.gelu(x)).unflatten(-1, (self.channels, self.GROUP))
        return out.permute(0, 2, 1, 3).flatten(2)[..., :steps]

    def _at_tokens(self, semantic: Tensor, tokens: int) -> Tensor:
        """Features per second, interpolated linearly between the middles of seconds, at the middle of each token."""
        middles = (torch.arange(tokens, device=semantic.device) + 0.5) * self.GROUP * self.seconds_per_step - 0.5
        middles = middles.clamp(0, semantic.shape[1] - 1)
        before = middles.floor().long().clamp(max=max(semantic.shape[1] - 2, 0))
        after = (before + 1).clamp(max=semantic.shape[1] - 1)
        weight = (middles - before)[None, :, None].to(semantic.dtype)
        return torch.lerp(semantic[:, before], semantic[:, after], weight)


def normalize_curve(curve: Tensor) -> Tensor:
    """Rhythm curves [..., channels, steps] as a predictor samples them: the root of onset strength, all scaled near 0.

    A few onsets stand far above very many weak ones: without the root, noise of one size would hide the weak ones and
    not affect the strong ones.
    """
    center, scale = _center_and_scale(curve)
    return (torch.cat((curve[..., :1, :].clamp(min=0).sqrt(), curve[..., 1:, :]), dim=-2) - center) / scale


def denormalize_curve(curve: Tensor) -> Tensor:
    """The inverse of `normalize_curve`, in the ranges of `models.features.rhythm_curve.rhythm_curve`."""
    center, scale = _center_and_scale(curve)
    onsets, *others = (curve * scale + center).unbind(-2)
    limits = ((-ENERGY_RANGE, ENERGY_RANGE), (0.0, 1.0))
    kept = [other.clamp(*limit) for other, limit in zip(others, limits, strict=False)]
    return torch.stack((onsets.clamp(min=0).square(), *kept), dim=-2)


def _center_and_scale(curve: Tensor) -> tuple[Tensor, Tensor]:
    channels = curve.shape[-2]
    return curve.new_tensor(CURVE_CENTER[:channels])[:, None], curve.new_tensor(CURVE_SCALE[:channels])[:, None]
