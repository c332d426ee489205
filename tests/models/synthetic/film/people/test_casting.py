"""Which films have people, where, and what is known of them."""

from __future__ import annotations

import hashlib
import itertools
from functools import cache

import numpy as np
import pytest

from models.synthetic import (
    PEOPLE,
    Film,
    Outline,
    caption,
    compose,
    direct,
    edit,
    frames,
    kind_of_people,
    scene_captions,
)
from models.synthetic.film.people.dance import STYLES
from models.synthetic.film.picture import PATTERNS
from models.synthetic.music.band.arrange import arrange
from models.synthetic.music.band.outline import outline

SECONDS = 12.0


@cache
def piece_of(seed: int, seconds: float = SECONDS) -> Outline:
    return outline(arrange(seed, seconds), seconds)


@cache
def film_of(seed: int, people: str | None = None) -> Film:
    return direct(piece_of(seed), seed, piece_of, people)


def test_a_third_of_the_films_has_people_of_every_kind() -> None:
    kinds = [kind_of_people(seed) for seed in range(2000)]
    assert 0.31 < np.mean([kind != "none" for kind in kinds]) < 0.39
    shares = {kind: kinds.count(kind) / (2000 - kinds.count("none")) for kind in PEOPLE}
    assert 0.5 < shares["dance"] < 0.66
    assert min(shares.values()) > 0.08
    assert all(film_of(seed).people == kinds[seed] for seed in range(8))
    assert all(edit(compose(seed, SECONDS), seed).people == kinds[seed] for seed in range(4))
    with pytest.raises(ValueError, match="got 'dancing'"):
        kind_of_people(1, "dancing")


NAMES = ("start", "stop", "kind", "palette", "warmth", "motion", "speed", "seed", "transition", "transition_seconds")


def plan(film: Film) -> str:
    scenes = [tuple(getattr(scene, name) for name in (*NAMES, "skip", "zoom")) for scene in film.scenes]
    rest = film.seed, film.related, film.energy, film.warmth, film.flashes, film.pulses
    more = film.opening, film.closing, film.grain, scene_captions(film), caption(film)
    return hashlib.sha256(repr((scenes, rest, more)).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("seed", "directed", "edited"),
    [
        (0, "b1a913c6b8a0355b", "b1851663e2377b6a"),
        (1, "3ef7f0ce64f545a5", "fe8d8c55fa9ede72"),
        (5, "f52584e1b8f275b2", "76380b5238af34cd"),
    ],
)
def test_films_without_people_are_as_they_were_before_there_were_people(seed: int, directed: str, edited: str) -> None:
    assert plan(film_of(seed, "none")) == directed
    assert plan(edit(compose(seed, SECONDS), seed, "none")) == edited
    if kind_of_people(seed) == "none":
        assert film_of(seed) == film_of(seed, "none")


@pytest.mark.parametrize("kind", PEOPLE)
def test_people_are_in_most_scenes_and_change_nothing_else(kind: str) -> None:
    shares = []
    for seed in range(12):
        film, without = film_of(seed, kind), film_of(seed, "none")
        shares.append(np.mean([scene.people is not None for scene in film.scenes]))
        assert film.cuts == without.cuts
        assert film.flashes == without.flashes
        assert film.pulses == tuple(p for p in without.pulses if film.scene_at(p[0]).people is None)
        for scene, bare in zip(film.scenes, without.scenes, strict=True):
            assert (scene.motion, scene.speed, scene.transition) == (bare.motion, bare.speed, bare.transition)
            assert scene.people is not None or scene == bare
            assert scene.kind in PATTERNS
    assert min(shares) >= 0.6
    assert max(shares) == 1.0


def test_the_same_seed_makes_the_same_people_and_pictures() -> None:
    again = direct(piece_of(3), 3, piece_of, "dance")
    assert again == film_of(3, "dance")
    assert again != film_of(4, "dance")
    one, two = (list(itertools.islice(frames(f, 64, 36), 0, 60, 10)) for f in (again, film_of(3, "dance")))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_dancers_are_one_or_many_and_move_in_several_styles() -> None:
    peoples = [scene.people for seed in range(60) for scene in film_of(seed, "dance").scenes if scene.people]
    assert {len(people.figures) for people in peoples} == {1, 2, 3, 4, 5}
    assert {people.style for people in peoples} == set(STYLES)
    sizes = [figure.size for people in peoples for figure in people.figures]
    assert max(sizes) > 1.9 * min(sizes)


def distances(film: Film, piece: Outline) -> list[float]:
    """Seconds from each kinematic beat to the nearest beat or half beat."""
    beats = np.array(piece.beats)
    halves = np.concatenate([beats, (beats[1:] + beats[:-1]) / 2])
    return [float(np.abs(halves - time).min()) for time, _ in film.kinematic_beats]


@pytest.mark.parametrize("kind", ["dance", "conductor"])
def test_most_dancers_and_conductors_follow_the_beat_and_some_a_tempo_of_their_own(kind: str) -> None:
    follows, near, far = [], list[float](), list[float]()
    for seed in range(60):
        film = film_of(seed, kind)
        follows.append(film.people_follow)
        if film.people_follow == "music":
            near += distances(film, piece_of(seed))
        elif film.people_follow == "own tempo":
            far += distances(film, piece_of(seed))
        assert film.related or film.people_follow != "music"
    assert 0.1 < follows.count("own tempo") / len(follows) < 0.32
    assert set(follows) == {"music", "own tempo", "other piece"}
    assert 0.006 < np.median(near) < 0.025
    assert np.median(far) > 0.05


def test_people_who_talk_have_no_kinematic_beats_and_the_others_have() -> None:
    assert all(film_of(seed, kind).kinematic_beats == () for seed in range(10) for kind in ("talk", "none"))
    assert all(film_of(seed, "talk").people_follow == "chance" for seed in range(10))
    for kind, least in (("dance", 0.5), ("conductor", 0.8), ("sport", 0.15)):
        rates = [len(film_of(seed, kind).kinematic_beats) / SECONDS for seed in range(12)]
        assert np.mean(rates) > least
        assert max(rates) < 3.2


def test_kinematic_beats_are_in_order_in_scenes_with_people_and_in_the_light() -> None:
    for seed in range(20):
        film = film_of(seed, "dance")
        beats = film.kinematic_beats
        assert list(beats) == sorted(beats)
        assert all(0 < strength <= 1 for _, strength in beats)
        for time, _ in beats:
            scene = film.scene_at(time)
            assert scene.people is not None
            assert scene.start + 0.079 < time < scene.stop
            assert 0.3 * film.opening <= time <= film.duration - 0.3 * film.closing


def test_captions_tell_of_people() -> None:
    film = film_of(4, "conductor")
    lines = [line for scene, line in zip(film.scenes, scene_captions(film), strict=True) if scene.people]
    assert lines
    assert all("conduct" in line or "baton" in line for line in lines)
