"""The evaluator: every row of the scorecard for one model, each piece of music made once and measured once."""

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
    CodecMeasurement,
    RhythmMeasurement,
    SoundMeasurement,
    measure_codec,
    measure_rhythm,
    measure_sound,
    per_second,
    strong_accents,
)
from pipeline.evaluation.generator import EvaluatedModel, TargetRhythm
from pipeline.evaluation.held_out import HeldOutClip
from pipeline.evaluation.scorecard import (
    EVENTS,
    ClipMeasurements,
    score_codec,
    score_given,
    score_key,
    score_mood,
    score_picture,
    score_pulse,
    score_seams,
    score_spectrum,
    score_tune,
    score_videos,
)
from stages.contracts import Row

MEASURES = ("vae", "tune", "pulse", "given", "picture", "mood", "spectrum", "long", "videos")
"""Names of the measures, in the order of the table; each can be asked for by itself."""
ON_CLIPS = frozenset(MEASURES) - {"long", "videos"}
"""Measures that need held-out clips."""

CLIPS_PER_BATCH = 8
"""Clips whose music is made at once."""

ProgressCallback = Callable[[str, int, int], None]
"""(what is being done, clips done, clips in all) -> None."""
T = TypeVar("T")


def no_progress(what: str, done: int, total: int) -> None:
    """A callback that shows nothing."""


@dataclass(frozen=True)
class EvaluationSet:
    """The clips and videos that a model is evaluated with.

    Attributes:
        clips: held-out clips of one length.
        films: held-out films longer than a window.
        videos: rows of `FEATURES` of real videos; those with fewer than two cuts are left out.
    """

    clips: Sequence[HeldOutClip] = ()
    films: Sequence[HeldOutClip] = ()
    videos: Sequence[Row] = ()


