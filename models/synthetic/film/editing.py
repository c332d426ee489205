"""Editing a film to a piece of oscillators: cuts lie on accents, motion and colors follow loudness and mood."""

from __future__ import annotations

import itertools

import numpy as np

from models.synthetic.film.palette import palette
from models.synthetic.film.people.casting import with_people
from models.synthetic.film.picture import PLAIN_KINDS, painter
from models.synthetic.film.plan import FPS, MOTIONS, Film, Scene
from models.synthetic.music.compose import compose
from models.synthetic.music.piece import Outline
from models.synthetic.rng import stream

UNRELATED = 0.12
"""Share of the films that are edited to another piece than the one they go with."""
_GAP = 0.7  # least seconds between two cuts
_CLEAR = 40.0  # content difference across a cut that is aimed at; cut detectors need 27
_SMALL = (64, 36)  # width and height of the pictures that are compared


def edit(piece: Outline, seed: int, people: str | None = None) -> Film:
    """Returns the film of a piece; for some seeds it is edited to another piece and has the mood of that one.

    Args:
        piece: the piece.
        seed: seed of the film.
        people: kind of its people, see `with_people`; by chance if left out.
    """
    rng = stream(seed, "film")
    related = bool(rng.random() >= UNRELATED)
    guide = piece if related else compose((1 << 32) + seed, piece.duration)
    cuts = _cuts(guide, rng)
    bounds = [0.0, *cuts, on_frame(piece.duration)]
    scenes: list[Scene] = []
    for start, stop in itertools.pairwise(bounds):
        scenes.append(_next_scene(scenes[-1] if scenes else None, start, stop, guide, rng))
    cut_times = set(cuts)
    accents = [on_frame(a.time) for a in guide.accents]
    flashes = tuple((t, 1.0) for t in accents if rng.random() < (0.15 if t in cut_times else 0.4))
    energetic = guide.mood.energy > 0.5
    pulses = {on_frame(t): round(0.3 + 0.4 * guide.mood.energy, 3) for t in guide.beats} if energetic else {}
    pulses |= {t: 1.0 for t in accents if energetic or rng.random() < 0.3}
    mood = guide.mood
    film = Film(
        seed, piece.duration, related, mood.energy, mood.warmth, tuple(scenes), flashes, tuple(sorted(pulses.items()))
    )
    return with_people(film, guide, people)


def on_frame(time: float) -> float:
    """Returns the time of the nearest frame."""
    return round(time * FPS) / FPS


def _cuts(guide: Outline, rng: np.random.Generator) -> list[float]:
    """Returns cuts on about two thirds of the accents, and for every four of them one on a downbeat or anywhere."""
    cuts: list[float] = []

    def add(time: float) -> bool:
        cut = on_frame(time)
        is_far = all(abs(cut - other) >= _GAP for other in cuts)
        if not is_far or not _GAP <= cut <= guide.duration - 0.5:
            return False
        cuts.append(cut)
        return True

    share = 0.42 + 0.25 * guide.mood.energy
    accents = [a.time for a in guide.accents]
    for accent in guide.accents:
        if rng.random() < share + (0.15 if accent.strength == 1.0 else 0.0):
            add(accent.time)
    downbeats = [t for t in guide.downbeats if all(abs(t - a) > 0.1 for a in accents)]
    for _ in range(int(rng.binomial(len(cuts), 0.26))):
        for _ in range(8):
            if downbeats and rng.random() < 0.6:
                time = downbeats[int(rng.integers(len(downbeats)))]
            else:
                time = float(rng.uniform(_GAP, guide.duration - 0.5))
            if add(time):
                break
    return sorted(cuts)


def _next_scene(before: Scene | None, start: float, stop: float, guide: Outline, rng: np.random.Generator) -> Scene:
    """Returns a random scene that differs clearly from the one before, or the one of 12 that differs most."""
    section = guide.section_at((start + stop) / 2)
    pace = 0.25 + 0.9 * guide.mood.energy
    speed = round(pace * (0.4 + 0.8 * section.loudness) * (0.6 + 0.5 * section.density), 3)
    best: tuple[float, Scene] | None = None
    last = painter(before, *_SMALL)(before.stop - 1 / FPS, 0.0, 0.0) if before else None
    for _ in range(12):
        spread = 0.05 if guide.mood.label else 0.18
        warmth = round(float(np.clip(guide.mood.warmth + rng.normal(0, spread), 0, 1)), 3)
        kinds = [k for k in PLAIN_KINDS if before is None or k != before.kind]
        kind = kinds[int(rng.integers(len(kinds)))]
        motion = MOTIONS[int(rng.integers(len(MOTIONS)))]
        colors = palette(warmth, rng)
        scene = Scene(start, stop, kind, colors, warmth, motion, speed, int(rng.integers(1 << 40)))
        if last is None:
            return scene
        difference = content_difference(last, painter(scene, *_SMALL)(start, 0.0, 0.0))
        if best is None or difference > best[0]:
            best = difference, scene
        if difference >= _CLEAR:
            break
    assert best is not None
    return best[1]


def content_difference(one: np.ndarray, two: np.ndarray) -> float:
    """Returns the mean difference of hue (0..180), saturation and value (0..255), as PySceneDetect measures it."""
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(_hsv(one), _hsv(two), strict=True)]))


def _hsv(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    colors = picture.astype(np.float32)
    red, green, blue = colors[..., 0], colors[..., 1], colors[..., 2]
    value, low = colors.max(-1), colors.min(-1)
    span = np.maximum(value - low, 1e-6)
    hue = np.where(
        value == red,
        (green - blue) / span,
        np.where(value == green, 2 + (blue - red) / span, 4 + (red - green) / span),
    )
    hue = np.where(value == low, 0, hue * 30 % 180)
    return hue, 255 * (value - low) / np.maximum(value, 1e-6), value
