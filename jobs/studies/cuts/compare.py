"""Compares ways to find hard cuts, on composed films with exact truth and on labeled real films.

It is the command `diff-v2m experiment cuts`; its table stands in `jobs/studies/cuts/README.md`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jobs.options import SettingsError
from jobs.studies.cuts.films import HEIGHT, WIDTH, Material, Truth
from jobs.studies.cuts.fit import films
from jobs.studies.cuts.rivals import Times, our_transitions, rivals
from jobs.studies.cuts.shots import photographs
from stages.video.cuts.transitions import CUT, KINDS, Transition
from stages.video.ffmpeg import ffmpeg_binary, media_input

LABELS = Path(__file__).with_name("labels.json")
NEAR = 2.01  # frames by which a found cut may miss the true one
GRADUAL_NEAR = 0.3  # seconds by which the middle of a dissolve or fade may miss the true one
REAL = "real films"
T = TypeVar("T")


@dataclass
class Count:
    """How many transitions there are, were found, and were right.

    Attributes:
        true, found, right: numbers.
        errors: seconds between found and true of those that are right.
    """

    true: int = 0
    found: int = 0
    right: int = 0
    errors: list[float] = field(default_factory=list)

    def add(self, true: Sequence[float], found: Sequence[float], near: float) -> None:
        """Counts the transitions of one film, each found one for one true one at most, `near` seconds apart."""
        left = list(found)
        self.true += len(true)
        self.found += len(found)
        for moment in true:
            best = min(left, key=lambda other: abs(other - moment), default=None)
            if best is not None and abs(best - moment) <= near:
                left.remove(best)
                self.right += 1
                self.errors.append(abs(best - moment))

    @property
    def recall(self) -> float:
        """Share of the true ones that were found; 1 if there is none."""
        return self.right / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """Share of the found ones that are right; 1 if none was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision."""
        return 2 * self.right / (self.true + self.found) if self.true + self.found else 1.0

    def cells(self) -> str:
        """Returns cells of a table: true and found ones, recall, precision, F1, mean error in milliseconds."""
        error = f"{1000 * statistics.mean(self.errors):.0f}" if self.errors else ""
        return f"{self.true} | {self.found} | {self.recall:.3f} | {self.precision:.3f} | {self.f1:.3f} | {error}"


def labeled_paths(folder: Path) -> list[Path]:
    """Returns the paths of the labeled films (`labels.json`) that a folder holds.

    Raises:
        SettingsError: it holds none of them.
    """
    names = json.loads(LABELS.read_text())
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise SettingsError(f"{folder} has none of the labeled films: expected one of {', '.join(names)}")
    return found


def real_films(folder: Path) -> list[Material]:
    """Returns the labeled films that a folder holds.

    Raises:
        SettingsError: it holds none of them, or one that cannot be decoded.
    """
    labels = json.loads(LABELS.read_text())
    return [real_film(path, labels[path.name]) for path in labeled_paths(folder)]


def real_film(path: Path, marks: dict[str, Any]) -> Material:
    """Returns the frames of a film, as the product's decoder gives them to its detectors, and its labels.

    Args:
        path: the film.
        marks: `rate` in frames per second, and for each kind of transition its frames: a number for a cut, first and
            last for the other kinds.

    Raises:
        SettingsError: the film cannot be decoded.
    """
    stream = media_input(str(path))["V:0"].filter("scale", WIDTH, HEIGHT, flags="fast_bilinear")
    output = stream.output("pipe:", f="rawvideo", pix_fmt="bgr24", fps_mode="passthrough")
    done = subprocess.run(output.compile(ffmpeg_binary()), capture_output=True)
    pixels = np.frombuffer(done.stdout, np.uint8)
    if done.returncode or not pixels.size or pixels.size % (HEIGHT * WIDTH * 3):
        raise SettingsError(f"{path} cannot be decoded: name a folder with the films as they came")
    truth = [
        Truth(kind, *(mark if isinstance(mark, list) else (mark, mark)))
        for kind in KINDS
        for mark in marks.get(kind, ())
    ]
    truth.sort(key=lambda one: one.start)
    return Material(REAL, pixels.reshape(-1, HEIGHT, WIDTH, 3), float(marks["rate"]), tuple(truth))


def _cuts(transitions: Iterable[Transition]) -> Times:
    return [transition.time for transition in transitions if transition.kind == CUT]


def true_times(film: Material, kind: str) -> Times:
    """Returns the middles in seconds of a film's transitions of one kind."""
    return [(truth.start + truth.end) / 2 / film.rate for truth in film.truth if truth.kind == kind]


