"""The pace of a picture: how much it moves and where it cuts, on the time axis of the latents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float32]

NOMINAL_FPS = 25.0


def pace_curve(times: npt.ArrayLike, difference: npt.ArrayLike, cuts: npt.ArrayLike, rate: float, steps: int) -> Curve:
    """Returns the pace of a picture as the rhythm predictor reads it: [2, steps], step i covers [i, i + 1) / rate.

    Channel 0 is motion: the inter-frame difference within a step, as a logarithm from about 0 (a still picture) to 1
    (everything changes at 25 frames per second). The difference of a frame is spread evenly over the time since the
    frame before, so that motion does not depend on the frame rate. Channel 1 holds pulses at the exact times of cuts.

    Args:
        times: times in seconds at which frames are shown, [frames], rising.
        difference: mean absolute gray difference to the frame before, [frames], 0..255.
        cuts: times of the cuts in seconds, [cuts].
        rate: steps per second.
        steps: number of steps.
    """
    import torch

    from models.features.rhythm_curve import pulses

    times, difference = np.asarray(times, np.float64), np.asarray(difference, np.float64)
    edges = np.arange(steps + 1) / rate
    changed = np.interp(edges, times, np.cumsum(difference)) if len(times) else np.zeros(steps + 1)
    motion = np.log1p(np.diff(changed) * rate / NOMINAL_FPS) / np.log(256)
    cut_times = torch.from_numpy(np.array(cuts, np.float64).reshape(-1))
    return np.stack([motion, pulses(cut_times, torch.ones_like(cut_times), rate, steps).numpy()]).astype(np.float32)
