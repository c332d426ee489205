"""The diffusion transformer with hierarchical cross-attention (paper 3.3, figure 2; released arithmetic)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditions import Conditions, TokenSet
from models.config import CurveConfig, Emotion, GlobalCond, ModelConfig, Residual
from models.harmony import key_profiles
from models.transformer import (
    CrossAttention,
    FeedForward,
    LayerNorm,
    Rotary,
    RotaryEmbedding,
    SelfAttention,
    two_layers,
)

SWITCH = 0.2
"""Timestep of the hard switch: the semantic branch above it, the rhythm branch at and below."""


@dataclass(frozen=True)
class Context:
    """The token sets that a block attends to, one for each of its cross-attentions, and the times of all tokens.

    Attributes:
        global_cond: [batch, width] what modulates the block by adaLN; None where it is prepended instead.
        times: rotary positions of the DiT's tokens, and of the longest token set; None without positions.
    """

    emotion: TokenSet
    semantic: TokenSet
    rhythm: TokenSet
    global_cond: Tensor | None = None
    times: tuple[Rotary, Rotary] | None = None

    def times_of(self, tokens: TokenSet) -> tuple[Rotary, Rotary] | None:
        """Rotary positions for attention to a set, which may be shorter than the longest."""
        if self.times is None:
            return None
        here, (cos, sin) = self.times
        steps = tokens.tokens.shape[1]
        return here, (cos[:steps], sin[:steps])


class Film(nn.Module):
    """gamma = sigmoid(MLP(t)), beta = MLP(t) for both branches, from the raw timestep (paper 3.4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time = nn.Linear(1, 64)
        for branch in ("semantic", "rhythm"):
            for part in ("gamma", "beta"):
                self.add_module(f"{branch}_{part}", two_layers(nn.ReLU(), 64, 256, width))

    def forward(self, x: Tensor, t: Tensor, branch: str) -> Tensor:
        """Modulate `x` [batch, length, width] for timesteps `t` [batch]."""
        time = self.time(t[:, None])
        gamma = torch.sigmoid(self.get_submodule(f"{branch}_gamma")(time))
        beta = self.get_submodule(f"{branch}_beta")(time)
        return gamma[:, None] * x + beta[:, None]


class AdaLN(nn.Module):
    """Scale, shift and gate of self-attention and feed-forward from the global vector (DiT, arXiv 2212.09748)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, width // 4)
        self.project = nn.Linear(width // 4, 6 * width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, global_cond: Tensor) -> tuple[Tensor, ...]:
        """[batch, width] -> six of [batch, 1, width]; zero at the start of training, so every gate begins at 1."""
        return self.project(F.silu(self.narrow(F.silu(global_cond))))[:, None].chunk(6, dim=-1)


class DiTBlock(nn.Module):
    """Self-attention, emotion, then semantics and rhythm fused by the timestep, then feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, cond, head = config.width, config.cond_dim, config.head_width
        self.fusion, self.residual = config.fusion, config.residual
        self.modulates_tokens = "preFiLM" in self.fusion
        self.modulates_attention = self.fusion in ("FiLM", "FiLM_choose")
        if config.global_type is GlobalCond.ADALN:
            self.modulation = AdaLN(width)
        if config.conv_kernel:
            self.conv = nn.Conv1d(width, width, config.conv_kernel, padding=config.conv_kernel // 2, groups=width)
            nn.init.zeros_(self.conv.weight)
        self.pre_norm = LayerNorm(width)
        self.self_attn = SelfAttention(width, config.heads)
        self.emotion_norm = LayerNorm(width)
        self.emotion_attn = CrossAttention(width, cond, head)
        self.cross_norm = LayerNorm(width)
        self.semantic_attn = CrossAttention(width, cond, head)
        self.rhythm_attn = CrossAttention(width, cond, head)
        if self.modulates_tokens or self.modulates_attention:
            self.film = Film(cond if self.modulates_tokens else width)
        if "gate" in self.fusion:
            self.gate = two_layers(nn.SiLU(), 1, cond, 1)
        self.ff_norm = LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, t: Tensor, context: Context, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Context]:
        """`x` [batch, tokens, width] -> the same, and the context that the next block sees."""
        attend, feed = self._modulations(context)
        if hasattr(self, "conv"):
            x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        x = x + attend(self.pre_norm(x), lambda y: self.self_attn(y, rotary))
        x, normed = self._stream(x, self.emotion_norm(x))
        if self.fusion != "only_clip":
            x = x + self._attended(self.emotion_attn, normed, context.emotion, context)
            x, normed = self._stream(x, self.cross_norm(x))
        if self.modulates_tokens:
            context = self._modulated(context, t)
        x = x + self._fused(normed, t, context)
        return x + feed(self.ff_norm(x), self.ff), context

    def _modulations(self, context: Context) -> tuple[Modulation, Modulation]:
        """How self-attention and feed-forward are modulated: not at all as released, else by adaLN."""
        if context.global_cond is None:
            return _plain, _plain
        scale, shift, gate, ff_scale, ff_shift, ff_gate = self.modulation(context.global_cond)
        return _modulated_by(scale, shift, gate), _modulated_by(ff_scale, ff_shift, ff_gate)

    def _attended(self, attention: nn.Module, x: Tensor, tokens: TokenSet, context: Context) -> Tensor:
        return attention(x, tokens.tokens, tokens.mask, context.times_of(tokens))

    def _stream(self, x: Tensor, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Residual stream and attention input; the released code overwrites the stream itself with its norm."""
        return (normed if self.residual is Residual.RELEASED else x), normed

    def _modulated(self, context: Context, t: Tensor) -> Context:
        """preFiLM: the tokens themselves are modulated, and stay so: the modulation accumulates from block to block.

        The emotion layer's tokens are a copy that is never modulated, though they are rhythm tokens as released.
        """
        semantic, rhythm = context.semantic, context.rhythm
        return replace(
            context,
            semantic=TokenSet(self.film(semantic.tokens, t, "semantic"), semantic.mask),
            rhythm=TokenSet(self.film(rhythm.tokens, t, "rhythm"), rhythm.mask),
        )

    def _fused(self, x: Tensor, t: Tensor, context: Context) -> Tensor:
        semantic = self._attended(self.semantic_attn, x, context.semantic, context)
        if self.fusion in ("none", "only_clip"):
            return semantic
        rhythm = self._attended(self.rhythm_attn, x, context.rhythm, context)
        if self.modulates_attention:
            semantic, rhythm = self.film(semantic, t, "semantic"), self.film(rhythm, t, "rhythm")
        if self.fusion in ("FiLM_choose", "choose"):
            return torch.where((t > SWITCH)[:, None, None], semantic, rhythm)
        if self.fusion == "FiLM":
            return semantic + rhythm
        if "gate" in self.fusion:
            alpha = torch.sigmoid(self.gate(t[:, None]))[:, None]
            return alpha * semantic + (1 - alpha) * rhythm
        return (semantic + rhythm) / 2


Modulation = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
"""(normed input, layer) -> the layer's output, modulated before and after."""


def _plain(x: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
    return layer(x)


def _modulated_by(scale: Tensor, shift: Tensor, gate: Tensor) -> Modulation:
    return lambda x, layer: (1 + gate) * layer(x * (1 + scale) + shift)


class FourierFeatures(nn.Module):
    """Cosines and sines of the timestep at random frequencies: [batch] -> [batch, 256]."""

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features // 2, 1))

    def forward(self, t: Tensor) -> Tensor:
        angles = 2 * math.pi * t[:, None] @ self.weight.T
        return torch.cat((angles.cos(), angles.sin()), dim=-1)


class CurveInput(nn.Module):
    """The rhythm curve as an addition to the DiT's tokens; nothing where no channel is given."""

    def __init__(self, curve: CurveConfig, patch: int, width: int) -> None:
        super().__init__()
        self.stride, self.patch = curve.stride, patch
        self.spread = nn.Conv1d(2 * curve.channels * patch, width, 3, padding=1, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, curve: Tensor, frames: int) -> Tensor:
        """[batch, 2 * channels, steps] -> [batch, tokens, width] for so many latents."""
        x = self.spread(patched(curve.repeat_interleave(self.stride, dim=-1)[..., :frames], self.patch))
        return self.project(F.silu(x).transpose(1, 2))


def patched(x: Tensor, patch: int) -> Tensor:
    """[batch, channels, frames] -> [batch, channels * patch, tokens], the last patch filled up with zeros."""
    if patch == 1:
        return x
    x = F.pad(x, (0, -x.shape[-1] % patch))
    return x.unflatten(-1, (-1, patch)).transpose(2, 3).flatten(1, 2)


def unpatched(x: Tensor, patch: int, frames: int) -> Tensor:
    """The inverse of `patched`: [batch, channels * patch, tokens] -> [batch, channels, frames]."""
    if patch == 1:
        return x
    return x.unflatten(1, (-1, patch)).transpose(2, 3).flatten(2)[..., :frames]


class Transformer(nn.Module):
    """The blocks between the two projections."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch, self.frame_rate = config.patch, config.lengths.latent_rate
        self.project_in = nn.Linear(config.latent_channels * config.patch, config.width, bias=False)
        self.layers = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.project_out = nn.Linear(config.width, config.latent_channels * config.patch, bias=False)
        self.rotary_pos_emb = RotaryEmbedding(config.head_width)

    def forward(self, x: Tensor, added: Tensor | None, prepended: Tensor | None, t: Tensor, context: Context) -> Tensor:
        """`x` [batch, channels, frames] -> the same shape.

        Args:
            added: [batch, tokens, width] to the tokens of `x`.
            prepended: [batch, 1, width] a token in front of them.
        """
        frames = x.shape[-1]
        x = self.project_in(patched(x, self.patch).transpose(1, 2))
        if added is not None:
            x = x + added
        if prepended is not None:
            x = torch.cat((prepended, x), dim=1)
        rotary = self.rotary_pos_emb(x.shape[1])
        for layer in self.layers:
            x, context = layer(x, t, context, rotary)
        if prepended is not None:
            x = x[:, 1:]
        return unpatched(self.project_out(x).transpose(1, 2), self.patch, frames)

    def times(self, frames: int, prepended: int, seconds: int, steps: int) -> tuple[Rotary, Rotary]:
        """Rotary positions, counted in latents, of the tokens of `frames` latents and of the condition tokens.

        Both stand at their middle. The clock tokens behind the seconds, and the token in front, have no time: 0.
        """
        device = self.project_in.weight.device
        tokens = (torch.arange(-(-frames // self.patch), device=device) + 0.5) * self.patch
        here = torch.cat((tokens.new_zeros(prepended), tokens))
        there = torch.zeros(steps, device=device)
        there[:seconds] = (torch.arange(seconds, device=device) + 0.5) * self.frame_rate
        return self.rotary_pos_emb.at(here), self.rotary_pos_emb.at(there)


class DiT(nn.Module):
    """Velocity of noisy latents under conditions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, cond, channels = config.width, config.cond_dim, config.latent_channels
        self.emotion, self.positions, self.seconds = config.emotion, config.positions, config.steps
        self.prepends = config.global_type is GlobalCond.PREPEND
        self.switch = SWITCH if config.fusion in ("FiLM_choose", "choose") else None  # where the branches change
        self.timestep_features = FourierFeatures()
        self.to_timestep_embed = two_layers(nn.SiLU(), 256, width, width)
        self.to_cond_embed = two_layers(nn.SiLU(), cond, cond, cond, bias=False)
        self.to_global_embed = two_layers(nn.SiLU(), cond * len(config.global_ids), width, width, bias=False)
        self.transformer = Transformer(config)
        self.preprocess_conv = nn.Conv1d(channels, channels, 1, bias=False)
        self.postprocess_conv = nn.Conv1d(channels, channels, 1, bias=False)
        if config.curve is not None:
            self.curve_input = CurveInput(config.curve, config.patch, width)
        if config.key:
            self.key_input = nn.Linear(key_profiles().shape[1], width, bias=False)

    def forward(self, latents: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """`latents` [batch, channels, frames], `t` [batch] in [0, 1] -> velocity [batch, channels, frames]."""
        vector = self.to_global_embed(conditions.global_cond) + self.to_timestep_embed(self.timestep_features(t))
        context = self._context(conditions, latents.shape[-1])
        if not self.prepends:
            context = replace(context, global_cond=vector)
        x = self.preprocess_conv(latents) + latents
        x = self.transformer(
            x, self._added(conditions, latents.shape[-1]), vector[:, None] if self.prepends else None, t, context
        )
        return self.postprocess_conv(x) + x

    def guided(self, latents: Tensor, t: Tensor, conditions: Conditions, guidance: float) -> Tensor:
        """Classifier-free guidance: null + guidance * (conditioned - null), both halves in one batch."""
        if guidance == 1.0:
            return self(latents, t, conditions)
        both = self(torch.cat((latents, latents)), torch.cat((t, t)), conditions.with_null())
        conditioned, null = both.chunk(2)
        return null + guidance * (conditioned - null)

    def _added(self, conditions: Conditions, frames: int) -> Tensor | None:
        """What curve and key add to the tokens at the input: [batch, tokens or 1, width].

        The key reaches the output by the residual path at once; as modulation alone it went unheard.
        """
        parts = []
        if conditions.curve is not None:
            parts.append(self.curve_input(conditions.curve, frames))
        if conditions.key is not None:
            profiles = key_profiles().to(self.key_input.weight)
            parts.append(self.key_input(profiles[conditions.key])[:, None])
        return sum(parts[1:], parts[0]) if parts else None

    def _context(self, conditions: Conditions, frames: int) -> Context:
        """The condition tokens, embedded, as the first block sees them."""
        semantic, rhythm, color = (
            TokenSet(self.to_cond_embed(s.tokens), s.mask)
            for s in (conditions.semantic, conditions.rhythm, conditions.color)
        )
        times = None
        if self.positions:
            steps = semantic.tokens.shape[1]
            times = self.transformer.times(frames, int(self.prepends), self.seconds, steps)
        return Context(color if self.emotion is Emotion.COLOR else rhythm, semantic, rhythm, times=times)