def compare_cuts(clips: Path, pictures: Path, seeds: int, progress: Callable[[str], None]) -> str:
    """Returns the tables of the study.

    Args:
        clips: folder with the labeled real films.
        pictures: folder of photographs, the one that the network was fitted with.
        seeds: number of held-out seeds, each a film of every kind.
        progress: takes a line for each part that is done.

    Raises:
        SettingsError: a folder lacks what it should have.
    """
    photos = photographs(pictures)
    material = real_films(clips)
    for film in films(range(1, 2 * seeds, 2), photos):
        material.append(film)
        progress(f"composed {len(material)} films")
    transitions, cost = _timed(our_transitions, material)
    lines = [_by_kind(material, transitions), "", *_header("hard cuts by", "setting", "µs per frame")]
    lines += _rows("ours", "shipped", [_cuts(found) for found in transitions], material, cost)
    for least in (0.2, 0.5, 0.65, 0.8):
        found, cost = _timed(partial(our_transitions, least=least), material)
        lines += _rows("ours", f"{least}", [_cuts(one) for one in found], material, cost)
    for name, choices in rivals():
        results = [(setting, *_timed(find, material)) for setting, find in choices]
        progress(f"measured {name}")
        # Its makers' setting, and the one that is best on these very films, which favors it.
        best = max(results, key=lambda one: _counted(material, one[1]).f1)
        for setting, times, seconds in [results[0], *([best] if best is not results[0] else [])]:
            lines += _rows(name, setting, times, material, seconds)
    return "\n".join(lines) + "\n"


def _timed(call: Callable[[Material], T], material: Sequence[Material]) -> tuple[list[T], float]:
    """Returns the results for all films, and the processor time per frame in microseconds."""
    start = time.process_time()
    results = [call(film) for film in material]
    return results, (time.process_time() - start) / sum(len(film.frames) for film in material) * 1e6


def _counted(material: Iterable[Material], found: Iterable[Times], kind: str = CUT) -> Count:
    count = Count()
    for film, times in zip(material, found, strict=True):
        count.add(true_times(film, kind), times, NEAR / film.rate if kind == CUT else GRADUAL_NEAR)
    return count


def _header(*first: str) -> list[str]:
    names = [*first, "true", "found", "recall", "precision", "F1", "error in ms"]
    return ["| " + " | ".join(names) + " |", "| " + " | ".join("---" for _ in names) + " |"]


def _by_kind(material: Sequence[Material], transitions: Sequence[list[Transition]]) -> str:
    """Returns the table of the product's detector: a row for each kind of film and of transition."""
    films_of = defaultdict[str, list[int]](list)
    for number, film in enumerate(material):
        films_of[film.name].append(number)
    lines = _header("films", "transition")
    for name, numbers in films_of.items():
        for kind in KINDS:
            found = [[transition.time for transition in transitions[n] if transition.kind == kind] for n in numbers]
            count = _counted([material[n] for n in numbers], found, kind)
            if count.true or count.found:
                lines.append(f"| {name} | {kind} | {count.cells()} |")
    return "\n".join(lines)


def _rows(name: str, setting: str, found: Sequence[Times], material: Sequence[Material], cost: float) -> list[str]:
    """Returns two rows: on real films, and on composed ones."""
    rows = []
    for title, wanted in ((REAL, True), ("composed films", False)):
        chosen = [number for number, film in enumerate(material) if (film.name == REAL) == wanted]
        count = _counted([material[n] for n in chosen], [found[n] for n in chosen])
        rows.append(f"| {name}, {title} | {setting} | {cost:.0f} | {count.cells()} |")
    return rows
