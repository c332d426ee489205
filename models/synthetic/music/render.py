"""Rendering a piece: notes and strokes are added to one track per instrument, and tracks are panned by loudness."""

from __future__ import annotations

import numpy as np

from models.synthetic.music.drums import PANS, drum
from models.synthetic.music.piece import Piece
from models.synthetic.music.tones import TIMBRES, Samples, tone

PEAK = 0.9
_FADE = 0.25  # seconds of the fade at the end
_REFLECTIONS = ((0.019, 0.13), (0.037, 0.10), (0.061, 0.07))  # delay in seconds and gain, as in a small room
_LOW = frozenset({"sub", "upright", "finger", "acid"})


def render(piece: Piece, sample_rate: int = 44100) -> Samples:
    """Returns the sound of a piece in stereo, [2, round(duration * sample_rate)], with a peak of 0.9.

    The more energy a piece has, the more its loudness is compressed.
    """
    count = round(piece.duration * sample_rate)
    tracks = _tracks(piece, count, sample_rate)
    stereo = np.zeros((2, count), np.float32)
    room = np.zeros(count, np.float32)
    for name, track in tracks.items():
        pan = PANS.get(name.removeprefix("drum:"), 0.0) if name.startswith("drum:") else _pan(name)
        angle = (1 + pan) * np.pi / 4
        for side, share in enumerate((np.cos(angle), np.sin(angle))):
            stereo[side] += track * np.float32(share)
        if not name.startswith("drum:") and name not in _LOW:
            room += track
    for delay, gain in _REFLECTIONS:
        shift = int(delay * sample_rate)
        stereo[:, shift:] += np.float32(gain) * room[: count - shift]
    drive = np.float32((0.6 + 1.2 * piece.mood.energy) / _level(stereo))
    np.tanh(stereo * drive, out=stereo)
    fade = min(int(_FADE * sample_rate), count)
    stereo[:, count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return stereo * np.float32(PEAK / max(float(np.abs(stereo).max()), 1e-6))


def _tracks(piece: Piece, count: int, sample_rate: int) -> dict[str, Samples]:
    """Returns the mono sound [samples] of every instrument and drum."""
    tracks: dict[str, Samples] = {}
    brightness = min(int(3 * (0.75 * piece.mood.warmth + 0.25 * piece.mood.energy)), 2)
    for note in piece.notes:
        is_accent = note.instrument.startswith("stab:")
        name = note.instrument.removeprefix("stab:")
        timbre = TIMBRES[name]
        sound = tone(name, note.pitch, brightness, sample_rate)
        start, release = round(note.onset * sample_rate), int(timbre.release * sample_rate)
        held = int(note.duration * sample_rate)
        length = min(held + release, len(sound), count - start)
        if length <= 0:
            continue
        part = sound[:length] * np.float32(note.velocity * timbre.gain * (1.3 if is_accent else 1.0))
        fall = min(release, length)  # a tone may be shorter than its note
        part[length - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
        track = tracks.setdefault(note.instrument, np.zeros(count, np.float32))
        track[start : start + length] += part
    for hit in piece.hits:
        sound = drum(piece.kit, hit.drum, sample_rate)
        start = round(hit.onset * sample_rate)
        length = min(len(sound), count - start)
        track = tracks.setdefault("drum:" + hit.drum, np.zeros(count, np.float32))
        track[start : start + length] += sound[:length] * np.float32(hit.velocity)
    return tracks


def _pan(instrument: str) -> float:
    return 0.0 if instrument.startswith("stab:") else TIMBRES[instrument].pan


def _level(stereo: Samples) -> float:
    """Returns a measure of the sound's loudness: 2.5 times the upper decile of its levels over tenths of a second."""
    blocks = stereo[:, : stereo.shape[1] // 4096 * 4096].reshape(2, -1, 4096)
    levels = np.sqrt(np.mean(blocks**2, axis=(0, 2)))
    return max(float(np.quantile(levels, 0.9)) * 2.5, 1e-6)
