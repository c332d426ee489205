"""Samplers of the v-objective on the cosine schedule: alpha = cos(pi t / 2), sigma = sin(pi t / 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
"""(latents [clips, channels, frames], time in [0, 1]) -> velocity of the latents' shape."""

CROWDING = (3.0, 2.0)
"""How closely the steps of `dpm` stand where the path from noise to music bends most: at its beginning and its end."""


def alpha_sigma(t: float) -> tuple[float, float]:
    """Weights of the clean latents and of the noise at time `t` in [0, 1]."""
    return math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)


def even_times(steps: int, switch: float | None = None) -> list[float]:
    """The released schedule: `steps` times from 1 down, 0 left out; wherever the switch is."""
    return [float(t) for t in torch.linspace(1, 0, steps + 1)[:-1]]


def crowded_times(steps: int, switch: float | None = None) -> list[float]:
    """`steps` times from 1 down, closest where they begin and where they end, 0 left out; the nearest at `switch`."""
    first, last = CROWDING
    times = [(1 - (i / steps) ** first) ** last for i in range(steps)]
    if switch is not None and steps > 1:
        times[min(range(1, steps), key=lambda i: abs(times[i] - switch))] = switch
    return times


def ddim(velocity: Velocity, noise: Tensor, times: Sequence[float], switch: float | None = None) -> Tensor:
    """DDIM without added noise (arXiv 2010.02502, eta 0), as released; the clean latents predicted in the last step.

    Args:
        velocity: the (guided) network.
        noise: [clips, channels, frames], standard normal.
        times: of the network's calls, from 1 down.
        switch: of no account: no step looks back over it.
    """
    x, denoised = noise, noise
    for i, time in enumerate(times):
        v = velocity(x, time)
        alpha, sigma = alpha_sigma(time)
        denoised, epsilon = alpha * x - sigma * v, sigma * x + alpha * v
        if i + 1 < len(times):
            alpha, sigma = alpha_sigma(times[i + 1])
            x = alpha * denoised + sigma * epsilon
    return denoised


def dpm(velocity: Velocity, noise: Tensor, times: Sequence[float], switch: float | None = None) -> Tensor:
    """DPM-Solver++ (arXiv 2211.01095) of third order, with what earlier steps predicted; arguments as `ddim`.

    A step solves the path exactly for the polynomial in lambda = log(alpha / sigma) through the clean latents that the
    last three calls predicted. Only the first steps and the last two are of lower order.

    Args:
        switch: time at which the network changes at once; if it is one of `times`, no step looks back over it.
    """
    x, denoised, past = noise, noise, list[tuple[float, Tensor]]()
    for left, time in zip(reversed(range(len(times))), times, strict=True):
        v = velocity(x, time)
        alpha, sigma = alpha_sigma(time)
        denoised = alpha * x - sigma * v
        if not left:
            break
        after = times[len(times) - left]
        new_alpha, new_sigma = alpha_sigma(after)
        if time == 1:  # all is noise, lambda is infinite
            x = new_alpha * denoised + new_sigma * noise
            continue
        past = [] if time == switch else past[-2:]
        past.append((_log_snr(time), denoised))
        # Towards the end lambda runs away: what is extrapolated far from three predictions is worse than from one.
        x = new_sigma / sigma * x + new_alpha * _integral(past[-left:], _log_snr(after))
    return denoised


def _integral(past: Sequence[tuple[float, Tensor]], end: float) -> Tensor:
    """exp(-end) times the integral of exp(l) p(l) from the last lambda to `end`.

    p is the polynomial through up to three pairs (lambda, prediction), in Newton's form.
    """
    (here, last), *earlier = reversed(past)
    h = end - here
    total = -math.expm1(-h) * last
    if not earlier:
        return total
    (before, second), *earliest = earlier
    gap, linear = here - before, h + math.expm1(-h)
    slope = (last - second) / gap
    total = total + linear * slope
    if earliest:
        ((first, third),) = earliest
        bend = (slope - (second - third) / (before - first)) / (here - first)
        total = total + (h * h - 2 * linear + gap * linear) * bend
    return total


def _log_snr(t: float) -> float:
    alpha, sigma = alpha_sigma(t)
    return math.log(alpha / sigma)


@dataclass(frozen=True)
class Sampler:
    """Times for a number of steps, and how to get from noise to latents by them."""

    times: Callable[[int, float | None], list[float]]
    solve: Callable[[Velocity, Tensor, Sequence[float], float | None], Tensor]

    def __call__(self, velocity: Velocity, noise: Tensor, steps: int, switch: float | None = None) -> Tensor:
        """Latents of the noise's shape, from so many calls of the network.

        Raises:
            ValueError: fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"sampling takes at least 1 step, got {steps}")
        return self.solve(velocity, noise, self.times(steps, switch), switch)


SAMPLERS = {"ddim": Sampler(even_times, ddim), "dpm": Sampler(crowded_times, dpm)}
