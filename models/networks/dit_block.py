"""A block of the diffusion transformer: hierarchical cross-attention (paper 3.3, figure 2; released arithmetic).

What a block needs beside the latents comes in two parts, because neither changes with them: its memories, the keys and
values of the condition tokens, and its moment, whatever it makes of the timestep. Sampling makes both beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import GlobalCond, ModelConfig, Residual
from models.networks.attention import CrossAttention, FeedForward, LayerNorm, Memory, Rotary, SelfAttention, two_layers
from models.networks.conditions import TokenSet

MADE_ONCE = ("film", "gate", "modulation")
"""Layers whose work no latent changes: they cost next to nothing, and stay in single precision."""
SWITCH = 0.2
"""Timestep of the hard switch: the semantic branch above it, the rhythm branch at and below."""
BRANCHES = ("semantic", "rhythm")


@dataclass(frozen=True)
class Context:
    """The condition tokens as a block sees them.

    Attributes:
        emotion, semantic, rhythm: a set for each of its cross-attentions.
        null: [1, 1, cond] what all tokens of guidance's null half are alike: zeros, until they are modulated.
        times: rotary positions of the DiT's tokens, and of the longest token set; None without positions.
        nulls: the same by branch, once they are modulated.
    """

    emotion: TokenSet
    semantic: TokenSet
    rhythm: TokenSet
    null: Tensor
    times: tuple[Rotary, Rotary] | None = None
    nulls: dict[str, Tensor] = field(default_factory=dict)

    def of(self, branch: str) -> TokenSet:
        """The tokens of a branch."""
        return self.semantic if branch == "semantic" else self.rhythm

    def times_of(self, tokens: TokenSet) -> Rotary | None:
        """Rotary positions of a set, which may be shorter than the longest."""
        if self.times is None:
            return None
        cos, sin = self.times[1]
        steps = tokens.tokens.shape[1]
        return cos[:steps], sin[:steps]


@dataclass(frozen=True)
class Memories:
    """What the cross-attentions of one block look at.

    Attributes:
        emotion: of its emotion layer; None in a block without one.
        branches: by name, for as many as the block uses.
        silence: [1, 1, width] by name, what the null half hears; absent where it is nothing.
        here: rotary positions of the DiT's tokens.
    """

    emotion: Memory | None
    branches: dict[str, Memory]
    silence: dict[str, Tensor]
    here: Rotary | None


@dataclass(frozen=True)
class Moment:
    """What one block makes of a timestep.

    Attributes:
        modulation: six of [batch or 1, 1, width], of self-attention and feed-forward (adaLN); None as released.
        film: (gamma, beta), each [batch or 1, 1, width], by branch.
        alpha: [batch or 1, 1, 1], weight of the semantic branch.
        branches: those that are to be computed.
        above: [batch], where the timestep is above the switch, if that differs among clips.
        silence: [batch or 1, 1, width], what guidance's null half gets from semantics and rhythm; None for nothing.
    """

    modulation: tuple[Tensor, ...] | None
    film: dict[str, tuple[Tensor, Tensor]]
    alpha: Tensor | None
    branches: tuple[str, ...]
    above: Tensor | None = None
    silence: Tensor | None = None

    def doubled(self) -> Moment:
        """For guidance's null half, too, which has the same global vector."""
        if self.modulation is None or len(self.modulation[0]) == 1:
            return self
        return replace(self, modulation=tuple(torch.cat((part, part)) for part in self.modulation))


