"""Films that are directed to the band: cuts, motion and light follow the music as those of editors do."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.synthetic import FPS, Outline, caption, direct, frames, scene_captions
from models.synthetic.film.directing import intensity_at
from models.synthetic.film.palette import muted, portrait
from models.synthetic.film.picture import painter
from models.synthetic.film.plan import MORE_MOTIONS, TRANSITIONS, Film, Scene
from models.synthetic.music.band.arrange import arrange
from models.synthetic.music.band.outline import outline
from models.synthetic.rng import stream

SECONDS = 30.0
PALETTE = ((250, 240, 200), (230, 80, 20), (200, 30, 60), (250, 200, 10), (120, 220, 60))


@cache
def piece_of(seed: int, seconds: float = SECONDS) -> Outline:
    return outline(arrange(seed, seconds), seconds)


@cache
def film_of(seed: int) -> Film:
    return direct(piece_of(seed), seed, piece_of)


def test_the_same_seed_makes_the_same_film() -> None:
    assert direct(piece_of(5), 5, piece_of) == film_of(5)
    assert film_of(6) != film_of(5)


def test_most_cuts_lie_on_the_music_but_not_all() -> None:
    on_accents = on_beats = cuts = 0
    for seed in range(64):
        film, piece = film_of(seed), piece_of(seed)
        if not film.related:
            continue
        accents = np.array([a.time for a in piece.accents] + [s.start for s in piece.sections] + [-9.0])
        beats = np.array([*piece.beats, -9.0])
        for cut in film.cuts:
            on_accents += np.abs(accents - cut).min() <= 1.5 / FPS
            on_beats += np.abs(beats - cut).min() <= 1.5 / FPS
        cuts += len(film.cuts)
    assert 0.3 < on_accents / cuts < 0.75
    assert 0.55 < on_beats / cuts < 0.92


def test_intense_music_has_shorter_shots_faster_motion_and_fewer_dissolves() -> None:
    intensities, lengths, speeds, soft = [], [], [], []
    for seed in range(64):
        film, piece = film_of(seed), piece_of(seed)
        if film.related:
            for scene in film.scenes[1:-1]:
                intensities.append(intensity_at(piece, (scene.start + scene.stop) / 2))
                lengths.append(scene.stop - scene.start)
                speeds.append(scene.speed)
                soft.append(scene.transition == "dissolve")
    assert np.corrcoef(intensities, np.log(lengths))[0, 1] < -0.3
    assert np.corrcoef(intensities, speeds)[0, 1] > 0.5
    assert np.corrcoef(intensities, soft)[0, 1] < -0.2
    assert {s.transition for seed in range(64) for s in film_of(seed).scenes} == set(TRANSITIONS)


def test_scenes_lie_on_frames_without_gaps() -> None:
    for seed in range(48):
        film = film_of(seed)
        bounds = [0.0, *(scene.stop for scene in film.scenes)]
        assert bounds[-1] == SECONDS
        assert all(a.stop == b.start for a, b in itertools.pairwise(film.scenes))
        assert np.allclose(np.array(bounds) * FPS, np.round(np.array(bounds) * FPS))
        assert min(np.diff(bounds)) > 0.38
        assert all(s.transition_seconds <= 0.51 * (s.stop - s.start) for s in film.scenes)
        assert set(film.cuts) <= {s.start for s in film.scenes}
        assert len(scene_captions(film)) == len(film.scenes)
        assert caption(film)


def test_warm_music_has_warm_pictures() -> None:
    related = [seed for seed in range(64) if film_of(seed).related]
    valence = [np.mean(piece_of(seed).per_second("valence")) for seed in related]
    warmth = [np.mean([s.warmth for s in film_of(seed).scenes]) for seed in related]
    assert np.corrcoef(valence, warmth)[0, 1] > 0.7


@pytest.mark.parametrize("motion", MORE_MOTIONS[-2:])
def test_the_camera_shakes_and_pushes_in(motion: str) -> None:
    still, moved = (painter(Scene(0.0, 2.0, "checker", PALETTE, 0.9, m, 0.0, 3), 96, 54) for m in ("still", motion))
    assert np.array_equal(still(0.2, 0, 0), still(1.8, 0, 0))
    assert not np.array_equal(moved(0.2, 0, 0), moved(1.8, 0, 0))


def plain(start: float, stop: float, kind: str, **more: object) -> Scene:
    return replace(Scene(start, stop, kind, PALETTE, 0.9, "still", 0.0, 3), **more)  # type: ignore[arg-type]


def film(*scenes: Scene, **more: float) -> Film:
    return Film(1, scenes[-1].stop, True, 0.5, 0.5, scenes, (), (), **more)


def test_transitions_lead_from_one_scene_to_the_next() -> None:
    one, two = plain(0, 1, "checker"), plain(1, 2, "rays")
    cut, mixed, dark = (
        list(frames(film(one, replace(two, transition=name, transition_seconds=0.4)), 64, 36))
        for name in ("cut", "dissolve", "fade")
    )
    first, last = cut[0].astype(float), cut[40].astype(float)
    assert np.abs(mixed[30] - (first * 0.5 + last * 0.5)).max() < 3
    assert np.array_equal(mixed[40], cut[40])
    assert dark[25].max() == 0
    assert 0.3 < dark[30].mean() / last.mean() < 0.7
    assert film(one, replace(two, transition="dissolve", transition_seconds=0.4)).cuts == ()
    assert film(one, replace(two, transition="jump")).cuts == (1,)


def test_films_open_and_close_in_black_and_have_grain() -> None:
    scene = plain(0, 2, "checker")
    pictures = list(frames(film(scene, opening=0.4, closing=0.4), 64, 36))
    light = np.array([p.mean() for p in pictures]) / pictures[25].mean()
    assert light[0] == 0
    assert 0.4 < light[5] < 0.6
    assert light[20:38] == pytest.approx(1)
    assert light[-1] < 0.15
    rough = list(frames(film(scene, grain=4.0), 64, 36))
    assert 2 < np.std(rough[20].astype(float) - pictures[20]) < 5
    assert not np.array_equal(rough[20], rough[21])


def test_a_split_screen_shows_two_scenes_and_a_jump_comes_nearer() -> None:
    both = painter(plain(0, 2, "checker", beside=plain(0, 2, "rays")), 64, 36)(0.5, 0, 0)
    left = painter(plain(0, 2, "checker"), 32, 36)(0.5, 0, 0)
    assert np.array_equal(both[:, :30], left[:, :30])
    assert both[:, 32].max() == 0
    near = painter(plain(0, 2, "checker", zoom=1.6), 64, 36)(0.5, 0, 0)
    far = painter(plain(0, 2, "checker"), 64, 36)(0.5, 0, 0)
    assert np.abs(np.diff(near.astype(int), axis=1)).mean() < np.abs(np.diff(far.astype(int), axis=1)).mean()


def test_colors_are_muted_and_people_have_skin() -> None:
    gray = muted(PALETTE, 0.0)
    assert all(len(set(color)) == 1 for color in gray)
    assert muted(PALETTE, 1.0) == PALETTE
    for seed in range(20):
        colors = portrait(PALETTE, stream(seed, "test"))
        assert colors[0] == PALETTE[0]
        assert all(red >= green >= blue for red, green, blue in colors[1:])
