"""Damage: how many frames of a video could not be read, from the times of its packets and of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEAR = 0.6
"""Distance between a packet and the nearest frame, in steps, up to which the packet was shown: two fields of one frame
lie half a step apart."""
STEADY_SHARE = 0.9
"""Share of equal steps from which the frame rate counts as constant."""


@dataclass(frozen=True)
class Damage:
    """Frames that could not be read.

    Attributes:
        frames_lost: number of frames.
        seconds_held: seconds in which an earlier frame is shown in their place.
    """

    frames_lost: int
    seconds_held: float


NO_DAMAGE = Damage(0, 0.0)


def lost_frames(times: Sequence[float], packet_times: Sequence[float], *, is_damaged: bool) -> Damage:
    """Returns how many frames are missing among those that were decoded.

    A packet at whose time no frame is shown is a lost frame. Where data are gone together with their packets, only the
    hole in a constant frame rate shows it; since cameras skip frames too, holes count only in a file about which the
    decoder complained.

    Args:
        times: times of the decoded frames in seconds, rising.
        packet_times: times of the packets in seconds, in any order.
        is_damaged: whether the decoder complained about the file's data.
    """
    shown, packets = np.unique(np.array(times, np.float64)), np.unique(np.array(packet_times, np.float64))
    if len(shown) < 2 or len(packets) < 2:
        return NO_DAMAGE
    # A low quantile, because lost frames make steps longer.
    step = float(np.quantile(np.diff(shown), 0.25))
    packets = packets[np.diff(packets, prepend=-np.inf) > NEAR * step]  # one of the two fields of a frame
    after = np.searchsorted(shown, packets).clip(1, len(shown) - 1)
    distance = np.minimum(np.abs(shown[after] - packets), np.abs(shown[after - 1] - packets))
    lost = int((distance > NEAR * step).sum())
    if is_damaged and len(packets) > 1:
        gaps = np.diff(packets) / step
        if (np.abs(gaps - 1) < 0.1).mean() >= STEADY_SHARE:
            lost += int((np.round(gaps) - 1).clip(0).sum())
    return Damage(lost, lost * step)