class Film(nn.Module):
    """gamma = sigmoid(MLP(t)), beta = MLP(t) for both branches, from the raw timestep (paper 3.4)."""

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
        """[batch, width] -> six of [batch, 1, width]; at the start of training every scale and gate is 1."""
        made = self.project(F.silu(self.narrow(F.silu(global_cond))))[:, None].chunk(6, dim=-1)
        scale, shift, gate, ff_scale, ff_shift, ff_gate = made
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
            self.film = Film(cond if self.modulates_tokens else width)
        if "gate" in self.fusion:
            self.gate = two_layers(nn.SiLU(), 1, cond, 1)
        self.ff_norm = LayerNorm(width)
        self.ff = FeedForward(width)

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers that it computes with."""
        return self.ff_norm.gamma.dtype

    def lower(self, dtype: torch.dtype) -> None:
        """Compute with such numbers from now on."""
        for name, layer in self.named_children():
            if name not in MADE_ONCE:
                layer.to(dtype)

    def moment(self, t: Tensor, global_cond: Tensor | None, above: bool | None = None) -> Moment:
        """What the block makes of timesteps `t` [batch], which are in single precision.

        Args:
            global_cond: [batch, width] with the timestep in it, for adaLN.
            above: whether all are above the switch, or none; None where they may differ.
        """
        branches = self.branches
        if self.switches and above is not None:
            branches = ("semantic",) if above else ("rhythm",)
        film = {branch: self.film(t, branch) for branch in branches} if hasattr(self, "film") else {}
        return Moment(
            modulation=None if global_cond is None else tuple(x.to(self.dtype) for x in self.modulation(global_cond)),
            film={branch: (gamma.to(self.dtype), beta.to(self.dtype)) for branch, (gamma, beta) in film.items()},
            alpha=torch.sigmoid(self.gate(t[:, None]))[:, None].to(self.dtype) if hasattr(self, "gate") else None,
            branches=branches,
            above=t > SWITCH if self.switches and above is None else None,
        )

    def modulated(self, context: Context, moment: Moment) -> Context:
        """preFiLM: the tokens themselves are modulated, and stay so: the modulation accumulates from block to block.

        The emotion layer's tokens are a copy that is never modulated, though they are rhythm tokens as released.
        """
        if not self.modulates_tokens:
            return context
        sets = {b: TokenSet(_filmed(context.of(b).tokens, moment, b), context.of(b).mask) for b in BRANCHES}
        nulls = {b: _filmed(context.nulls.get(b, context.null), moment, b) for b in BRANCHES}
        return replace(context, semantic=sets["semantic"], rhythm=sets["rhythm"], nulls=nulls)

    def memories(self, context: Context) -> Memories:
        """Keys and values of the tokens, `modulated` already where the block does that."""

        def of(attention: CrossAttention, tokens: TokenSet) -> Memory:
            return attention.memory(tokens.tokens, tokens.mask, context.times_of(tokens))

        return Memories(
            emotion=None if self.fusion == "only_clip" else of(self.emotion_attn, context.emotion),
            branches={branch: of(self._attention(branch), context.of(branch)) for branch in self.branches},
            silence={branch: self._attention(branch).of_one(token) for branch, token in context.nulls.items()},
            here=None if context.times is None else context.times[0],
        )

    def forward(
        self, x: Tensor, memories: Memories, moment: Moment, rotary: Rotary, heard: int | None = None
    ) -> Tensor:
        """`x` [batch, tokens, width] -> the same.

        Args:
            heard: how many of the batch hear the conditions; the others are guidance's null half. All if left out.
        """
        attend, feed = _modulations(moment.modulation)
        if hasattr(self, "conv"):
            x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        x = x + attend(self.pre_norm(x), lambda y: self.self_attn(y, rotary))
        x, normed = self._stream(x, self.emotion_norm(x))
        if memories.emotion is not None:
            x = _added(x, self.emotion_attn(normed[:heard], memories.emotion, memories.here))
            x, normed = self._stream(x, self.cross_norm(x))
        parts = {b: self._attention(b)(normed[:heard], memories.branches[b], memories.here) for b in moment.branches}
        x = _added(x, self._fused(parts, moment), moment.silence)
        return x + feed(self.ff_norm(x), self.ff)

    def _attention(self, branch: str) -> CrossAttention:
        return self.semantic_attn if branch == "semantic" else self.rhythm_attn

    def _stream(self, x: Tensor, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Residual stream and attention input; the released code overwrites the stream itself with its norm."""
        return (normed if self.residual is Residual.RELEASED else x), normed

    def silence(self, memories: Memories, moment: Moment) -> Tensor | None:
        """What the null half gets from semantics and rhythm, [batch or 1, 1, width]; None for nothing at all.

        Its tokens are zeros, so attention gives zeros, and only FiLM's beta is left; preFiLM gives tokens a value.
        """
        if self.modulates_attention:
            return self._fused({b: torch.zeros_like(moment.film[b][1]) for b in moment.branches}, moment)
        return self._fused(memories.silence, moment) if memories.silence else None

    def _fused(self, parts: dict[str, Tensor], moment: Moment) -> Tensor:
        """What the branches heard, [batch, tokens, width] each, as one."""
        if self.modulates_attention:
            parts = {branch: _filmed(part, moment, branch) for branch, part in parts.items()}
        if len(parts) == 1:
            return next(iter(parts.values()))
        semantic, rhythm = parts["semantic"], parts["rhythm"]
        if moment.above is not None:
            return torch.where(moment.above[:, None, None], semantic, rhythm)
        if self.fusion == "FiLM":
            return semantic + rhythm
        if moment.alpha is not None:
            return moment.alpha * semantic + (1 - moment.alpha) * rhythm
        return (semantic + rhythm) / 2


def _filmed(x: Tensor, moment: Moment, branch: str) -> Tensor:
    gamma, beta = moment.film[branch]
    return gamma * x + beta


def _added(x: Tensor, heard: Tensor, silence: Tensor | None = None) -> Tensor:
    """`heard` added to the first of the batch, and `silence`, if anything, to the others."""
    if len(heard) == len(x):
        return x + heard
    # In place: `x` is the block's own, and there are no gradients where there is a null half.
    x[: len(heard)] += heard
    if silence is not None:
        x[len(heard) :] += silence
    return x


Modulation = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
"""(normed input, layer) -> the layer's output, modulated before and after."""


def _modulations(six: tuple[Tensor, ...] | None) -> tuple[Modulation, Modulation]:
    """How self-attention and feed-forward are modulated: not at all as released, else by adaLN."""
    if six is None:
        return _plain, _plain
    scale, shift, gate, ff_scale, ff_shift, ff_gate = six
    return _modulated_by(scale, shift, gate), _modulated_by(ff_scale, ff_shift, ff_gate)


def _plain(x: Tensor, layer: Callable[[Tensor], Tensor]) -> Tensor:
    return layer(x)


def _modulated_by(scale: Tensor, shift: Tensor, gate: Tensor) -> Modulation:
    return lambda x, layer: gate * layer(x * scale + shift)
