"""The diffusion transformer: from noisy latents, a timestep and conditions to a velocity (released arithmetic)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import CurveConfig, Emotion, GlobalCond, ModelConfig
from models.features.key import key_profiles
from models.networks.attention import Rotary, RotaryEmbedding, two_layers
from models.networks.conditions import Conditions, TokenSet
from models.networks.dit_block import (
    BRANCH_SWITCH_T,
    BlockKeyValues,
    ConditionTokens,
    DiTBlock,
    TimestepModulation,
)

SWITCH_TOLERANCE = 1e-6
"""Rounding error of a timestep in single precision: within it, a timestep counts as equal to the switch."""


class FourierFeatures(nn.Module):
    """Cosines and sines of the timestep at random frequencies: [batch] -> [batch, 256]."""

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features // 2, 1))

    def forward(self, t: Tensor) -> Tensor:
        angles = 2 * math.pi * t[:, None] @ self.weight.T
        return torch.cat((angles.cos(), angles.sin()), dim=-1)


class CurveInput(nn.Module):
    """Layers that add the rhythm curve to the DiT's tokens; they add nothing where no channel is given."""

    def __init__(self, curve: CurveConfig, patch: int, width: int) -> None:
        super().__init__()
        self.stride, self.patch = curve.stride, patch
        self.spread = nn.Conv1d(2 * curve.channels * patch, width, 3, padding=1, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, curve: Tensor, frames: int) -> Tensor:
        """[batch, 2 * channels, steps] -> [batch, tokens, width], as long as `frames` latents."""
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
    """The blocks and the projections around them, under the names of the released checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.project_in = nn.Linear(config.latent_channels * config.patch, config.width, bias=False)
        self.layers = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.project_out = nn.Linear(config.width, config.latent_channels * config.patch, bias=False)
        self.rotary_pos_emb = RotaryEmbedding(config.head_width)


@dataclass(frozen=True)
class TimestepEmbedding:
    """The parts of the network's input that depend on the timestep.

    Attributes:
        modulations: modulation of each block.
        prepended_token: [batch, 1, width], the token in front of the latents, as released; None with adaLN.
    """

    modulations: list[TimestepModulation]
    prepended_token: Tensor | None


@dataclass(frozen=True)
class StepCache:
    """Everything that no step of sampling changes, for one batch of clips. `DiT.precompute` makes it.

    Attributes:
        global_cond: [clips, width of the global vector].
        tokens: the embedded condition tokens.
        key_values: keys and values for each block; None where the blocks modulate the tokens themselves (preFiLM), so
            that keys and values change with the timestep.
        input_conditioning: [clips, tokens or 1, width], addition of curve and key to the tokens; None without either.
        rotary: positions of the tokens in self-attention.
        timesteps: embeddings of the timesteps that are known beforehand.
        num_conditioned: number of clips, where they are followed by guidance's null half; None without one.
    """

    global_cond: Tensor
    tokens: ConditionTokens
    key_values: list[BlockKeyValues] | None
    input_conditioning: Tensor | None
    rotary: Rotary
    timesteps: dict[float, TimestepEmbedding]
    num_conditioned: int | None = None


class DiT(nn.Module):
    """The diffusion transformer: velocity of noisy latents under conditions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, cond, channels = config.width, config.cond_dim, config.latent_channels
        self.emotion, self.positions, self.seconds = config.emotion, config.positions, config.steps
        self.patch, self.latent_rate = config.patch, config.lengths.latent_rate
        self.prepends = config.global_type is GlobalCond.PREPEND
        self.switch = BRANCH_SWITCH_T if config.fusion in ("FiLM_choose", "choose") else None
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

    @property
    def blocks(self) -> Sequence[DiTBlock]:
        """The blocks, with their type."""
        return cast(Sequence[DiTBlock], self.transformer.layers)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers that the blocks compute with; all layers around them have single precision."""
        return self.blocks[0].dtype

    def cast_blocks(self, dtype: torch.dtype) -> None:
        """Let the blocks compute with numbers of another type from now on."""
        for block in self.blocks:
            block.to_precision(dtype)

    def precompute(
        self, conditions: Conditions, frames: int, timesteps: Sequence[float] = (), *, null_half: bool = False
    ) -> StepCache:
        """Compute everything that no step of sampling changes.

        Args:
            conditions: conditions of the clips.
            frames: number of latents of each clip.
            timesteps: the timesteps of the steps to come. `forward` computes the embedding of others.
            null_half: whether `forward` is to compute guidance's null half as well.
        """
        tokens = self._condition_tokens(conditions, frames)
        cache = StepCache(
            global_cond=conditions.global_cond,
            tokens=tokens,
            key_values=None if self.modulates_tokens else [block.key_values(tokens) for block in self.blocks],
            input_conditioning=self._input_conditioning(conditions, frames),
            rotary=self.transformer.rotary_pos_emb(-(-frames // self.patch) + int(self.prepends)),
            timesteps={},
            num_conditioned=len(conditions) if null_half else None,
        )
        return replace(cache, timesteps={time: self._embed_timestep(time, cache) for time in timesteps})

    def forward(
        self,
        latents: Tensor,
        timestep: float | Tensor,
        cache: StepCache,
        combine: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Velocity of noisy latents.

        Args:
            latents: [clips, channels, frames].
            timestep: in [0, 1], the same for all clips, or one for each: [clips].
            cache: result of `precompute` for these clips.
            combine: turns the tokens of both halves [2 * clips, tokens, width], the conditioned half first, into
                [clips, tokens, width]; needed where the cache has a null half (`models.networks.guidance`).

        Returns:
            [clips, channels, frames].
        """
        embedding = cache.timesteps.get(timestep) if isinstance(timestep, float) else None
        embedding = embedding or self._embed_timestep(timestep, cache)
        key_values, modulations = cache.key_values, embedding.modulations
        if key_values is None:
            key_values, modulations = self._modulated_key_values(cache, modulations)

        x = self._embed_latents(latents)  # [clips, tokens, width]
        conditioned = x if cache.input_conditioning is None else x + cache.input_conditioning
        x = conditioned if cache.num_conditioned is None else torch.cat((conditioned, x))  # [rows, tokens, width]
        if embedding.prepended_token is not None:
            x = torch.cat((embedding.prepended_token, x), dim=1)  # [rows, 1 + tokens, width]

        x = x.to(self.dtype)
        for block, block_key_values, modulation in zip(self.blocks, key_values, modulations, strict=True):
            x = block(x, block_key_values, modulation, cache.rotary, cache.num_conditioned)
        x = x[:, int(embedding.prepended_token is not None) :].to(latents.dtype)

        # The output projection is linear: guidance combines its halves before it, so that it is computed once for both.
        x = x if combine is None else combine(x)  # [clips, tokens, width]
        return self._project_out(x, latents.shape[-1])

    def _embed_latents(self, latents: Tensor) -> Tensor:
        """Latents [clips, channels, frames] as tokens of `patch` latents each: [clips, tokens, width]."""
        x = self.preprocess_conv(latents) + latents
        return self.transformer.project_in(patched(x, self.patch).transpose(1, 2))

    def _project_out(self, tokens: Tensor, frames: int) -> Tensor:
        """Tokens [clips, tokens, width] as a velocity [clips, channels, frames]."""
        velocity = unpatched(self.transformer.project_out(tokens).transpose(1, 2), self.patch, frames)
        return self.postprocess_conv(velocity) + velocity

    def _input_conditioning(self, conditions: Conditions, frames: int) -> Tensor | None:
        """Addition of curve and key to the tokens: [clips, tokens or 1, width].

        The key reaches the output at once by the residual path; as modulation alone it had no effect. No layer has a
        bias, so guidance's null half, which has neither curve nor key, gets nothing.
        """
        parts = []
        if conditions.curve is not None:
            parts.append(self.curve_input(conditions.curve, frames))
        if conditions.key is not None:
            profiles = key_profiles().to(self.key_input.weight)
            parts.append(self.key_input(profiles[conditions.key])[:, None])
        return sum(parts[1:], parts[0]) if parts else None

    def _embed_timestep(self, timestep: float | Tensor, cache: StepCache) -> TimestepEmbedding:
        """Embedding of a timestep, the same for all clips, or of one for each clip [clips]."""
        above_switch = None
        if not isinstance(timestep, Tensor):
            above_switch = timestep > BRANCH_SWITCH_T + SWITCH_TOLERANCE
            timestep = cache.global_cond.new_full((1,), timestep)
        vector = self.to_global_embed(cache.global_cond) + self.to_timestep_embed(self.timestep_features(timestep))
        for_ada_ln = None if self.prepends else vector
        modulations = [block.timestep_modulation(timestep, for_ada_ln, above_switch) for block in self.blocks]
        prepended_token = vector[:, None] if self.prepends else None
        if cache.num_conditioned is None:
            return TimestepEmbedding(modulations, prepended_token)
        modulations = [modulation.for_both_halves() for modulation in modulations]
        if cache.key_values is not None:
            modulations = self._with_null_residuals(cache.key_values, modulations)
        return TimestepEmbedding(
            modulations, None if prepended_token is None else torch.cat((prepended_token, prepended_token))
        )

    def _modulated_key_values(
        self, cache: StepCache, modulations: list[TimestepModulation]
    ) -> tuple[list[BlockKeyValues], list[TimestepModulation]]:
        """Keys and values where each block modulates the tokens (preFiLM), and modulations with their null residual."""
        tokens, key_values = cache.tokens, list[BlockKeyValues]()
        for block, modulation in zip(self.blocks, modulations, strict=True):
            tokens = block.modulate_tokens(tokens, modulation)
            key_values.append(block.key_values(tokens))
        if cache.num_conditioned is not None:
            modulations = self._with_null_residuals(key_values, modulations)
        return key_values, modulations

    def _with_null_residuals(
        self, key_values: Sequence[BlockKeyValues], modulations: Sequence[TimestepModulation]
    ) -> list[TimestepModulation]:
        """The modulations with what guidance's null half adds in place of its cross-attention."""
        return [
            replace(modulation, null_residual=block.null_residual(block_key_values, modulation))
            for block, block_key_values, modulation in zip(self.blocks, key_values, modulations, strict=True)
        ]

    def _condition_tokens(self, conditions: Conditions, frames: int) -> ConditionTokens:
        """The condition tokens, embedded, as the first block sees them."""
        semantic, rhythm, color = (
            TokenSet(self.to_cond_embed(s.tokens), s.mask)
            for s in (conditions.semantic, conditions.rhythm, conditions.color)
        )
        return ConditionTokens(
            emotion=color if self.emotion is Emotion.COLOR else rhythm,
            semantic=semantic,
            rhythm=rhythm,
            null=semantic.tokens.new_zeros(1, 1, semantic.tokens.shape[-1]),
            positions=self._rotary_positions(frames, semantic.tokens.shape[1]) if self.positions else None,
        )

    def _rotary_positions(self, frames: int, steps: int) -> tuple[Rotary, Rotary]:
        """Rotary positions, counted in latents, of the tokens of `frames` latents and of `steps` condition tokens.

        Both stand at their middle. The two tokens behind the seconds, which hold start and length of the clip, and the
        prepended token have no time: their position is 0.
        """
        device = self.transformer.project_in.weight.device
        latents = (torch.arange(-(-frames // self.patch), device=device) + 0.5) * self.patch
        latents = torch.cat((latents.new_zeros(int(self.prepends)), latents))
        seconds = torch.zeros(steps, device=device)
        seconds[: self.seconds] = (torch.arange(self.seconds, device=device) + 0.5) * self.latent_rate
        return self.transformer.rotary_pos_emb.at(latents), self.transformer.rotary_pos_emb.at(seconds)
