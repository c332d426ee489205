"""Casting: which films have people, in which of their scenes, how many, of which style, and where they stand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from models.synthetic.film.palette import costumes
from models.synthetic.film.people.acting import burst, conduct, talk
from models.synthetic.film.people.backdrops import BACKDROPS
from models.synthetic.film.people.choreography import Figure, Move, People, arrivals
from models.synthetic.film.people.dance import STYLES
from models.synthetic.film.people.timing import every, music_grid, own_grid, scatter
from models.synthetic.film.plan import Film, Scene
from models.synthetic.music.piece import Outline
from models.synthetic.rng import stream

PEOPLE = ("dance", "conductor", "sport", "talk")
"""Kinds of people."""
SHARE = 0.35
"""Share of the films that have people."""
OFF = 0.2
"""Share of the films with dancers or conductors whose people do not follow the music."""
_SHARES = (0.58, 0.12, 0.15, 0.15)  # of the kinds among the films with people
_BEFORE, _AFTER = 0.5, 1.4  # seconds of moves around a scene, for dissolves
_MOST = 5  # figures
_FACES = ("face", "title")  # kinds of picture that do not go behind people


@dataclass(frozen=True)
class _Troupe:
    """People who play together in a film: the moves of each, made for the whole film."""

    style: str
    lag: float
    moves: tuple[tuple[Move, ...], ...]
    seeds: tuple[int, ...]


def kind_of_people(seed: int, asked: str | None = None) -> str:
    """Returns the kind of people in the film of a seed: one of `PEOPLE` or `none`; what is asked for, or by chance.

    Raises:
        ValueError: there is no such kind.
    """
    if asked not in (None, "none", *PEOPLE):
        raise ValueError(f"expected people of a kind of {', '.join(PEOPLE)} or none: got {asked!r}")
    rng = stream(seed, "people")
    has, kind = rng.random() < SHARE, str(rng.choice(PEOPLE, p=_SHARES))
    return asked or (kind if has else "none")


def with_people(film: Film, guide: Outline, asked: str | None = None) -> Film:
    """Returns a film with people in most of its scenes, or the same film if there shall be none.

    The picture does not swell in scenes with people.

    Args:
        film: a film without people.
        guide: the piece that the film follows.
        asked: one of `PEOPLE` or `none`; by chance if left out.
    """
    kind = kind_of_people(film.seed, asked)
    if kind == "none":
        return film
    rng = stream(film.seed, f"people who {kind}")
    follows = _follows(kind, rng)
    count = _count(kind, rng)
    troupes = [_troupe(kind, follows, count, guide, rng)]
    if kind == "dance" and rng.random() < 0.35:
        troupes.append(_troupe(kind, follows, count, guide, rng))
    scenes = list(film.scenes)
    for group in _chosen(scenes, rng):
        troupe = troupes[int(rng.random() < 0.4) % len(troupes)]
        first = _peopled(scenes[group[0]], kind, follows, troupe, guide.duration, rng)
        for index in group:
            scenes[index] = _during(first, scenes[index])
    directed = replace(film, scenes=tuple(scenes))
    # Swells of the picture on the beats would tell the rhythm without the people.
    return replace(directed, pulses=tuple(p for p in film.pulses if directed.scene_at(p[0]).people is None))


def _follows(kind: str, rng: np.random.Generator) -> str:
    """Returns what the people of a film follow."""
    draw = rng.random()
    if kind == "talk" or (kind == "sport" and draw < 0.5):
        return "chance"
    return "own tempo" if kind != "sport" and draw < OFF else "music"


def _count(kind: str, rng: np.random.Generator) -> int:
    """Returns the number of people in a troupe."""
    if kind == "conductor":
        return 1
    if kind == "dance":
        return int(rng.choice((1, 2, 3, 4, 5), p=(0.4, 0.2, 0.2, 0.1, 0.1)))
    return 1 if rng.random() < 0.75 else 2


def _troupe(kind: str, follows: str, count: int, guide: Outline, rng: np.random.Generator) -> _Troupe:
    """Returns people with their moves for a whole film."""
    grid = own_grid(guide, rng) if follows == "own tempo" else music_grid(guide)
    style, lag = kind, 0.0
    moves: list[tuple[Move, ...]] = []
    if kind == "dance":
        style = str(rng.choice(tuple(STYLES)))
        dance = STYLES[style]
        lag, step = dance.lag, dance.step(grid.tempo, rng)
        together = rng.random() < 0.6
        shared = dance.make(every(grid, step, rng), rng)
        for _ in range(count):
            own = _shifted(shared, rng) if together else dance.make(every(grid, step, rng), rng)
            moves.append(tuple(own))
    for _ in range(count if kind != "dance" else 0):
        if kind == "conductor":
            moves.append(tuple(conduct(grid, rng)))
        elif kind == "sport":
            moves.append(tuple(burst(guide, follows == "music", rng)))
        else:
            lag = 0.05
            moves.append(tuple(talk(guide.duration, rng)))
    return _Troupe(style, lag, tuple(moves), tuple(int(rng.integers(1 << 40)) for _ in range(count)))


def _shifted(moves: list[Move], rng: np.random.Generator) -> list[Move]:
    """Returns the moves of a dancer who dances in unison with others, a few milliseconds apart."""
    shift = scatter(rng, 0.008)
    return [replace(move, start=move.start + shift, time=move.time + shift) for move in moves]


def _chosen(scenes: list[Scene], rng: np.random.Generator) -> list[list[int]]:
    """Returns the indices of scenes that get people, 60 to 100 % of all, in groups that jumps alone part."""
    groups: list[list[int]] = []
    for index, scene in enumerate(scenes):
        if groups and scene.transition == "jump":
            groups[-1].append(index)
        else:
            groups.append([index])
    wanted = max(math.ceil(float(rng.uniform(0.6, 1.0)) * len(scenes)), 1)
    order, chosen = rng.permutation(len(groups)).tolist(), list[list[int]]()
    for number in order:
        if sum(map(len, chosen)) >= wanted:
            break
        chosen.append(groups[number])
    return sorted(chosen)


def _peopled(
    scene: Scene, kind: str, follows: str, troupe: _Troupe, duration: float, rng: np.random.Generator
) -> Scene:
    """Returns a scene with people in it, who have the moves of the whole film."""
    behind = scene.kind
    if behind in _FACES or rng.random() < 0.5:
        behind = str(rng.choice(tuple(BACKDROPS)))
    count = len(troupe.moves)
    shown = [int(rng.integers(count))] if count > 1 and kind == "dance" and rng.random() < 0.3 else list(range(count))
    figures = tuple(
        Figure(round(across, 4), round(floor, 4), round(size, 4), troupe.seeds[i], troupe.moves[i], troupe.lag)
        for i, (across, floor, size) in zip(shown, _places(kind, len(shown), rng), strict=True)
    )
    figures = tuple(sorted(figures, key=lambda figure: figure.floor))
    backdrop = float(rng.choice((0.0, 0.0, 0.15, 0.4)))
    colors = costumes(scene.palette, rng)
    return replace(scene, kind=behind, palette=colors, people=People(kind, troupe.style, follows, figures, backdrop))


def _places(kind: str, count: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Returns the place across, the floor and the size of each figure, see `Figure`."""
    near = rng.random()
    if kind == "talk" or (kind == "conductor" and near < 0.6):
        size = float(rng.uniform(1.7, 2.5)) if kind == "talk" else float(rng.uniform(0.9, 1.2))
        top = float(rng.uniform(0.14, 0.22)) + (0.1 if kind == "conductor" else 0.0)
        size = size * (0.75 if count > 1 else 1.0)
        middle = 0.22 * float(rng.uniform(-1, 1))
        apart = [(i - (count - 1) / 2) * 0.5 * size / 1.6 for i in range(count)]
        return [((middle if count == 1 else 0.0) + x, top + 1.03 * size, size) for x in apart]
    if kind == "dance" and count == 1 and near < 0.3:  # seen from the knees up
        size = float(rng.uniform(0.8, 1.05))
        return [(float(rng.uniform(-0.2, 0.2)), 0.26 + 1.02 * size, size)]
    size = float(rng.uniform(0.42, 0.62)) * (1 - 0.05 * (count - 1))
    floor = float(rng.uniform(0.8, 0.89))
    if count == 1:
        return [(float(rng.uniform(-0.3, 0.3)) * (0.3 if kind == "sport" else 1.0), floor, size)]
    step = min(1.2 / count, 0.62 * size) * float(rng.uniform(0.85, 1.1))
    rows = rng.random() < 0.5
    places = []
    for i in range(count):
        back = rows and i % 2 == 1
        across = (i - (count - 1) / 2) * step + float(rng.normal(0, 0.012))
        places.append((across, floor - 0.05 * back, size * (0.87 if back else 1.0)))
    return places


def _during(peopled: Scene, scene: Scene) -> Scene:
    """Returns a scene with the people and the colors of another, whose moves are those of its own time."""
    assert peopled.people is not None
    figures = tuple(
        replace(f, moves=arrivals(f.moves, scene.start - _BEFORE, scene.stop + _AFTER)) for f in peopled.people.figures
    )
    people = replace(peopled.people, figures=figures)
    return replace(scene, kind=peopled.kind, palette=peopled.palette, people=people)
