"""The music of composed clips: by the band where there is a soundfont, else by oscillators."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.synthetic import Outline, compose, held_out, render, stream
from models.synthetic.music.band.arrange import arrange
from models.synthetic.music.band.outline import outline
from models.synthetic.music.production.record import record
from models.synthetic.music.soundfont.find import installed_soundfonts
from models.synthetic.music.soundfont.player import SoundfontPlayer
from models.synthetic.music.soundfont.riff import Soundfont, SoundfontError, check_soundfont

SAMPLE_RATE = 44100
PACKAGE = "tinysoundfont"

logger = logging.getLogger(__name__)


def given_soundfonts(paths: Sequence[str | os.PathLike[str]]) -> tuple[Soundfont, ...]:
    """Returns soundfonts that a person chose, checked.

    Raises:
        SoundfontError: one of them cannot be used, or the package that plays them is missing.
    """
    if paths and importlib.util.find_spec(PACKAGE) is None:
        raise SoundfontError(f"soundfonts need the package {PACKAGE}: install diff-v2m[soundfont]")
    return tuple(check_soundfont(path) for path in paths)


def found_soundfonts() -> tuple[Soundfont, ...]:
    """Returns the soundfonts of the system that can be used; none if the package that plays them is missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        return ()
    fonts = []
    for path in installed_soundfonts():
        try:
            fonts.append(check_soundfont(path))
        except SoundfontError as error:
            logger.warning("left out: %s", error)
    return tuple(fonts)


def soundfont_of(seed: int, fonts: Sequence[Soundfont]) -> Soundfont | None:
    """Returns the soundfont of a seed's clip, or None for oscillators.

    The last of several soundfonts plays all held-out clips and no others, so that no training hears it.
    """
    if not fonts:
        return None
    if held_out(seed):
        return fonts[-1]
    heard = fonts[:-1] or fonts
    return heard[int(stream(seed, "soundfont").integers(len(heard)))]


def make_music(seed: int, seconds: float, font: Soundfont | None) -> tuple[Outline, npt.NDArray[np.float32]]:
    """Returns what is known of a seed's music, and its sound, [2, round(seconds * SAMPLE_RATE)].

    Raises:
        SoundfontError: the soundfont cannot be played.
    """
    if font is None:
        piece = compose(seed, seconds)
        return piece, render(piece, SAMPLE_RATE)
    score = arrange(seed, seconds)
    return outline(score, seconds), record(score, seconds, _player(font))


def band_outline(seed: int, seconds: float) -> Outline:
    """Returns what is known of the band's music of a seed, without its sound."""
    return outline(arrange(seed, seconds), seconds)


@functools.cache
def _player(font: Soundfont) -> SoundfontPlayer:
    """Returns this process's player of a soundfont, which stays loaded."""
    return SoundfontPlayer(font, SAMPLE_RATE)
