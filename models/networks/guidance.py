"""Classifier-free guidance, and all of a network's work that no latent changes, done once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.networks.conditions import Conditions
from models.networks.dit_block import SWITCH, Memories, Moment

if TYPE_CHECKING:
    from models.networks.dit import DiT

ROUNDING = 1e-6
"""Of a time in single precision: one that is meant to be the switch is not above it."""


class Guided:
    """Velocity of one batch of clips: null + guidance * (conditioned - null).

    The null half has tokens of zeros, and the projections have no bias: its cross-attention gives nothing but what FiLM
    makes of nothing, and is never computed. Both halves go through the rest in one batch. Keys and values of the
    condition tokens, and all that the blocks make of the timesteps, are made once; only where the tokens themselves are
    modulated (preFiLM) their keys and values change with time. Latents and velocity are in single precision, whatever
    the blocks compute with.

    Args:
        frames: latents of a clip.
        guidance: 1 needs no null half.
        times: of the steps to come. Others may be asked for too, and cost what these save.
    """

    def __init__(
        self, dit: DiT, conditions: Conditions, frames: int, guidance: float = 1.0, times: Sequence[float] = ()
    ) -> None:
        self.dit, self.guidance, self._global_cond = dit, guidance, conditions.global_cond
        self._heard = None if guidance == 1.0 else len(conditions)
        self._context, self._added = dit.context(conditions, frames), dit.added(conditions, frames)
        self._memories = None if dit.modulates_tokens else dit.transformer.memories(self._context)
        self._rotary = dit.transformer.rotary_pos_emb(-(-frames // dit.transformer.patch) + int(dit.prepends))
        self._instants = {time: self._instant(time) for time in times}

    def __call__(self, latents: Tensor, time: float) -> Tensor:
        """Velocity of `latents` [batch, channels, frames], all at one time in [0, 1]."""
        found = self._instants.get(time)
        return self._velocity(latents, *(self._instant(time) if found is None else found))

    def at(self, latents: Tensor, t: Tensor) -> Tensor:
        """The same for clips with times of their own, [batch]."""
        return self._velocity(latents, *self._halves(*self.dit.instant(t, self._global_cond)))

    def _instant(self, time: float) -> tuple[list[Moment], Tensor | None]:
        t = self._global_cond.new_full((1,), time)
        return self._halves(*self.dit.instant(t, self._global_cond, time > SWITCH + ROUNDING))

    def _halves(self, moments: list[Moment], front: Tensor | None) -> tuple[list[Moment], Tensor | None]:
        """What the network makes of a time, for guidance's null half, too."""
        if self._heard is None:
            return moments, front
        moments = [moment.doubled() for moment in moments]
        if self._memories is not None:
            moments = self._silenced(self._memories, moments)
        return moments, None if front is None else torch.cat((front, front))

    def _silenced(self, memories: Sequence[Memories], moments: list[Moment]) -> list[Moment]:
        """The moments with what the null half gets from the conditions."""
        return [
            replace(moment, silence=layer.silence(memory, moment))
            for layer, memory, moment in zip(self.dit.transformer.blocks, memories, moments, strict=True)
        ]

    def _velocity(self, latents: Tensor, moments: list[Moment], front: Tensor | None) -> Tensor:
        transformer, heard = self.dit.transformer, self._heard
        x = self.dit.entered(latents)
        given = x if self._added is None else x + self._added
        x = given if heard is None else torch.cat((given, x))
        if front is not None:
            x = torch.cat((front, x), dim=1)
        x = x.to(transformer.dtype)
        memories = self._memories
        if memories is None:
            memories = transformer.memories(self._context, moments)
            moments = moments if heard is None else self._silenced(memories, moments)
        for layer, memory, moment in zip(transformer.blocks, memories, moments, strict=True):
            x = layer(x, memory, moment, self._rotary, heard)
        x = x[:, int(front is not None) :].to(latents.dtype)
        if heard is not None:  # the way out is linear: once for both halves
            null = x[heard:]
            x = null + self.guidance * (x[:heard] - null)
        return self.dit.left(x, latents.shape[-1])
