"""Samplers against distributions whose answer is known in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.networks.dit_block import BRANCH_SWITCH_T
from models.sampling.samplers import (
    SAMPLERS,
    Sampler,
    Velocity,
    _integral,
    alpha_sigma,
    uniform_timesteps,
    warped_timesteps,
)


def gaussian_velocity(mean: float, deviation: float):
    """Exact velocity for data that is normal with this mean and deviation: v = alpha * noise - sigma * data."""

    def velocity(x: Tensor, t: float) -> Tensor:
        alpha, sigma = alpha_sigma(t)
        variance = (alpha * deviation) ** 2 + sigma**2
        data = mean + alpha * deviation**2 / variance * (x - alpha * mean)
        noise = sigma / variance * (x - alpha * mean)
        return alpha * noise - sigma * data

    return velocity


def test_released_schedule() -> None:
    times = uniform_timesteps(250)
    assert (times[0], len(times)) == (1.0, 250)
    assert times[-1] == pytest.approx(1 / 250)
    assert int((torch.tensor(times) > BRANCH_SWITCH_T).sum()) == 200  # in the network's own precision


def test_one_step_from_pure_noise_gives_minus_the_velocity() -> None:
    noise = torch.randn(2, 3, 5)
    torch.testing.assert_close(SAMPLERS["ddim"](lambda x, t: 2 * x, noise, 1), -2 * noise)


def test_ddim_carries_noise_to_the_data_distribution() -> None:
    noise = torch.randn(1, 1, 4000, dtype=torch.float64)
    latents = SAMPLERS["ddim"](gaussian_velocity(3.0, 0.5), noise, 500)
    torch.testing.assert_close(latents, 3 + 0.5 * noise, atol=0.02, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS.values())
@pytest.mark.parametrize("steps", [0, -3])
def test_steps_are_positive(sampler, steps: int) -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        sampler(lambda x, t: x, torch.zeros(1, 1, 1), steps)


@given(st.integers(2, 300), st.one_of(st.none(), st.floats(0.01, 0.99)))
def test_crowded_times_fall_from_1_and_meet_the_switch(steps: int, switch: float | None) -> None:
    times = warped_timesteps(steps, switch)
    assert len(times) == steps
    assert times[0] == 1
    assert all(before > after > 0 for before, after in itertools.pairwise(times))
    assert switch is None or switch in times


def error(sampler: Sampler, velocity: Velocity, steps: int, wanted: Tensor, switch: float | None = None) -> float:
    noise = torch.linspace(-2, 2, 101, dtype=torch.float64)[None, None]
    return float((sampler(velocity, noise, steps, switch) - wanted).square().mean().sqrt())


def test_dpm_needs_far_fewer_steps_than_ddim() -> None:
    wanted = 3 + 0.5 * torch.linspace(-2, 2, 101, dtype=torch.float64)[None, None]
    exact = gaussian_velocity(3.0, 0.5)
    slow = error(SAMPLERS["ddim"], exact, 250, wanted)
    assert error(SAMPLERS["dpmpp_3m"], exact, 50, wanted) < slow
    assert error(SAMPLERS["dpmpp_3m"], exact, 100, wanted) < slow / 4


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_dpm_calls_the_network_once_a_step(steps: int) -> None:
    called: list[float] = []

    def velocity(x: Tensor, t: float) -> Tensor:
        called.append(t)
        return gaussian_velocity(1.0, 0.5)(x, t)

    assert torch.isfinite(SAMPLERS["dpmpp_3m"](velocity, torch.randn(2, 3, 5), steps)).all()
    assert called == pytest.approx(warped_timesteps(steps))


def test_dpm_is_exact_for_predictions_that_are_quadratic_in_lambda() -> None:
    """Beside the first steps, whose lambda is infinite or stands alone."""
    times = [0.9, 0.8, 0.65, 0.5]
    logs = [math.log(alpha / sigma) for alpha, sigma in map(alpha_sigma, times)]

    def predicted(log: Tensor | float) -> Tensor | float:
        return 2 - 0.7 * log + 0.3 * log * log

    past = [(log, torch.tensor(predicted(log), dtype=torch.float64)) for log in logs[:3]]
    grid = torch.linspace(logs[2], logs[3], 20001, dtype=torch.float64)
    wanted = torch.trapezoid((grid - logs[3]).exp() * predicted(grid), grid)
    torch.testing.assert_close(_integral(past, logs[3]), wanted, atol=1e-7, rtol=0)


def test_no_step_looks_back_over_the_switch() -> None:
    """A network that changes at once: with the switch told, the change costs no accuracy."""
    above, below = gaussian_velocity(3.0, 0.5), gaussian_velocity(-1.0, 0.8)

    def velocity(x: Tensor, t: float) -> Tensor:
        return above(x, t) if t > BRANCH_SWITCH_T else below(x, t)

    noise = torch.linspace(-2, 2, 101, dtype=torch.float64)[None, None]
    wanted = SAMPLERS["dpmpp_3m"](velocity, noise, 4000, BRANCH_SWITCH_T)
    told, untold = (error(SAMPLERS["dpmpp_3m"], velocity, 100, wanted, switch) for switch in (BRANCH_SWITCH_T, None))
    assert told < error(SAMPLERS["ddim"], velocity, 250, wanted)
    assert told < untold / 2


def test_alpha_sigma_lie_on_the_circle() -> None:
    for t in (0.0, 0.3, 1.0):
        alpha, sigma = alpha_sigma(t)
        assert math.isclose(alpha**2 + sigma**2, 1.0)
