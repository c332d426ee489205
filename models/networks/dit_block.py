"""A block of the diffusion transformer: hierarchical cross-attention (paper 3.3, figure 2; released arithmetic).

Beside the latents a block needs two things that no latent changes, so that sampling computes them beforehand: keys and
values of the condition tokens (`BlockKeyValues`), and the modulation by the timestep (`TimestepModulation`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import GlobalCond, ModelConfig, Residual
from models.networks.attention import (
    CrossAttention,
    FeedForward,
    KeyValues,
    LayerNorm,
    Rotary,
    SelfAttention,
    two_layers,
)
from models.networks.conditions import TokenSet

KEEP_FLOAT32 = ("film", "gate", "modulation")
"""Layers that depend on the timestep alone: they cost next to nothing and stay in single precision."""
BRANCH_SWITCH_T = 0.2
"""Timestep of the hard switch: the semantic branch is used above it, the rhythm branch at and below it."""
BRANCHES = ("semantic", "rhythm")


@dataclass(frozen=True)
class ConditionTokens:
    """The condition tokens as a block sees them.

    Attributes:
        emotion, semantic, rhythm: one token set for each cross-attention.
        null: [1, 1, cond_dim], the value of every token in guidance's null half: zeros, until tokens are modulated.
        positions: rotary positions of the DiT's tokens, and of the longest token set; None without positions.
        modulated_nulls: `null` for each branch after preFiLM has modulated the tokens; empty before.
    """

    emotion: TokenSet
    semantic: TokenSet
    rhythm: TokenSet
    null: Tensor
    positions: tuple[Rotary, Rotary] | None = None
    modulated_nulls: dict[str, Tensor] = field(default_factory=dict)

    def branch(self, name: str) -> TokenSet:
        """The token set of a branch."""
        return self.semantic if name == "semantic" else self.rhythm

    def positions_of(self, tokens: TokenSet) -> Rotary | None:
        """Rotary positions of a token set, which may be shorter than the longest one."""
        if self.positions is None:
            return None
        cos, sin = self.positions[1]
        steps = tokens.tokens.shape[1]
        return cos[:steps], sin[:steps]


@dataclass(frozen=True)
class BlockKeyValues:
    """Keys and values for the cross-attentions of one block.

    Attributes:
        emotion: for the emotion layer; None in a block without one.
        branches: by name, for each branch that the block uses.
        null_outputs: [1, 1, width] by name, output of a branch's attention in the null half; absent where it is zero.
        positions: rotary positions of the DiT's tokens.
    """

    emotion: KeyValues | None
    branches: dict[str, KeyValues]
    null_outputs: dict[str, Tensor]
    positions: Rotary | None


@dataclass(frozen=True)
class TimestepModulation:
    """Modulation of one block by a timestep.

    Attributes:
        ada_ln: six tensors [batch or 1, 1, width] for self-attention and feed-forward (adaLN); None as released.
        film: (gamma, beta), each [batch or 1, 1, width], by branch.
        alpha: [batch or 1, 1, 1], weight of the semantic branch in a gated block.
        branches: names of the branches that are to be computed.
        above_switch: [batch], whether a clip's timestep is above the switch, where that differs among clips.
        null_residual: [batch or 1, 1, width], addition of both branches in guidance's null half; None where it is zero.
    """

    ada_ln: tuple[Tensor, ...] | None
    film: dict[str, tuple[Tensor, Tensor]]
    alpha: Tensor | None
    branches: tuple[str, ...]
    above_switch: Tensor | None = None
    null_residual: Tensor | None = None

    def for_both_halves(self) -> TimestepModulation:
        """The same for a batch that is followed by guidance's null half, which has the same global vector."""
        if self.ada_ln is None or len(self.ada_ln[0]) == 1:
            return self
        return replace(self, ada_ln=tuple(torch.cat((part, part)) for part in self.ada_ln))