class Evaluator:
    """Measures one model on an evaluation set.

    Args:
        model: the model that is evaluated.
        evaluation_set: clips and videos that it makes music for.
        seeds: seeds of the noise; every clip gets a piece of music for each.
        on_progress: called with what is being done, how many clips are done, and how many there are.
        batch: clips whose music is made at once.
    """

    def __init__(
        self,
        model: EvaluatedModel,
        evaluation_set: EvaluationSet,
        seeds: Sequence[int] = (0, 1, 2),
        on_progress: ProgressCallback = no_progress,
        batch: int = CLIPS_PER_BATCH,
    ) -> None:
        self.model, self.evaluation_set, self.seeds = model, evaluation_set, tuple(seeds)
        self.on_progress, self.batch = on_progress, batch

    def results(self, only: Collection[str] = MEASURES) -> list[Result]:
        """The rows of the table for the measures that `only` names and the evaluation set allows."""
        return [result for results in self.measured(only) for result in results]

    def measured(self, only: Collection[str] = MEASURES) -> Iterator[list[Result]]:
        """The rows of the table as in `results`, those of one measure after another as soon as they are known."""
        measures: dict[str, Callable[[], list[Result]]] = {
            "vae": lambda: score_codec(self._codec),
            "tune": self._tune,
            "pulse": lambda: [score_pulse(self._sounds, self._own_sounds)],
            "given": self._given,
            "picture": self._picture,
            "mood": self._mood,
            "spectrum": lambda: score_spectrum(self._sounds, [c.spectrum_sums for c in self._codec], self._own_sounds),
            "long": self._long,
            "videos": lambda: score_videos(list(self._videos())),
        }
        needed: dict[str, Sequence[object]] = {"long": self.evaluation_set.films, "videos": self.evaluation_set.videos}
        for name in MEASURES:
            if name in only and needed.get(name, self.evaluation_set.clips):
                yield measures[name]()

    @cached_property
    def _own_rhythms(self) -> list[RhythmMeasurement]:
        """The rhythm of the clips' own music."""
        clips = self._each("held-out music", self.evaluation_set.clips)
        return [self._measure_rhythm(clip.row, clip.music) for clip in clips]

    @cached_property
    def _own_sounds(self) -> list[SoundMeasurement]:
        """The sound of the clips' own music."""
        clips = zip(self._each("held-out sound", self.evaluation_set.clips), self._own_rhythms, strict=True)
        return [measure_sound(clip.music, own.onsets) for clip, own in clips]

    @cached_property
    def _codec(self) -> list[CodecMeasurement]:
        """The clips' own music after the autoencoder, beside itself."""
        clips = self._each("autoencoder", self.evaluation_set.clips)
        return [measure_codec(clip.music, self.model.reconstruct(clip.music)) for clip in clips]

    @cached_property
    def _picture_targets(self) -> list[list[TargetRhythm]]:
        """The rhythms that the clips' pictures ask for: [clips][seeds]."""
        clips = self._each("rhythms for pictures", self.evaluation_set.clips)
        return [[self.model.target_of_picture(clip.row, seed) for seed in self.seeds] for clip in clips]

    @cached_property
    def _picture_music(self) -> tuple[list[list[RhythmMeasurement]], list[list[SoundMeasurement]]]:
        """Rhythm and sound of the music for the clips' pictures: [clips][seeds] each."""
        rhythms, sounds = list[list[RhythmMeasurement]](), list[list[SoundMeasurement]]()
        for clip, takes in self._generate("music for pictures", self._picture_targets):
            rhythms.append([self._measure_rhythm(clip.row, music) for music in takes])
            pairs = zip(takes, rhythms[-1], strict=True)
            sounds.append([measure_sound(music, rhythm.onsets) for music, rhythm in pairs])
        return rhythms, sounds

    @property
    def _sounds(self) -> list[list[SoundMeasurement]]:
        return self._picture_music[1]

    def _tune(self) -> list[Result]:
        keys = [[self.model.key(clip.row, seed) for seed in self.seeds] for clip in self.evaluation_set.clips]
        return [score_tune(self._sounds, self._own_sounds), *score_key(keys, self._sounds)]

    def _given(self) -> list[Result]:
        clips = self.evaluation_set.clips
        targets = [[self.model.target_of_music(clip.row, clip.music)] * len(self.seeds) for clip in clips]
        music = self._generate("music for given curves", targets)
        rhythms = [[self._measure_rhythm(clip.row, take) for take in takes] for clip, takes in music]
        accents = [strong_accents(clip.music) for clip in clips]
        return score_given(self._clip_measurements(targets, rhythms, accents))

    def _picture(self) -> list[Result]:
        cuts = [torch.tensor(clip.cuts, dtype=torch.float64) for clip in self.evaluation_set.clips]
        return score_picture(self._clip_measurements(self._picture_targets, self._picture_music[0], cuts))

    def _mood(self) -> list[Result]:
        clips = self.evaluation_set.clips
        made = [(clip.film_mood_label, takes) for clip, takes in zip(clips, self._sounds, strict=True)]
        own = [(clip.music_mood_label, sound) for clip, sound in zip(clips, self._own_sounds, strict=True)]
        return score_mood(made, own)

    def _long(self) -> list[Result]:
        takes, joins = list[list[Tensor]](), list[list[float]]()
        for film in self._each("long films", self.evaluation_set.films):
            takes.append(self._takes(film.row))
            joins.append(joins_of(self.model.windows(film.duration)))
        return score_seams(takes, [film.music for film in self.evaluation_set.films], joins)

    def _videos(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Detected cuts, and onset strength of each take, for each video with enough cuts."""
        usable = [row for row in self.evaluation_set.videos if len(row["cuts"]) >= EVENTS]
        for row in self._each("real videos", usable):
            onsets = [onset_strength(music) for music in self._takes(row)]
            yield torch.tensor(row["cuts"], dtype=torch.float64), onsets

    def _takes(self, row: Row) -> list[Tensor]:
        """Music for one picture, one take for each seed."""
        targets = ((seed, self.model.target_of_picture(row, seed)) for seed in self.seeds)
        return [take for seed, target in targets for take in self.model.generate([row], [target], seed)]

    def _clip_measurements(
        self,
        targets: Sequence[Sequence[TargetRhythm]],
        rhythms: Sequence[Sequence[RhythmMeasurement]],
        events: Sequence[Tensor],
    ) -> list[ClipMeasurements]:
        """Targets and takes [clips][seeds] of each clip, beside its events and its own music."""
        parts = zip(self.evaluation_set.clips, targets, rhythms, events, self._own_rhythms, strict=True)
        return [
            ClipMeasurements([per_second(t.curve, t.rate) for t in wanted], takes, times, own, clip.related)
            for clip, wanted, takes, times, own in parts
        ]

    def _measure_rhythm(self, row: Row, music: Tensor) -> RhythmMeasurement:
        return measure_rhythm(music, self.model.rhythm_of(music, row["duration"]), self.model.rate)

    def _generate(
        self, what: str, targets: Sequence[Sequence[TargetRhythm]]
    ) -> Iterator[tuple[HeldOutClip, list[Tensor]]]:
        """Each clip with its music for the targets [clips][seeds], made for some clips at once and not kept."""
        clips = self.evaluation_set.clips
        for first in range(0, len(clips), self.batch):
            some, wanted = clips[first : first + self.batch], targets[first : first + self.batch]
            rows = [clip.row for clip in some]
            by_seed = zip(self.seeds, *wanted, strict=True)
            music = [self.model.generate(rows, of_seed, seed) for seed, *of_seed in by_seed]
            for done, (clip, *takes) in enumerate(zip(some, *music, strict=True), first):
                self.on_progress(what, done, len(clips))
                yield clip, takes
        self.on_progress(what, len(clips), len(clips))

    def _each(self, what: str, things: Sequence[T]) -> Iterator[T]:
        """The things one after another, with progress."""
        for done, thing in enumerate(things):
            self.on_progress(what, done, len(things))
            yield thing
        self.on_progress(what, len(things), len(things))


def joins_of(windows: Sequence[Window]) -> list[float]:
    """Where windows meet, in seconds: where an overlap of neighbors begins, its middle, and where it ends."""
    overlaps = ((after.start, before.stop) for before, after in itertools.pairwise(windows))
    return [float(time) for start, stop in overlaps for time in (start, (start + stop) / 2, stop)]
