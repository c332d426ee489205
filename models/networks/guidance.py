"""Classifier-free guidance: null + scale * (conditioned - null)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from models.networks.conditions import Conditions
from models.networks.dit import DiT


class GuidedVelocity:
    """The guided velocity of one batch of clips, for many steps.

    The condition tokens of the null half are zeros, and the projections have no bias, so its cross-attention is zero
    except for FiLM's bias (`DiTBlock.null_residual`), and is never computed. Both halves go through the rest of the
    network in one batch. `DiT.forward` calls `_combine` before the output projection, which is linear.

    The rhythm predictor has a guidance of its own: `models.networks.rhythm_planner.RhythmPlanner.sample`.

    Args:
        conditions: conditions of the clips.
        frames: number of latents of each clip.
        scale: guidance scale; 1 needs no null half.
        timesteps: the timesteps of the steps to come; for other ones, each call computes their embedding.
    """

    def __init__(
        self, dit: DiT, conditions: Conditions, frames: int, scale: float = 1.0, timesteps: Sequence[float] = ()
    ) -> None:
        self.dit, self.scale = dit, scale
        self.cache = dit.precompute(conditions, frames, timesteps, null_half=scale != 1.0)

    def __call__(self, latents: Tensor, timestep: float | Tensor) -> Tensor:
        """Velocity of `latents` [clips, channels, frames] at a timestep in [0, 1], or one for each clip [clips]."""
        return self.dit(latents, timestep, self.cache, None if self.scale == 1.0 else self._combine)

    def _combine(self, tokens: Tensor) -> Tensor:
        """[2 * clips, tokens, width], the conditioned half first -> [clips, tokens, width]."""
        conditioned, null = tokens.chunk(2)
        return null + self.scale * (conditioned - null)
