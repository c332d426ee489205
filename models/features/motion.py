"""Pace: how the picture moves and where it cuts, on the time axis of the latents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from models.features.rhythm_curve import pulses

Curve = npt.NDArray[np.float32]

NOMINAL_FPS = 25.0


def pace_curve(times: npt.ArrayLike, difference: npt.ArrayLike, cuts: npt.ArrayLike, rate: float, steps: int) -> Curve:
    """What the rhythm predictor sees of a picture's pace: [2, steps], step i for the time [i, i + 1) / rate.

    Channel 0 is motion: the inter-frame difference of a step, spread evenly over the time since the frame before so
    that it does not depend on the frame rate, as a logarithm of about 0 (still) to 1 (all changes at 25 frames a
    second). Channel 1 is cuts: pulses at their exact times.

    Args:
        times: [frames] seconds at which frames are shown, rising.
        difference: [frames] mean absolute gray difference to the frame before, 0..255.
        cuts: [cuts] seconds.
        rate: steps a second.
    """
    times, difference = np.asarray(times, np.float64), np.asarray(difference, np.float64)
    edges = np.arange(steps + 1) / rate
    changed = np.interp(edges, times, np.cumsum(difference)) if len(times) else np.zeros(steps + 1)
    motion = np.log1p(np.diff(changed) * rate / NOMINAL_FPS) / np.log(256)
    at = torch.from_numpy(np.array(cuts, np.float64).reshape(-1))
    return np.stack([motion, pulses(at, torch.ones_like(at), rate, steps).numpy()]).astype(np.float32)
