"""Loudness as broadcasters measure it (ITU-R BS.1770), for sound of any length."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from scipy.signal import sosfilt

Sound = npt.NDArray[np.float32]
"""Stereo sound, [2, samples]."""
_BLOCK, _HOP = 0.4, 0.1  # seconds


@functools.cache
def _weighting(sample_rate: int) -> npt.NDArray[np.float32]:
    """Returns the two filters of K-weighting: a shelf for the head, and a high-pass."""
    sections = []
    for gain, quality, hertz, is_shelf in (
        (3.999843853973347, 0.7071752369554196, 1681.974450955533, True),
        (0.0, 0.5003270373238773, 38.13547087602444, False),
    ):
        k = np.tan(np.pi * hertz / sample_rate)
        a0 = 1 + k / quality + k * k
        a = [1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
        if is_shelf:
            high = 10 ** (gain / 20)
            band = high**0.4996667741545416
            b = [
                (high + band * k / quality + k * k) / a0,
                2 * (k * k - high) / a0,
                (high - band * k / quality + k * k) / a0,
            ]
        else:
            b = [1.0, -2.0, 1.0]
        sections.append(b + a)
    return np.array(sections, np.float32)


def loudness(sound: Sound, sample_rate: int) -> float:
    """Returns the integrated loudness in LUFS; -70 for silence."""
    step = int(_HOP * sample_rate)
    weighted = sosfilt(_weighting(sample_rate), sound, axis=1)
    count = weighted.shape[1] // step
    if not count:
        return -70.0
    parts = np.square(weighted[:, : count * step]).reshape(2, count, step).mean(2).sum(0)
    wide = round(_BLOCK / _HOP)
    blocks = np.convolve(parts, np.ones(wide) / wide, "valid") if count >= wide else parts
    level = -0.691 + 10 * np.log10(np.maximum(blocks, 1e-12))
    loud = blocks[level > -70]
    if not len(loud):
        return -70.0
    gate = -0.691 + 10 * np.log10(loud.mean()) - 10
    kept = blocks[(level > -70) & (level > gate)]
    return float(-0.691 + 10 * np.log10(kept.mean()))
