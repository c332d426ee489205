"""The mix: each part gets its level, its tone, its place between left and right, and its share of the room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from models.synthetic.music.production.loudness import Sound

_LOW_CORNER, _CORNER = 30.0, 90.0  # Hz below which parts have nothing but rumble
# Usual level in dB of each kind of part while it plays, its corner, and its send to the room in dB.
_KINDS = {
    "lead": (-19.0, _CORNER, -9.0),
    "counter": (-26.0, _CORNER, -8.0),
    "pad": (-28.5, _CORNER, -8.0),
    "voice": (-24.0, _CORNER, -8.0),
    "comp": (-23.5, _CORNER, -11.0),
    "arpeggio": (-23.0, _CORNER, -10.0),
    "sparkle": (-24.0, _CORNER, -5.0),
    "bass": (-21.5, _LOW_CORNER, -20.0),
    "walk": (-21.5, _LOW_CORNER, -18.0),
    "drone": (-26.5, _LOW_CORNER, -12.0),
    "drums": (-19.0, _LOW_CORNER, -14.0),
    "hits": (-20.0, _CORNER, -9.0),
    "rise": (-23.0, _LOW_CORNER, -8.0),
}
_HAAS = 0.013  # seconds between the sides of a part that is made wide


@dataclass(frozen=True)
class Channel:
    """How one part enters the mix.

    Attributes:
        kind: what it plays, see `models.synthetic.music.band.styles.base.Layer`.
        gain: dB beside what is usual for the kind.
        pan: place from -1 (left) to 1 (right).
        send: dB of its share of the room, beside what is usual.
        spread: how far it is spread to both sides, 0..1.
        dark: corner in Hz above which it is damped; 0 for none.
    """

    kind: str
    gain: float
    pan: float
    send: float
    spread: float
    dark: float


def mix(channels: list[tuple[Channel, Sound]], sample_rate: int) -> tuple[Sound, Sound]:
    """Returns the dry mix of some parts and what they send to the room, [2, samples] each."""
    shape = channels[0][1].shape
    buses = {corner: np.zeros((2, *shape), np.float32) for corner in (_LOW_CORNER, _CORNER)}
    for channel, sound in channels:
        level, corner, share = _KINDS[channel.kind]
        gain = level + channel.gain - active_level(sound, sample_rate)
        placed = _placed(_damped(sound, channel.dark, sample_rate), channel, gain, sample_rate)
        buses[corner][0] += placed
        placed *= np.float32(10 ** ((share + channel.send) / 20))
        buses[corner][1] += placed
    total = np.zeros((2, *shape), np.float32)
    for corner, bus in buses.items():
        if bus.any():
            total += _without_rumble(bus, corner, sample_rate)
    return total[0], total[1]


def active_level(sound: Sound, sample_rate: int) -> float:
    """Returns the level in dB of a part while it plays: blocks more than 30 dB below its loudest are left out."""
    step = sample_rate // 20
    count = sound.shape[1] // step
    blocks = np.square(sound[:, : count * step]).reshape(2, count, step).mean(2).sum(0)
    active = blocks[blocks > 1e-3 * blocks.max()]
    return float(10 * np.log10(active.mean() + 1e-12)) if len(active) else -120.0


def _without_rumble(bus: npt.NDArray[np.float32], corner: float, sample_rate: int) -> npt.NDArray[np.float32]:
    """Returns a bus without what lies below the range of its parts."""
    return _filtered(bus, butter(2, corner, "highpass", fs=sample_rate, output="sos"))


def _damped(sound: Sound, dark: float, sample_rate: int) -> Sound:
    """Returns a part that is damped above a corner."""
    return _filtered(sound, butter(1, dark, "lowpass", fs=sample_rate, output="sos")) if dark else sound


def _filtered(sound: npt.NDArray[np.float32], sections: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return np.asarray(sosfilt(sections.astype(np.float32), sound, axis=-1), np.float32)


def _placed(sound: Sound, channel: Channel, gain: float, sample_rate: int) -> Sound:
    """Returns a part at its place: balanced by loudness, and wide where its sides differ in time and sign."""
    angle = (1 + channel.pan) * np.pi / 4
    sides = 10 ** (gain / 20) * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])
    shared = 0.4 * min(abs(channel.pan), 1.0)  # what the far side gives to the near one
    placing = sides[:, None] * np.array([[1 - shared, shared], [shared, 1 - shared]])
    placed = placing.astype(np.float32) @ sound
    if channel.spread:
        delay = int(_HAAS * sample_rate)
        late = sound[:, : sound.shape[1] - delay].mean(0)
        for side, sign in enumerate((1, -1)):
            placed[side, delay:] += late * np.float32(sign * 0.8 * channel.spread * sides[side])
    return placed
