"""Directing a film to a piece as editors do: cuts, flashes and motion follow the music, but not always.

Most cuts lie on accents and beats, and calm sections have longer shots and dissolves. Motion follows intensity.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.film.editing import UNRELATED, content_difference, on_frame
from models.synthetic.film.palette import muted, palette, portrait
from models.synthetic.film.people.casting import with_people
from models.synthetic.film.picture import KINDS, painter
from models.synthetic.film.plan import FPS, MORE_MOTIONS, Film, Scene
from models.synthetic.music.piece import Outline
from models.synthetic.rng import stream

_SHORTEST = 0.5  # seconds of a shot
_CLEAR = 36.0  # content difference across a cut that is aimed at
_SMALL = (64, 36)
_TRIES = 6


@dataclass(frozen=True)
class _Look:
    """What the scenes of a film have in common: kinds of picture, and the saturation of their colors."""

    kinds: list[str]
    saturation: float


def direct(piece: Outline, seed: int, another: Callable[[int, float], Outline], people: str | None = None) -> Film:
    """Returns the film of a piece; for some seeds it follows another piece.

    Args:
        piece: the piece.
        seed: seed of the film.
        another: makes another piece from a seed and a length in seconds.
        people: kind of its people, see `with_people`; by chance if left out.
    """
    rng = stream(seed, "film")
    related = bool(rng.random() >= UNRELATED)
    guide = piece if related else another((1 << 32) + seed, piece.duration)
    looseness = float(rng.beta(2, 5))  # how freely this editor cuts
    cuts = _cuts(guide, looseness, rng)
    look = _Look(_kinds(rng), round(float(rng.uniform(0.25, 0.7)), 3) if rng.random() < 0.55 else 1.0)
    scenes: list[Scene] = []
    for start, stop in itertools.pairwise([0.0, *cuts, on_frame(piece.duration)]):
        scenes.append(_scene(scenes[-1] if scenes else None, start, stop, guide, look, rng))
    black = rng.random(2)
    film = Film(
        seed,
        piece.duration,
        related,
        guide.mood.energy,
        guide.mood.warmth,
        tuple(scenes),
        _flashes(guide, scenes, rng),
        _pulses(guide, rng),
        opening=round(float(rng.uniform(0.3, 1.5)), 2) if black[0] < 0.2 else 0.0,
        closing=round(float(rng.uniform(0.4, 1.5)), 2) if black[1] < 0.25 else 0.0,
        grain=round(float(rng.uniform(1.5, 5.0)), 2) if rng.random() < 0.25 else 0.0,
    )
    return with_people(film, guide, people)


def intensity_at(guide: Outline, time: float) -> float:
    """Returns the intensity of a piece at a time."""
    return guide.intensity[min(max(int(time), 0), len(guide.intensity) - 1)]


def _kinds(rng: np.random.Generator) -> list[str]:
    """Returns the kinds of picture of a film: a few that belong together, or all of them."""
    names = list(KINDS)
    if rng.random() < 0.3:
        return names
    return [names[int(i)] for i in rng.choice(len(names), int(rng.integers(3, 8)), replace=False)]


def _cuts(guide: Outline, looseness: float, rng: np.random.Generator) -> list[float]:
    """Returns cuts in rising order. Shots last 1 to 7 s, shorter where the music is intense."""
    strong = np.array([a.time for a in guide.accents] + [s.start for s in guide.sections[1:]])
    downbeats, beats = np.array(guide.downbeats), np.array(guide.beats)
    last = guide.duration - 0.4
    cuts: list[float] = []
    now = 0.0
    while True:
        pace = 0.6 * intensity_at(guide, now) + 0.4 * guide.section_at(now).arousal
        shot = float(np.exp(np.log(6.5 - 5.2 * pace) + rng.normal(0, 0.4)))
        aim = now + max(shot, _SHORTEST)
        border = next((s.start for s in guide.sections[1:] if now + _SHORTEST < s.start <= aim + 0.8), None)
        if border is not None and rng.random() < 0.85 - 0.5 * looseness:
            aim = border
        elif rng.random() > 0.25 + 0.6 * looseness:
            reach = 0.35 * shot + 0.25
            for places, liking in ((strong, 0.75), (downbeats, 0.6), (beats, 1.0)):
                near = places[(np.abs(places - aim) < reach) & (places > now + _SHORTEST)] if len(places) else places
                if len(near) and rng.random() < liking:
                    aim = float(near[np.abs(near - aim).argmin()])
                    break
            if rng.random() < 0.15:
                aim += float(rng.choice((-2, -1, 1))) / FPS  # an editor's hand
        cut = on_frame(aim)
        if cut > last:
            return cuts
        if cut >= now + _SHORTEST:
            cuts.append(cut)
            now = cut
        else:
            now += 0.2


def _scene(
    before: Scene | None, start: float, stop: float, guide: Outline, look: _Look, rng: np.random.Generator
) -> Scene:
    """Returns the scene between two cuts: of several random ones, the first that differs clearly from the last."""
    intensity = float(np.mean([intensity_at(guide, t) for t in np.arange(start, stop, 0.5)]))
    section = guide.section_at((start + stop) / 2)
    speed = round(float(np.clip((0.15 + 1.15 * intensity) * rng.lognormal(0, 0.25), 0.05, 2.0)), 3)
    if before and not before.beside and stop - start < 3 and rng.random() < 0.07:
        zoom = 1.0 if before.zoom > 1 else round(float(rng.uniform(1.35, 1.7)), 3)
        skip = before.skip + before.stop - before.start + float(rng.uniform(1, 4))
        return replace(before, start=start, stop=stop, transition="jump", transition_seconds=0.0, skip=skip, zoom=zoom)
    last = painter(before, *_SMALL)(before.stop - 1 / FPS, 0.0, 0.0) if before else None
    warmth_of_section = 0.5 + 1.25 * (section.valence - 0.48)
    best: tuple[float, Scene] | None = None
    for _ in range(_TRIES):
        warmth = round(float(np.clip(warmth_of_section + rng.normal(0, 0.14), 0, 1)), 3)
        scene = _shot(start, stop, warmth, speed, look, rng)
        if rng.random() < 0.05:
            scene = replace(scene, beside=_shot(start, stop, warmth, speed, look, rng))
        if last is None:
            return scene
        difference = content_difference(last, painter(scene, *_SMALL)(start, 0.0, 0.0))
        if best is None or difference > best[0]:
            best = difference, scene
        if difference >= _CLEAR:
            break
    assert best is not None
    name, length = _transition(start, stop, guide, intensity, rng)
    return replace(best[1], transition=name, transition_seconds=length)


def _shot(start: float, stop: float, warmth: float, speed: float, look: _Look, rng: np.random.Generator) -> Scene:
    kind = look.kinds[int(rng.integers(len(look.kinds)))]
    motion = MORE_MOTIONS[int(rng.integers(len(MORE_MOTIONS)))]
    colors = muted(palette(warmth, rng), look.saturation)
    if kind == "face":
        colors = portrait(colors, rng)
    return Scene(start, stop, kind, colors, warmth, motion, speed, int(rng.integers(1 << 40)))


def _transition(
    start: float, stop: float, guide: Outline, intensity: float, rng: np.random.Generator
) -> tuple[str, float]:
    """Returns how a scene begins, and in how many seconds: calm music has dissolves, a fall of intensity some fades."""
    length = round(min(float(rng.uniform(0.3, 1.2)), 0.5 * (stop - start)), 2)
    if rng.random() < 0.45 - 0.6 * intensity:
        return "dissolve", length
    fell = intensity_at(guide, start - 1.0) > intensity + 0.15
    if fell and rng.random() < 0.35:
        return "fade", length
    return "cut", 0.0


def _flashes(guide: Outline, scenes: list[Scene], rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Returns flashes on some accents, more of them where the music is intense, fewer where a cut is."""
    starts = {scene.start for scene in scenes}
    flashes = []
    for accent in guide.accents:
        time = on_frame(accent.time)
        chance = (0.05 + 0.4 * intensity_at(guide, time)) * (0.4 if time in starts else 1.0)
        if rng.random() < chance:
            flashes.append((time, round(float(rng.uniform(0.5, 1.0)) * accent.strength, 3)))
    return tuple(flashes)


def _pulses(guide: Outline, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Returns swells of the picture on accents, and in a third of the films on the beats of intense sections."""
    pulses = {on_frame(a.time): a.strength for a in guide.accents if rng.random() < 0.4}
    if rng.random() < 0.33:
        for time in guide.beats:
            if intensity_at(guide, time) > 0.55:
                pulses.setdefault(on_frame(time), round(0.25 + 0.4 * intensity_at(guide, time), 3))
    return tuple(sorted(pulses.items()))
