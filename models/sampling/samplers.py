"""Samplers of the v-objective on the cosine schedule: alpha = cos(pi t / 2), sigma = sin(pi t / 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.config import ConfigError
from models.sampling.settings import sampler_of_record

Velocity = Callable[[Tensor, float], Tensor]
"""(latents [clips, channels, frames], time in [0, 1]) -> velocity of the latents' shape."""

WARP_EXPONENTS = (3.0, 2.0)
"""Exponents that place the steps of `dpmpp_3m` closest where the path from noise to music bends most: at both ends."""


def alpha_sigma(t: float) -> tuple[float, float]:
    """Weights of the clean latents and of the noise at time `t` in [0, 1]."""
    return math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)


def uniform_timesteps(steps: int, switch: float | None = None) -> list[float]:
    """The released schedule: `steps` equally spaced timesteps from 1 down, without 0. The switch does not change it."""
    return [float(t) for t in torch.linspace(1, 0, steps + 1)[:-1]]


def warped_timesteps(steps: int, switch: float | None = None) -> list[float]:
    """`steps` timesteps from 1 down, closest at both ends, without 0; the one nearest to `switch` is moved there."""
    first, last = WARP_EXPONENTS
    times = [(1 - (i / steps) ** first) ** last for i in range(steps)]
    if switch is not None and steps > 1:
        times[min(range(1, steps), key=lambda i: abs(times[i] - switch))] = switch
    return times


def ddim(velocity: Velocity, noise: Tensor, times: Sequence[float], switch: float | None = None) -> Tensor:
    """DDIM without added noise (arXiv 2010.02502, eta 0), as released; returns the last predicted clean latents.

    Args:
        velocity: the (guided) network.
        noise: [clips, channels, frames], standard normal.
        times: timesteps of the network's calls, from 1 down.
        switch: not used: no step looks back at an earlier one.
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


def dpmpp_3m(velocity: Velocity, noise: Tensor, times: Sequence[float], switch: float | None = None) -> Tensor:
    """DPM-Solver++ (arXiv 2211.01095), third order multistep; arguments as for `ddim`.

    A step is exact if the predicted clean latents are a polynomial in lambda = log(alpha / sigma); the polynomial goes
    through the predictions of the last three calls. Only the first steps and the last two are of lower order.

    Args:
        switch: timestep at which the network changes abruptly; if it is one of `times`, no step looks back beyond it.
    """
    x, denoised, past = noise, noise, list[tuple[float, Tensor]]()
    for remaining, time in zip(reversed(range(len(times))), times, strict=True):
        v = velocity(x, time)
        alpha, sigma = alpha_sigma(time)
        denoised = alpha * x - sigma * v
        if not remaining:
            break
        after = times[len(times) - remaining]
        new_alpha, new_sigma = alpha_sigma(after)
        if time == 1:  # pure noise: lambda is infinite
            x = new_alpha * denoised + new_sigma * noise
            continue
        past = [] if time == switch else past[-2:]
        past.append((_log_snr(time), denoised))
        # Lambda grows without bound at the end: extrapolating that far from three predictions is worse than from one.
        x = new_sigma / sigma * x + new_alpha * _integral(past[-remaining:], _log_snr(after))
    return denoised


def _integral(past: Sequence[tuple[float, Tensor]], end: float) -> Tensor:
    """Integral of exp(l) p(l) from the last lambda to `end`, times exp(-end).

    The polynomial p goes through up to three pairs (lambda, prediction), in Newton's form.
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
        curvature = (slope - (second - third) / (before - first)) / (here - first)
        total = total + (h * h - 2 * linear + gap * linear) * curvature
    return total


def _log_snr(t: float) -> float:
    """lambda = log(alpha / sigma)."""
    alpha, sigma = alpha_sigma(t)
    return math.log(alpha / sigma)


@dataclass(frozen=True)
class Sampler:
    """A sampler: its timesteps for a number of steps, and the solver that goes from noise to latents by them."""

    times: Callable[[int, float | None], list[float]]
    solve: Callable[[Velocity, Tensor, Sequence[float], float | None], Tensor]

    def __call__(self, velocity: Velocity, noise: Tensor, steps: int, switch: float | None = None) -> Tensor:
        """Latents of the noise's shape, from `steps` calls of the network.

        Raises:
            ValueError: fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"sampling takes at least 1 step, got {steps}")
        return self.solve(velocity, noise, self.times(steps, switch), switch)


SAMPLERS = {"ddim": Sampler(uniform_timesteps, ddim), "dpmpp_3m": Sampler(warped_timesteps, dpmpp_3m)}


def sampler_named(name: str) -> Sampler:
    """The sampler of a name, today's or an older one.

    Raises:
        ConfigError: there is no such sampler.
    """
    found = SAMPLERS.get(sampler_of_record(name))
    if found is None:
        raise ConfigError(f"expected a sampler of {', '.join(SAMPLERS)}, got {name!r}")
    return found
