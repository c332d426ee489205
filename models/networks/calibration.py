"""Calibration: predicted rhythm curves are given the distribution of values that music has."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Calibration(nn.Module):
    """Maps the quantiles of predicted curves to those of music, channel by channel.

    A sampled curve is a little too loud between the beats and too weak on them, and a likeliest one much more so. The
    map is monotone: what was stronger stays stronger.
    """

    POINTS = 257

    predicted: Tensor
    measured: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("predicted", "measured"):  # until they are measured, the map changes nothing
            self.register_buffer(name, torch.linspace(-4, 4, self.POINTS).repeat(channels, 1))

    def forward(self, curve: Tensor) -> Tensor:
        """[clips, channels, steps] -> the same shape. Linear between quantiles, a shift outside of them."""
        values = curve.transpose(0, 1).flatten(1).contiguous()
        after = torch.searchsorted(self.predicted, values).clamp(1, self.POINTS - 1)
        low, high = self.predicted.gather(1, after - 1), self.predicted.gather(1, after)
        within = values.clamp(self.predicted[:, :1], self.predicted[:, -1:])
        share = ((within - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        mapped = torch.lerp(self.measured.gather(1, after - 1), self.measured.gather(1, after), share)
        return (mapped + values - within).unflatten(1, (len(curve), -1)).transpose(0, 1)

    def measure(self, predicted: Tensor, measured: Tensor) -> None:
        """Take the quantiles of predicted curves and of curves measured on music, [channels, values] each."""
        points = np.linspace(0, 1, self.POINTS)
        for buffer, values in ((self.predicted, predicted), (self.measured, measured)):
            # With numpy, because torch's own quantile takes no more than 16 million values.
            found = np.quantile(values.double().cpu().numpy(), points, axis=1)
            buffer.copy_(torch.from_numpy(found.T))
