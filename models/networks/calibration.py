"""Calibration: rhythm curves that a picture asks for, spread as those of music are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Calibration(nn.Module):
    """Channel by channel the quantiles of music's curves in place of those of what a predictor gives.

    A drawn curve is a little too loud between the strokes and too weak on them, and a likeliest one much more so. Order
    is kept: what was stronger stays so.
    """

    POINTS = 257

    predicted: Tensor
    measured: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("predicted", "measured"):  # until they are measured, nothing changes
            self.register_buffer(name, torch.linspace(-4, 4, self.POINTS).repeat(channels, 1))

    def forward(self, curve: Tensor) -> Tensor:
        """[clips, channels, steps] -> the same shape: straight lines between the quantiles, shifted outside."""
        values = curve.transpose(0, 1).flatten(1).contiguous()
        after = torch.searchsorted(self.predicted, values).clamp(1, self.POINTS - 1)
        low, high = self.predicted.gather(1, after - 1), self.predicted.gather(1, after)
        within = values.clamp(self.predicted[:, :1], self.predicted[:, -1:])
        share = ((within - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        spread = torch.lerp(self.measured.gather(1, after - 1), self.measured.gather(1, after), share)
        return (spread + values - within).unflatten(1, (len(curve), -1)).transpose(0, 1)

    def measure(self, predicted: Tensor, measured: Tensor) -> None:
        """Take the quantiles of curves [channels, values] as predicted, and as measured of the music."""
        points = np.linspace(0, 1, self.POINTS)
        for buffer, values in ((self.predicted, predicted), (self.measured, measured)):
            # By numpy: torch's own quantile takes no more than 16 million values.
            found = np.quantile(values.double().cpu().numpy(), points, axis=1)
            buffer.copy_(torch.from_numpy(found.T))