class FiLM(nn.Module):
    """gamma = sigmoid(MLP(t)) and beta = MLP(t) for both branches, from the raw timestep (paper 3.4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time = nn.Linear(1, 64)
        for branch in BRANCHES:
            for part in ("gamma", "beta"):
                self.add_module(f"{branch}_{part}", two_layers(nn.ReLU(), 64, 256, width))

    def forward(self, t: Tensor, branch: str) -> tuple[Tensor, Tensor]:
        """Gamma and beta [batch, 1, width] for timesteps `t` [batch]."""
        time = self.time(t[:, None])
        gamma = torch.sigmoid(self.get_submodule(f"{branch}_gamma")(time))
        beta = self.get_submodule(f"{branch}_beta")(time)
        return gamma[:, None], beta[:, None]


class AdaLN(nn.Module):
    """Scale, shift and gate of self-attention and feed-forward from the global vector (DiT, arXiv 2212.09748)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, width // 4)
        self.project = nn.Linear(width // 4, 6 * width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, global_cond: Tensor) -> tuple[Tensor, ...]:
        """[batch, width] -> six tensors [batch, 1, width]; at the start of training every scale and gate is 1."""
        parts = self.project(F.silu(self.narrow(F.silu(global_cond))))[:, None].chunk(6, dim=-1)
        scale, shift, gate, ff_scale, ff_shift, ff_gate = parts
        return 1 + scale, shift, 1 + gate, 1 + ff_scale, ff_shift, 1 + ff_gate


class DiTBlock(nn.Module):
    """Self-attention, emotion, then semantics and rhythm fused by the timestep, then feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, cond, head = config.width, config.cond_dim, config.head_width
        self.fusion, self.residual = config.fusion, config.residual
        self.modulates_tokens = "preFiLM" in self.fusion
        self.modulates_attention = self.fusion in ("FiLM", "FiLM_choose")
        self.switches = self.fusion in ("FiLM_choose", "choose")
        self.branches = ("semantic",) if self.fusion in ("none", "only_clip") else BRANCHES
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
            self.film = FiLM(cond if self.modulates_tokens else width)
        if "gate" in self.fusion:
            self.gate = two_layers(nn.SiLU(), 1, cond, 1)
        self.ff_norm = LayerNorm(width)
        self.ff = FeedForward(width)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers that the block computes with."""
        return self.ff_norm.gamma.dtype

    def to_precision(self, dtype: torch.dtype) -> None:
        """Let the block compute with numbers of another type from now on, but for `KEEP_FLOAT32`."""
        for name, layer in self.named_children():
            if name not in KEEP_FLOAT32:
                layer.to(dtype)

    def timestep_modulation(
        self, t: Tensor, global_cond: Tensor | None, above_switch: bool | None = None
    ) -> TimestepModulation:
        """Modulation of the block by timesteps `t` [batch], which are in single precision.

        Args:
            global_cond: [batch, width], the global vector with the timestep in it, for adaLN.
            above_switch: whether all timesteps are above the switch, or none is; None where they may differ.
        """
        branches = self.branches
        if self.switches and above_switch is not None:
            branches = ("semantic",) if above_switch else ("rhythm",)
        film = {branch: self.film(t, branch) for branch in branches} if hasattr(self, "film") else {}
        return TimestepModulation(
            ada_ln=None if global_cond is None else tuple(x.to(self.dtype) for x in self.modulation(global_cond)),
            film={branch: (gamma.to(self.dtype), beta.to(self.dtype)) for branch, (gamma, beta) in film.items()},
            alpha=torch.sigmoid(self.gate(t[:, None]))[:, None].to(self.dtype) if hasattr(self, "gate") else None,
            branches=branches,
            above_switch=t > BRANCH_SWITCH_T if self.switches and above_switch is None else None,
        )

    def modulate_tokens(self, tokens: ConditionTokens, modulation: TimestepModulation) -> ConditionTokens:
        """The condition tokens after this block's preFiLM; other blocks give them back as they are.

        Modulated tokens go to the next block, so the modulation accumulates. The emotion layer's tokens are a copy that
        is never modulated, though they are rhythm tokens as released.
        """
        if not self.modulates_tokens:
            return tokens
        sets = {
            b: TokenSet(_apply_film(tokens.branch(b).tokens, modulation, b), tokens.branch(b).mask) for b in BRANCHES
        }
        nulls = {b: _apply_film(tokens.modulated_nulls.get(b, tokens.null), modulation, b) for b in BRANCHES}
        return replace(tokens, semantic=sets["semantic"], rhythm=sets["rhythm"], modulated_nulls=nulls)

    def key_values(self, tokens: ConditionTokens) -> BlockKeyValues:
        """Keys and values of condition tokens; where the block modulates tokens, of modulated ones."""

        def of(attention: CrossAttention, token_set: TokenSet) -> KeyValues:
            return attention.key_values(token_set.tokens, token_set.mask, tokens.positions_of(token_set))

        return BlockKeyValues(
            emotion=None if self.fusion == "only_clip" else of(self.emotion_attn, tokens.emotion),
            branches={branch: of(self._attention(branch), tokens.branch(branch)) for branch in self.branches},
            null_outputs={b: self._attention(b).constant_output(null) for b, null in tokens.modulated_nulls.items()},
            positions=None if tokens.positions is None else tokens.positions[0],
        )

    def null_residual(self, key_values: BlockKeyValues, modulation: TimestepModulation) -> Tensor | None:
        """Addition of both branches in guidance's null half, [batch or 1, 1, width]; None where it is zero.

        Its tokens are zeros, so attention gives zeros and only FiLM's beta is left; preFiLM gives the tokens a value.
        """
        if self.modulates_attention:
            return self._fuse({b: torch.zeros_like(modulation.film[b][1]) for b in modulation.branches}, modulation)
        return self._fuse(key_values.null_outputs, modulation) if key_values.null_outputs else None

    def forward(
        self,
        x: Tensor,
        key_values: BlockKeyValues,
        modulation: TimestepModulation,
        rotary: Rotary,
        num_conditioned: int | None = None,
    ) -> Tensor:
        """`x` [batch, tokens, width] -> the same shape.

        Args:
            rotary: positions of the tokens in self-attention.
            num_conditioned: how many of the batch, from the first, attend to the conditions; the others are guidance's
                null half. All of them if left out.
        """
        attend, feed = _ada_ln_layers(modulation.ada_ln)
        if hasattr(self, "conv"):
            x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        x = x + attend(self.pre_norm(x), lambda y: self.self_attn(y, rotary))
        x, normed = self._residual_stream(x, self.emotion_norm(x))
        if key_values.emotion is not None:
            x = _add(x, self.emotion_attn(normed[:num_conditioned], key_values.emotion, key_values.positions))
            x, normed = self._residual_stream(x, self.cross_norm(x))
        outputs = {
            b: self._attention(b)(normed[:num_conditioned], key_values.branches[b], key_values.positions)
            for b in modulation.branches
        }
        x = _add(x, self._fuse(outputs, modulation), modulation.null_residual)
        return x + feed(self.ff_norm(x), self.ff)

    def _attention(self, branch: str) -> CrossAttention:
        return self.semantic_attn if branch == "semantic" else self.rhythm_attn

    def _residual_stream(self, x: Tensor, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Residual stream and attention input; the released code overwrites the stream itself with its norm."""
        return (normed if self.residual is Residual.RELEASED else x), normed

    def _fuse(self, outputs: dict[str, Tensor], modulation: TimestepModulation) -> Tensor:
        """The outputs of the branches, [batch, tokens, width] each, as one."""
        if self.modulates_attention:
            outputs = {branch: _apply_film(output, modulation, branch) for branch, output in outputs.items()}
        if len(outputs) == 1:
            return next(iter(outputs.values()))
        semantic, rhythm = outputs["semantic"], outputs["rhythm"]
        if modulation.above_switch is not None:
            return torch.where(modulation.above_switch[:, None, None], semantic, rhythm)
        if self.fusion == "FiLM":
            return semantic + rhythm
        if modulation.alpha is not None:
            return modulation.alpha * semantic + (1 - modulation.alpha) * rhythm
        return (semantic + rhythm) / 2


def _apply_film(x: Tensor, modulation: TimestepModulation, branch: str) -> Tensor:
    gamma, beta = modulation.film[branch]
    return gamma * x + beta


def _add(x: Tensor, conditioned: Tensor, null_residual: Tensor | None = None) -> Tensor:
    """`x` with `conditioned` added to the first of its batch, and `null_residual`, if there is one, to the others."""
    if len(conditioned) == len(x):
        return x + conditioned
    # In place: `x` is the block's own, and there are no gradients where there is a null half.
    x[: len(conditioned)] += conditioned
    if null_residual is not None:
        x[len(conditioned) :] += null_residual
    return x


ModulatedLayer = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
"""(normalized input, layer) -> output of the layer, modulated before and after."""


def _ada_ln_layers(ada_ln: tuple[Tensor, ...] | None) -> tuple[ModulatedLayer, ModulatedLayer]:
    """How self-attention and feed-forward are modulated: not at all as released, else by adaLN."""
    if ada_ln is None:
        return _plain, _plain
    scale, shift, gate, ff_scale, ff_shift, ff_gate = ada_ln
    return _modulated_by(scale, shift, gate), _modulated_by(ff_scale, ff_shift, ff_gate)


def _plain(x: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
    return layer(x)


def _modulated_by(scale: Tensor, shift: Tensor, gate: Tensor) -> ModulatedLayer:
    return lambda x, layer: gate * layer(x * scale + shift)
