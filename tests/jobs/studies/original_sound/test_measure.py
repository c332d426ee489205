"""The study of the original sound: films whose truth is known, and the figures that are taken from them."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.studies.original_sound.films import PHRASES, RATE, spoken_film
from jobs.studies.original_sound.measure import STEP_S, lateness, ratios, steps_of


def test_a_film_has_the_level_that_was_asked_for() -> None:
    film = spoken_film("wind", 10.0, 1)
    inside = film.speech[film.speech != 0]
    assert 10 * np.log10(np.mean(np.square(inside)) / np.mean(np.square(film.background))) == pytest.approx(
        10, abs=0.01
    )
    assert not film.speech[round(13 * RATE) : round(19 * RATE)].any()
    assert not spoken_film("noise", 0.0, 1, speaks=False).speech.any()


def test_figures_of_a_known_result() -> None:
    film = spoken_film("silence", 0.0, 0)
    assert steps_of(PHRASES).sum() * STEP_S == pytest.approx(sum(b - a for a, b in PHRASES), abs=0.1)
    late = [(begin + 0.1 * number, end) for number, (begin, end) in enumerate(PHRASES)]
    assert lateness(late, film) == pytest.approx(0.3)
    assert lateness(late[1:], film) == pytest.approx(3.0)  # the first phrase was not found at all
    music = np.full((len(film.speech), 2), 3277, np.int16)
    inside, outside = ratios(film, {"waveform": music})
    assert inside == outside
    voice = np.concatenate([film.speech[round(a * RATE) : round(b * RATE)] for a, b in PHRASES])
    assert inside == pytest.approx(10 * np.log10(np.mean(np.square(voice))) + 20, abs=0.01)
