"""The pictures of the corpus: deterministic, edited to the music, and warm or cold according to their mood."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models.synthetic import FPS, caption, compose, edit, frames, scene_caption, scene_captions, stream
from models.synthetic.film.editing import content_difference
from models.synthetic.film.picture import KINDS, painter
from models.synthetic.film.plan import Film, Scene


def film_of(seed: int, seconds: float = 24.0) -> Film:
    return edit(compose(seed, seconds), seed)


def test_same_seed_same_film_and_pictures() -> None:
    one, two = film_of(5, 4.0), film_of(5, 4.0)
    assert one == two
    first, second = (b"".join(p.tobytes() for p in frames(f, 64, 36)) for f in (one, two))
    assert first == second
    assert len(first) == 100 * 64 * 36 * 3
    assert film_of(6, 4.0) != one


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(256, 144), (64, 36), (90, 160)])
def test_every_kind_draws_any_size_and_moves(kind: str, size: tuple[int, int]) -> None:
    palette = ((250, 240, 200), (230, 80, 20), (200, 30, 60), (250, 200, 10), (120, 220, 60))
    scene = Scene(1.0, 3.0, kind, palette, 0.9, "still", 0.8, 11)
    draw = painter(scene, *size)
    pictures = [draw(time, 0.0, 0.0) for time in (1.0, 1.5, 2.0)]
    assert all(p.shape == (size[1], size[0], 3) and p.dtype == np.uint8 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 3
    assert draw(1.0, 1.0, 1.0).mean() > pictures[0].mean()


def test_most_cuts_lie_on_accents() -> None:
    on_accents = on_downbeats = cuts = accents = seconds = 0
    for seed in range(120):
        piece = compose(seed, 24.0)
        film = edit(piece, seed)
        if not film.related:
            continue
        times = np.array([accent.time for accent in piece.accents])
        for cut in film.cuts:
            hit = np.abs(times - cut).min() <= 0.5 / FPS + 1e-6
            on_accents += hit
            on_downbeats += not hit and np.abs(np.array(piece.downbeats) - cut).min() <= 0.5 / FPS + 1e-6
        cuts, accents, seconds = cuts + len(film.cuts), accents + len(times), seconds + 24
    assert 0.75 < on_accents / cuts < 0.86
    assert 0.07 < on_downbeats / cuts < 0.16
    assert 0.57 < on_accents / accents < 0.75
    assert 1.5 < seconds / cuts < 5


def test_some_films_go_with_another_piece() -> None:
    films = [film_of(seed, 6.0) for seed in range(300)]
    assert 0.08 < np.mean([not film.related for film in films]) < 0.17
    strange = next(film for film in films if not film.related)
    assert strange.warmth != compose(strange.seed, 6.0).mood.warmth


def test_scenes_are_on_frames_without_gaps_and_not_short() -> None:
    for seed in range(40):
        film = film_of(seed)
        bounds = [film.scenes[0].start, *(scene.stop for scene in film.scenes)]
        assert bounds[0] == 0
        assert bounds[-1] == 24
        assert all(a.stop == b.start for a, b in itertools.pairwise(film.scenes))
        assert np.allclose(np.array(bounds) * FPS, np.round(np.array(bounds) * FPS))
        assert min(np.diff(film.cuts), default=1.0) > 0.699
        assert film.people != "none" or all(a.kind != b.kind for a, b in itertools.pairwise(film.scenes))


def test_neighboring_scenes_differ_and_neighboring_frames_do_not() -> None:
    film = next(f for f in map(film_of, range(20)) if len(f.cuts) > 6)
    pictures = list(frames(film, 96, 54))
    differences = np.array([content_difference(a, b) for a, b in itertools.pairwise(pictures)])
    cuts = np.array([round(cut * FPS) - 1 for cut in film.cuts])
    assert (differences[cuts] > 27).mean() > 0.9
    assert (np.delete(differences, cuts) > 27).mean() < 0.01


def test_colors_show_the_mood() -> None:
    """Every film of a clearly warm mood is redder and brighter than every film of a clearly cold mood."""
    warm, cold = [], []
    for seed in range(60):
        film = film_of(seed, 6.0)
        if 0.2 < film.warmth < 0.8:
            continue
        pictures = np.stack([painter(s, 64, 36)(s.start, 0.0, 0.0) for s in film.scenes]).astype(float)
        facts = pictures.mean(), pictures[..., 0].mean() - pictures[..., 2].mean()
        (warm if film.warmth > 0.5 else cold).append(facts)
    assert len(warm) > 5
    assert len(cold) > 5
    assert min(light for light, _ in warm) > max(light for light, _ in cold)
    assert min(red for _, red in warm) > max(red for _, red in cold)


def test_energetic_films_pulse_on_beats_and_move_more() -> None:
    films = [film_of(seed) for seed in range(60)]
    wild = [f for f in films if f.energy > 0.7]
    calm = [f for f in films if f.energy < 0.3]
    assert np.mean([len(f.pulses) for f in wild]) > 5 * np.mean([len(f.pulses) for f in calm])
    speeds = [np.mean([s.speed for f in some for s in f.scenes]) for some in (wild, calm)]
    assert speeds[0] > 1.8 * speeds[1]
    assert np.mean([len(f.cuts) for f in wild]) > np.mean([len(f.cuts) for f in calm])


def test_captions_describe_the_picture() -> None:
    films = [film_of(seed, 8.0) for seed in range(40)]
    lines = [caption(film) for film in films]
    assert lines == [caption(film) for film in films]
    assert len(set(lines)) > 30
    for film in films:
        for words in scene_captions(film):
            assert 10 < len(words) < 200
    warm = next(f for f in films if f.warmth > 0.85)
    words = {scene_caption(warm, warm.scenes[0], stream(i, "test")) for i in range(30)}
    assert len(words) > 10
    assert not any("cold" in line or "dark" in line for line in words)
