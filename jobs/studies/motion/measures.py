"""What a model's music does with dancers: its beats against kinematic beats, beside its hits in films without people.

It is the command `diff-v2m experiment dance`; its table stands in `jobs/studies/motion/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.features.audio import onset_strength
from models.features.beat_grid import is_danced
from models.features.rhythm_curve import pulses
from models.metrics.beat_alignment import beat_alignment_above_chance, beats_of_music
from models.metrics.metrics import Interval, hits_above_chance, interval, pearson
from models.weights.source import ModelSource
from pipeline.evaluation.audio_metrics import per_second
from pipeline.evaluation.generator import EvaluatedGenerator, EvaluatedModel, EvaluationSettings
from pipeline.evaluation.held_out import FeatureReader, HeldOutClip, held_out_clips

SECONDS = 24.0
LEAST_BEATS, LEAST_CUTS = 8, 2
NEAR = 0.08
"""Seconds between a true kinematic beat and a found one that still count as the same."""
PULSE_RATE = 44100 / 2048
"""Values per second of the pulses of which a groove is made."""
COLUMNS = (
    "dance: beat alignment above chance",
    "kinematic beats hit above chance",
    "no people: cuts hit above chance",
    "no people: r per second",
)


@dataclass(frozen=True)
class HeldOutFilms:
    """Held-out composed films.

    Attributes:
        dance: films with dancers, which may follow the music of the corpus or not.
        plain: films without people.
    """

    dance: Sequence[HeldOutClip]
    plain: Sequence[HeldOutClip]


def read_films(folder: Path, clips: int, progress: Callable[[str], None]) -> HeldOutFilms:
    """Returns `clips` films of each kind; those that are not in the folder yet are made."""
    reader = FeatureReader(cache=folder / "features")
    kinds = []
    for people in ("dance", "none"):
        kinds.append(held_out_clips(folder / people, clips, SECONDS, reader, people=people))
        progress(f"{clips} films: {people}")
    return HeldOutFilms(*kinds)


def measure(model: EvaluatedModel, films: HeldOutFilms, seeds: int) -> list[Interval]:
    """Returns the values of `COLUMNS`, each a mean over the films with its 95% bootstrap interval.

    Args:
        model: makes the music.
        films: what it makes music for.
        seeds: pieces of music for each film.
    """
    values: list[list[float]] = [[] for _ in COLUMNS]
    for film in films.dance:
        kinematic = np.array(film.truth["kinematic_beats"])
        if len(kinematic) >= LEAST_BEATS:
            takes = _takes(model, film, seeds)
            values[0].append(
                _mean(
                    beat_alignment_above_chance(kinematic, beats_of_music(music), film.duration) for music, _ in takes
                )
            )
            events = torch.from_numpy(kinematic)
            values[1].append(_mean(hits_above_chance(events, onset_strength(music)) for music, _ in takes))
    for film in films.plain:
        if len(film.cuts) >= LEAST_CUTS:
            takes, cuts = _takes(model, film, seeds), torch.tensor(film.cuts, dtype=torch.float64)
            values[2].append(_mean(hits_above_chance(cuts, onset_strength(music)) for music, _ in takes))
            values[3].append(_mean(r for _, r in takes))
    return [interval(column) for column in values]


@dataclass(frozen=True)
class FoundBeats:
    """How many true kinematic beats are found, each by one found beat within `NEAR` seconds.

    Attributes:
        recall: share of the true beats that are found.
        precision: share of the found beats that are true.
        error: median of the times found minus the true ones, in seconds.
        danced: share of the films whose groove follows the dancers.
    """

    recall: float
    precision: float
    error: float
    danced: float

    def __str__(self) -> str:
        return (
            f"kinematic beats found within {1000 * NEAR:.0f} ms: recall {self.recall:.2f}, precision "
            f"{self.precision:.2f}, median error {1000 * self.error:+.0f} ms; "
            f"grooves that follow the dancers: {self.danced:.0%}"
        )


def found_beats(films: Sequence[HeldOutClip]) -> FoundBeats:
    """Returns how well the kinematic beats of films with dancers are found.

    Args:
        films: the films. True beats near a cut count as well, though none is looked for there.
    """
    errors: list[float] = []
    true_count = found_count = danced = 0
    for film in films:
        true = np.array(film.truth["kinematic_beats"])
        times, strengths = film.row["kinematic_beats"].reshape(-1, 2).T
        true_count, found_count = true_count + len(true), found_count + len(times)
        free = list(times)
        for time in true:
            nearest = min(free, key=lambda other: abs(other - time), default=np.inf)
            if abs(nearest - time) <= NEAR:
                free.remove(nearest)
                errors.append(nearest - time)
        at, height = torch.from_numpy(times.copy()), torch.from_numpy(strengths.copy())
        danced += is_danced(pulses(at, height, PULSE_RATE, round(film.duration * PULSE_RATE)), PULSE_RATE)
    error = float(np.median(errors)) if errors else float("nan")
    return FoundBeats(len(errors) / max(true_count, 1), len(errors) / max(found_count, 1), error, danced / len(films))


def _takes(model: EvaluatedModel, film: HeldOutClip, seeds: int) -> list[tuple[torch.Tensor, float]]:
    """Returns pieces of music, and of each the correlation per second of its rhythm with the one that was asked for."""
    found = []
    for seed in range(seeds):
        target = model.target_of_picture(film.row, seed)
        (music,) = model.generate([film.row], [target], seed)
        asked, played = target.curve, model.rhythm_of(music, film.duration)
        inner = slice(1, -1)  # all music begins in the first second and ends in the last
        r = pearson(per_second(asked, target.rate)[inner], per_second(played, target.rate)[inner])
        found.append((music, float(r)))
    return found


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def format_row(name: str, measured: Sequence[Interval]) -> str:
    """Returns a line of a Markdown table."""
    cells = [f"{value.mean:+.2f} ({value.low:+.2f} .. {value.high:+.2f})" for value in measured]
    return "| " + " | ".join([name, *cells]) + " |"


def table_head() -> list[str]:
    """Returns the first two lines of the table."""
    return ["| | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]


def measure_models(models: Sequence[str], folder: Path, clips: int, seeds: int, progress: Callable[[str], None]) -> str:
    """Returns a table of models, each a preset or a checkpoint.

    Args:
        models: their names.
        folder: folder that takes the films and their features.
        clips: films of each kind.
        seeds: pieces of music for each film.
        progress: takes a line for each step that is done.
    """
    films = read_films(folder, clips, progress)
    progress(str(found_beats(films.dance)))
    lines = table_head()
    for name in models:
        model = EvaluatedGenerator(EvaluationSettings(ModelSource(name)))
        lines.append(format_row(Path(name).name, measure(model, films, seeds)))
        progress(lines[-1])
    return "\n".join(lines) + "\n"
