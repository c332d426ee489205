"""Samplers of the v-objective on the cosine schedule: alpha = cos(pi t / 2), sigma = sin(pi t / 2)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(latents [clips, channels, frames], t [clips]) -> velocity of the latents' shape."""


def alpha_sigma(t: float) -> tuple[float, float]:
    """Weights of the clean latents and of the noise at time `t` in [0, 1]."""
    return math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)


def timesteps(steps: int) -> list[float]:
    """The released schedule: `steps` times from 1 down, 0 left out."""
    return [float(t) for t in torch.linspace(1, 0, steps + 1)[:-1]]


def ddim(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
    """DDIM without added noise (arXiv 2010.02502, eta 0); the clean latents predicted in the last step.

    Args:
        velocity: the (guided) network.
        noise: [clips, channels, frames], standard normal.
        steps: network calls, at least 1.
    """
    if steps < 1:
        raise ValueError(f"sampling takes at least 1 step, got {steps}")
    times = timesteps(steps)
    x, denoised = noise, noise
    for i, time in enumerate(times):
        v = velocity(x, torch.full((len(x),), time, dtype=x.dtype, device=x.device))
        alpha, sigma = alpha_sigma(time)
        denoised, epsilon = alpha * x - sigma * v, sigma * x + alpha * v
        if i + 1 < len(times):
            alpha, sigma = alpha_sigma(times[i + 1])
            x = alpha * denoised + sigma * epsilon
    return denoised


SAMPLERS: dict[str, Callable[[Velocity, Tensor, int], Tensor]] = {"ddim": ddim}
