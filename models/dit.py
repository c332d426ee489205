"""The diffusion transformer with hierarchical cross-attention (paper 3.3, figure 2; released arithmetic)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.config import Emotion, ModelConfig, Residual
from models.transformer import CrossAttention, FeedForward, LayerNorm, RotaryEmbedding, SelfAttention, two_layers

SWITCH = 0.2
"""Timestep of the hard switch: the semantic branch above it, the rhythm branch at and below."""


@dataclass(frozen=True)
class TokenSet:
    """Condition tokens [clips, steps, width] and their mask [clips, steps], true where a token counts."""

    tokens: Tensor
    mask: Tensor

    def with_null(self) -> TokenSet:
        """The set followed by its null half: zero tokens under the same mask."""
        return TokenSet(torch.cat((self.tokens, torch.zeros_like(self.tokens))), torch.cat((self.mask, self.mask)))


@dataclass(frozen=True)
class Conditions:
    """Everything that steers the DiT: three token sets and one global vector [clips, 3 * width] per clip."""

    semantic: TokenSet
    rhythm: TokenSet
    color: TokenSet
    global_cond: Tensor

    def __len__(self) -> int:
        return len(self.global_cond)

    def with_null(self) -> Conditions:
        """The conditions followed by their null half, as guidance wants them; the global vector is kept."""
        return self._with(TokenSet.with_null, torch.cat((self.global_cond, self.global_cond)))

    def rows(self, index: Tensor | slice) -> Conditions:
        """The conditions of some clips."""
        return self._with(lambda s: TokenSet(s.tokens[index], s.mask[index]), self.global_cond[index])

    @staticmethod
    def concatenated(parts: Sequence[Conditions]) -> Conditions:
        """The clips of several conditions, one after another."""

        def joined(sets: Iterable[TokenSet]) -> TokenSet:
            tokens, masks = zip(*((s.tokens, s.mask) for s in sets), strict=True)
            return TokenSet(torch.cat(tokens), torch.cat(masks))

        return Conditions(
            semantic=joined(part.semantic for part in parts),
            rhythm=joined(part.rhythm for part in parts),
            color=joined(part.color for part in parts),
            global_cond=torch.cat([part.global_cond for part in parts]),
        )

    def _with(self, change: Callable[[TokenSet], TokenSet], global_cond: Tensor) -> Conditions:
        return Conditions(change(self.semantic), change(self.rhythm), change(self.color), global_cond)


@dataclass(frozen=True)
class Context:
    """The token sets that a block attends to: one for each of its cross-attentions."""

    emotion: TokenSet
    semantic: TokenSet
    rhythm: TokenSet


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


class DiTBlock(nn.Module):
    """Self-attention, emotion, then semantics and rhythm fused by the timestep, then feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, cond, head = config.width, config.cond_dim, config.head_width
        self.fusion, self.residual = config.fusion, config.residual
        self.modulates_tokens = "preFiLM" in self.fusion
        self.modulates_attention = self.fusion in ("FiLM", "FiLM_choose")
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
        """`x` [batch, 1 + frames, width] -> the same, and the context that the next block sees."""
        x = x + self.self_attn(self.pre_norm(x), rotary)
        x, normed = self._stream(x, self.emotion_norm(x))
        if self.fusion != "only_clip":
            x = x + self.emotion_attn(normed, context.emotion.tokens, context.emotion.mask)
            x, normed = self._stream(x, self.cross_norm(x))
        if self.modulates_tokens:
            context = self._modulated(context, t)
        x = x + self._fused(normed, t, context)
        return x + self.ff(self.ff_norm(x)), context

    def _stream(self, x: Tensor, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Residual stream and attention input; the released code overwrites the stream itself with its norm."""
        return (normed if self.residual is Residual.RELEASED else x), normed

    def _modulated(self, context: Context, t: Tensor) -> Context:
        """preFiLM: the tokens themselves are modulated, and stay so: the modulation accumulates from block to block.

        The emotion layer's tokens are a copy that is never modulated, though they are rhythm tokens as released.
        """
        semantic, rhythm = context.semantic, context.rhythm
        return Context(
            context.emotion,
            TokenSet(self.film(semantic.tokens, t, "semantic"), semantic.mask),
            TokenSet(self.film(rhythm.tokens, t, "rhythm"), rhythm.mask),
        )

    def _fused(self, x: Tensor, t: Tensor, context: Context) -> Tensor:
        semantic = self.semantic_attn(x, context.semantic.tokens, context.semantic.mask)
        if self.fusion in ("none", "only_clip"):
            return semantic
        rhythm = self.rhythm_attn(x, context.rhythm.tokens, context.rhythm.mask)
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


class FourierFeatures(nn.Module):
    """Cosines and sines of the timestep at random frequencies: [batch] -> [batch, 256]."""

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features // 2, 1))

    def forward(self, t: Tensor) -> Tensor:
        angles = 2 * math.pi * t[:, None] @ self.weight.T
        return torch.cat((angles.cos(), angles.sin()), dim=-1)


class Transformer(nn.Module):
    """The blocks between the two projections."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project_in = nn.Linear(config.latent_channels, config.width, bias=False)
        self.layers = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.project_out = nn.Linear(config.width, config.latent_channels, bias=False)
        self.rotary_pos_emb = RotaryEmbedding(config.head_width)

    def forward(self, x: Tensor, prepended: Tensor, t: Tensor, context: Context) -> Tensor:
        x = torch.cat((prepended, self.project_in(x)), dim=1)
        rotary = self.rotary_pos_emb(x.shape[1])
        for layer in self.layers:
            x, context = layer(x, t, context, rotary)
        return self.project_out(x[:, prepended.shape[1] :])


class DiT(nn.Module):
    """Velocity of noisy latents under conditions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, cond, channels = config.width, config.cond_dim, config.latent_channels
        self.emotion = config.emotion
        self.timestep_features = FourierFeatures()
        self.to_timestep_embed = two_layers(nn.SiLU(), 256, width, width)
        self.to_cond_embed = two_layers(nn.SiLU(), cond, cond, cond, bias=False)
        self.to_global_embed = two_layers(nn.SiLU(), cond * len(config.global_ids), width, width, bias=False)
        self.transformer = Transformer(config)
        self.preprocess_conv = nn.Conv1d(channels, channels, 1, bias=False)
        self.postprocess_conv = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, latents: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """`latents` [batch, channels, frames], `t` [batch] in [0, 1] -> velocity [batch, channels, frames]."""
        prepended = self.to_global_embed(conditions.global_cond) + self.to_timestep_embed(self.timestep_features(t))
        x = (self.preprocess_conv(latents) + latents).transpose(1, 2)
        x = self.transformer(x, prepended[:, None], t, self._context(conditions)).transpose(1, 2)
        return self.postprocess_conv(x) + x

    def guided(self, latents: Tensor, t: Tensor, conditions: Conditions, guidance: float) -> Tensor:
        """Classifier-free guidance: null + guidance * (conditioned - null), both halves in one batch."""
        if guidance == 1.0:
            return self(latents, t, conditions)
        both = self(torch.cat((latents, latents)), torch.cat((t, t)), conditions.with_null())
        conditioned, null = both.chunk(2)
        return null + guidance * (conditioned - null)

    def _context(self, conditions: Conditions) -> Context:
        """The condition tokens, embedded, as the first block sees them."""
        semantic, rhythm, color = (
            TokenSet(self.to_cond_embed(s.tokens), s.mask)
            for s in (conditions.semantic, conditions.rhythm, conditions.color)
        )
        return Context(color if self.emotion is Emotion.COLOR else rhythm, semantic, rhythm)
