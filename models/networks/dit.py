"""The diffusion transformer: from noisy latents, a timestep and conditions to a velocity (released arithmetic)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import CurveConfig, Emotion, GlobalCond, ModelConfig
from models.features.key import key_profiles
from models.networks.attention import Rotary, RotaryEmbedding, two_layers
from models.networks.conditions import Conditions, TokenSet
from models.networks.dit_block import SWITCH, Context, DiTBlock, Memories, Moment
from models.networks.guidance import Guided


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

    @property
    def blocks(self) -> Sequence[DiTBlock]:
        """The layers, by what they are."""
        return cast(Sequence[DiTBlock], self.layers)

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers that the blocks compute with; what is in front of them and behind has single precision."""
        return self.blocks[0].dtype

    def tokens(self, x: Tensor) -> Tensor:
        """Latents [batch, channels, frames] -> [batch, tokens, width]."""
        return self.project_in(patched(x, self.patch).transpose(1, 2))

    def latents(self, x: Tensor, frames: int) -> Tensor:
        """The way back, to [batch, channels, frames]."""
        return unpatched(self.project_out(x).transpose(1, 2), self.patch, frames)

    def moments(self, t: Tensor, global_cond: Tensor | None, above: bool | None = None) -> list[Moment]:
        """What each block makes of timesteps; arguments as `DiTBlock.moment`."""
        return [layer.moment(t, global_cond, above) for layer in self.blocks]

    def memories(self, context: Context, moments: Sequence[Moment] | None = None) -> list[Memories]:
        """Keys and values of each block; `moments` are needed where the blocks modulate the tokens."""
        found = []
        for number, layer in enumerate(self.blocks):
            if moments is not None:
                context = layer.modulated(context, moments[number])
            found.append(layer.memories(context))
        return found

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
        self.modulates_tokens = "preFiLM" in config.fusion
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
        return Guided(self, conditions, latents.shape[-1]).at(latents, t)

    def entered(self, latents: Tensor) -> Tensor:
        """Latents as tokens: [batch, tokens, width]."""
        return self.transformer.tokens(self.preprocess_conv(latents) + latents)

    def left(self, tokens: Tensor, frames: int) -> Tensor:
        """Tokens as a velocity: [batch, channels, frames]. Linear."""
        velocity = self.transformer.latents(tokens, frames)
        return self.postprocess_conv(velocity) + velocity

    def added(self, conditions: Conditions, frames: int) -> Tensor | None:
        """What curve and key add to the tokens at the input: [batch, tokens or 1, width].

        The key reaches the output by the residual path at once; as modulation alone it went unheard. No layer has a
        bias: guidance's null half, which is given neither, gets nothing.
        """
        parts = []
        if conditions.curve is not None:
            parts.append(self.curve_input(conditions.curve, frames))
        if conditions.key is not None:
            profiles = key_profiles().to(self.key_input.weight)
            parts.append(self.key_input(profiles[conditions.key])[:, None])
        return sum(parts[1:], parts[0]) if parts else None

    def instant(self, t: Tensor, global_cond: Tensor, above: bool | None = None) -> tuple[list[Moment], Tensor | None]:
        """What the network makes of timesteps [batch or 1]: each block's moment, and the token in front, as released.

        Args:
            above: as `DiTBlock.moment`.
        """
        vector = self.to_global_embed(global_cond) + self.to_timestep_embed(self.timestep_features(t))
        if self.prepends:
            return self.transformer.moments(t, None, above), vector[:, None]
        return self.transformer.moments(t, vector, above), None

    def context(self, conditions: Conditions, frames: int) -> Context:
        """The condition tokens, embedded, as the first block sees them."""
        semantic, rhythm, color = (
            TokenSet(self.to_cond_embed(s.tokens), s.mask)
            for s in (conditions.semantic, conditions.rhythm, conditions.color)
        )
        times = None
        if self.positions:
            steps = semantic.tokens.shape[1]
            times = self.transformer.times(frames, int(self.prepends), self.seconds, steps)
        emotion = color if self.emotion is Emotion.COLOR else rhythm
        return Context(emotion, semantic, rhythm, semantic.tokens.new_zeros(1, 1, semantic.tokens.shape[-1]), times)
