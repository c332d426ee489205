"""Measuring: every row of the table of bars for one model, each piece of music made once and heard once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from models.features.audio import onset_strength
from models.lengths import Window
from models.metrics.thresholds import Result
from pipeline.evaluation.audio_metrics import (
    Codec,
    Rhythm,
    Sound,
    hear_codec,
    hear_rhythm,
    hear_sound,
    per_second,
    strong_accents,
)
from pipeline.evaluation.generator import BATCH, Asked, Musician
from pipeline.evaluation.held_out import Clip
from pipeline.evaluation.scorecard import (
    EVENTS,
    Heard,
    judge_codec,
    judge_given,
    judge_key,
    judge_mood,
    judge_picture,
    judge_pulse,
    judge_seams,
    judge_spectrum,
    judge_tune,
    judge_videos,
)
from stages.contracts import Row

MEASURES = ("vae", "tune", "pulse", "given", "picture", "mood", "spectrum", "long", "videos")
"""What can be measured by itself, in the order of the table."""
ON_CLIPS = frozenset(MEASURES) - {"long", "videos"}
"""Those that take held-out clips."""

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


def quiet(what: str, done: int, total: int) -> None:
    """Progress that is told to nobody."""


@dataclass(frozen=True)
class Material:
    """What a model is evaluated with.

    Attributes:
        clips: held-out clips of one length.
        films: held-out films longer than a window.
        videos: rows of `FEATURES` of real videos; those with fewer than two cuts count for nothing.
    """

    clips: Sequence[Clip] = ()
    films: Sequence[Clip] = ()
    videos: Sequence[Row] = ()


class Measuring:
    """One model at work on the material.

    Args:
        musician: the model.
        material: what it is evaluated with.
        seeds: of the noise; every clip gets a piece of music for each.
        progress: told what is being done, how many clips are done, and of how many.
        batch: clips whose music is made at once.
    """

    def __init__(
        self,
        musician: Musician,
        material: Material,
        seeds: Sequence[int] = (0, 1, 2),
        progress: Progress = quiet,
        batch: int = BATCH,
    ) -> None:
        self.musician, self.material, self.seeds = musician, material, tuple(seeds)
        self.progress, self.batch = progress, batch

    def results(self, only: Collection[str] = MEASURES) -> list[Result]:
        """The rows of the table that `only` names, some of `MEASURES`, and the material allows."""
        return [result for results in self.measured(only) for result in results]

    def measured(self, only: Collection[str] = MEASURES) -> Iterator[list[Result]]:
        """The same, the rows of one measure after another as soon as they are known."""
        rows: dict[str, Callable[[], list[Result]]] = {
            "vae": lambda: judge_codec(self._codec),
            "tune": self._tune,
            "pulse": lambda: [judge_pulse(self._sounds, self._own_sounds)],
            "given": self._given,
            "picture": self._picture,
            "mood": self._mood,
            "spectrum": lambda: judge_spectrum(self._sounds, [c.spectra for c in self._codec], self._own_sounds),
            "long": self._long,
            "videos": lambda: judge_videos(list(self._videos())),
        }
        material: dict[str, Sequence[object]] = {"long": self.material.films, "videos": self.material.videos}
        chosen = [name for name in MEASURES if name in only and material.get(name, self.material.clips)]
        for name in chosen:
            yield rows[name]()

    @cached_property
    def _own(self) -> list[Rhythm]:
        """The rhythm of the clips' own music."""
        return [self._rhythm(clip.row, clip.music) for clip in self._each("held-out music", self.material.clips)]

    @cached_property
    def _own_sounds(self) -> list[Sound]:
        clips = zip(self._each("held-out sound", self.material.clips), self._own, strict=True)
        return [hear_sound(clip.music, own.onsets) for clip, own in clips]

    @cached_property
    def _codec(self) -> list[Codec]:
        clips = self._each("autoencoder", self.material.clips)
        return [hear_codec(clip.music, self.musician.reconstruct(clip.music)) for clip in clips]

    @cached_property
    def _asked(self) -> list[list[Asked]]:
        """The rhythms that the clips' pictures ask for: [clips][seeds]."""
        return [
            [asked for seed in self.seeds for asked in self.musician.asked_by_picture([clip.row], seed)]
            for clip in self._each("rhythms for pictures", self.material.clips)
        ]

    @cached_property
    def _played(self) -> tuple[list[list[Rhythm]], list[list[Sound]]]:
        """Rhythm and sound of the music that the clips' pictures ask for: [clips][seeds]."""
        rhythms, sounds = list[list[Rhythm]](), list[list[Sound]]()
        for clip, takes in self._play("music for pictures", self._asked):
            rhythms.append([self._rhythm(clip.row, music) for music in takes])
            pairs = zip(takes, rhythms[-1], strict=True)
            sounds.append([hear_sound(music, rhythm.onsets) for music, rhythm in pairs])
        return rhythms, sounds

    @property
    def _sounds(self) -> list[list[Sound]]:
        return self._played[1]

    def _tune(self) -> list[Result]:
        asked = [[self.musician.key(clip.row, seed) for seed in self.seeds] for clip in self.material.clips]
        return [judge_tune(self._sounds, self._own_sounds), *judge_key(asked, self._sounds)]

    def _given(self) -> list[Result]:
        clips = self.material.clips
        given = [self.musician.asked_by_music(clip.row, clip.music) for clip in clips]
        asked = [[curve] * len(self.seeds) for curve in given]
        played = self._play("music for given curves", asked)
        rhythms = [[self._rhythm(clip.row, music) for music in takes] for clip, takes in played]
        accents = [strong_accents(clip.music) for clip in clips]
        return judge_given(self._heard(asked, rhythms, accents))

    def _picture(self) -> list[Result]:
        cuts = [torch.tensor(clip.cuts, dtype=torch.float64) for clip in self.material.clips]
        return judge_picture(self._heard(self._asked, self._played[0], cuts))

    def _mood(self) -> list[Result]:
        clips = self.material.clips
        made = [(clip.film_pole, takes) for clip, takes in zip(clips, self._sounds, strict=True)]
        own = [(clip.music_pole, sound) for clip, sound in zip(clips, self._own_sounds, strict=True)]
        return judge_mood(made, own)

    def _long(self) -> list[Result]:
        takes, joins = list[list[Tensor]](), list[list[float]]()
        for film in self._each("long films", self.material.films):
            takes.append(self._scored(film.row))
            joins.append(joins_of(self.musician.windows(film.duration)))
        return judge_seams(takes, [film.music for film in self.material.films], joins)

    def _videos(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Cuts as detected, and onset strength of the takes, of each video that has cuts enough."""
        usable = [row for row in self.material.videos if len(row["cuts"]) >= EVENTS]
        for row in self._each("real videos", usable):
            onsets = [onset_strength(music) for music in self._scored(row)]
            yield torch.tensor(row["cuts"], dtype=torch.float64), onsets

    def _scored(self, row: Row) -> list[Tensor]:
        """Music for one picture, a take for each seed."""
        pairs = ((seed, self.musician.asked_by_picture([row], seed)) for seed in self.seeds)
        return [take for seed, asked in pairs for take in self.musician.play([row], asked, seed)]

    def _heard(
        self, asked: Sequence[Sequence[Asked]], takes: Sequence[Sequence[Rhythm]], events: Sequence[Tensor]
    ) -> list[Heard]:
        parts = zip(self.material.clips, asked, takes, events, self._own, strict=True)
        return [
            Heard([per_second(a.curve, a.rate) for a in told], t, e, own, clip.related)
            for clip, told, t, e, own in parts
        ]

    def _rhythm(self, row: Row, music: Tensor) -> Rhythm:
        return hear_rhythm(music, self.musician.rhythm_of(music, row["duration"]), self.musician.rate)

    def _play(self, what: str, asked: Sequence[Sequence[Asked]]) -> Iterator[tuple[Clip, list[Tensor]]]:
        """Each clip with its music for the rhythms [clips][seeds], made for some clips at once and not kept."""
        clips = self.material.clips
        for first in range(0, len(clips), self.batch):
            some, told = clips[first : first + self.batch], asked[first : first + self.batch]
            rows = [clip.row for clip in some]
            played = [self.musician.play(rows, curves, s) for s, *curves in zip(self.seeds, *told, strict=True)]
            for done, (clip, *takes) in enumerate(zip(some, *played, strict=True), first):
                self.progress(what, done, len(clips))
                yield clip, takes
        self.progress(what, len(clips), len(clips))

    def _each(self, what: str, things: Sequence[T]) -> Iterator[T]:
        """The things one after another, with progress."""
        for done, thing in enumerate(things):
            self.progress(what, done, len(things))
            yield thing
        self.progress(what, len(things), len(things))


def joins_of(windows: Sequence[Window]) -> list[float]:
    """Where windows meet, in seconds: where an overlap of neighbours begins, its middle, and where it ends."""
    overlaps = ((after.start, before.stop) for before, after in itertools.pairwise(windows))
    return [float(time) for start, stop in overlaps for time in (start, (start + stop) / 2, stop)]
