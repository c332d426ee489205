"""Samplers against distributions whose answer is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.dit import SWITCH
from models.sampler import alpha_sigma, ddim, timesteps


def gaussian_velocity(mean: float, deviation: float):
    """Exact velocity for data that is normal with this mean and deviation: v = alpha * noise - sigma * data."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = alpha_sigma(float(t[0]))
        variance = (alpha * deviation) ** 2 + sigma**2
        data = mean + alpha * deviation**2 / variance * (x - alpha * mean)
        noise = sigma / variance * (x - alpha * mean)
        return alpha * noise - sigma * data

    return velocity


def test_released_schedule() -> None:
    times = timesteps(250)
    assert (times[0], len(times)) == (1.0, 250)
    assert times[-1] == pytest.approx(1 / 250)
    assert int((torch.tensor(times) > SWITCH).sum()) == 200  # in the network's own precision


def test_one_step_from_pure_noise_gives_minus_the_velocity() -> None:
    noise = torch.randn(2, 3, 5)
    torch.testing.assert_close(ddim(lambda x, t: 2 * x, noise, 1), -2 * noise)


def test_ddim_carries_noise_to_the_data_distribution() -> None:
    noise = torch.randn(1, 1, 4000, dtype=torch.float64)
    latents = ddim(gaussian_velocity(3.0, 0.5), noise, 500)
    torch.testing.assert_close(latents, 3 + 0.5 * noise, atol=0.02, rtol=0)


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_are_positive(steps: int) -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        ddim(lambda x, t: x, torch.zeros(1, 1, 1), steps)


def test_alpha_sigma_lie_on_the_circle() -> None:
    for t in (0.0, 0.3, 1.0):
        alpha, sigma = alpha_sigma(t)
        assert math.isclose(alpha**2 + sigma**2, 1.0)
