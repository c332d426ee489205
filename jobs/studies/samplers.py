"""How near samplers come to the converged solution: `python -m jobs.studies.samplers PICTURE.png MODEL ...`.

A model is a preset, which is given a composed video, or the path of any checkpoint, which is given random features. The
solution is DDIM's with thousands of steps; errors are those of the latents, in standard deviations of the solution's.
At last the model's own steps are timed beside 250 plain ones of DDIM, as released, in turns.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets.synthetic_videos import write_clip
from pipeline.evaluation.held_out import Reader
from stages.inference.batching import drawn_rhythm, paced_features
from stages.plots.losses import BACKGROUND, COLORS, INK, SOFT, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from models import Conditions, DiffV2M

REFERENCE, SECONDS, SEED = 4000, 6.0, 30_000
COUNTS = (12, 16, 20, 25, 32, 50, 100, 250)
RELEASED, TURNS = 250, 2
SIZE, MARGIN = (560, 360), 64
Errors = Mapping[str, Mapping[int, float]]
"""Of each sampler, for each number of steps."""


def study(model: DiffV2M, conditions: Conditions, noise: Tensor, guidance: float, solution: Tensor) -> Errors:
    """Errors of all samplers; `noise` and `solution` are [clips, channels, frames]."""
    from models.sampling.samplers import SAMPLERS

    def error(sampler: str, steps: int) -> float:
        return _error(model.sample(noise, conditions, steps, guidance, sampler), solution)

    return {name: {steps: error(name, steps) for steps in COUNTS} for name in SAMPLERS}


@dataclass(frozen=True)
class Pair:
    """Whole samplings: as released, plainly and in 250 steps of DDIM, and by a model's default; seconds and errors."""

    steps: int
    plain: tuple[float, float]
    default: tuple[float, float]

    def __str__(self) -> str:
        (slow, first), (quick, second) = self.plain, self.default
        return (
            f"{RELEASED} plain steps of DDIM: {slow:.2f} s, error {first:.4f}; {self.steps} steps as by default: "
            f"{quick:.2f} s, error {second:.4f}; {slow / quick:.1f} times as fast"
        )


def paired(model: DiffV2M, conditions: Conditions, noise: Tensor, guidance: float, solution: Tensor) -> Pair:
    """Time whole samplings in turns."""
    from models.bench import plain_velocity
    from models.sampling.samplers import SAMPLERS

    steps, plain = model.config.sampling.steps, plain_velocity(model, conditions, guidance)

    def as_released() -> Tensor:
        return SAMPLERS["ddim"](lambda x, t: plain(x, x.new_full((len(x),), t)), noise, RELEASED, model.dit.switch)

    def by_default() -> Tensor:
        return model.sample(noise, conditions, steps, guidance)

    ways, spent = (as_released, by_default), list[list[float]]()
    found = [way() for way in ways]
    for _ in range(TURNS):
        began = [time.perf_counter()]
        for way in ways:
            way()
            began.append(time.perf_counter())
        spent.append([end - start for start, end in pairwise(began)])
    slow, quick = (min(seconds) for seconds in zip(*spent, strict=True))
    first, second = (_error(latents, solution) for latents in found)
    return Pair(steps, (slow, first), (quick, second))


def _error(latents: Tensor, solution: Tensor) -> float:
    return float((latents - solution).square().mean().sqrt() / solution.std())


def needed(errors: Errors, sampler: str, bar: float) -> int | None:
    """The fewest steps of a sampler from which on its error is no larger than the bar."""
    enough = None
    for steps, error in sorted(errors[sampler].items(), reverse=True):
        if error > bar:
            break
        enough = steps
    return enough


def conditions_for(model: DiffV2M, name: str) -> Conditions:
    """What steers the study: a composed video of some seconds for a preset, random features for another model."""
    from models.weights.presets import PRESETS

    return _of_video(model) if name in PRESETS else _of_chance(model)


def _of_video(model: DiffV2M) -> Conditions:
    from models.features.key import drawn_tonic
    from models.sampling.windows import Timeline

    with tempfile.TemporaryDirectory(prefix="diff-v2m-") as folder:
        write_clip(SEED, SECONDS, folder)
        (path,) = Path(folder).glob("*.mp4")
        row = Reader().read(path)
    timeline = Timeline(model.lengths, row["duration"])
    features = model.keyed(paced_features(row, timeline, model.config), drawn_tonic("study"))
    return model.condition(features, predicted_rhythm=drawn_rhythm(model, row, timeline, "study"))


def _of_chance(model: DiffV2M) -> Conditions:
    import torch

    from models import Features

    chance, seconds = torch.Generator().manual_seed(SEED), int(SECONDS)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=chance)

    semantic, color = uniform(seconds, model.config.semantic_dim), uniform(seconds, model.config.color_dim)
    return model.condition([Features(semantic, color, (uniform(seconds) > 0.8).float(), uniform(seconds))])


def table(studies: Mapping[str, Errors]) -> str:
    """In Markdown: an error for each model, sampler and number of steps, and what comes up to 250 steps of DDIM."""
    head = "| model | sampler | " + " | ".join(map(str, COUNTS)) + " | as good as DDIM with 250 |"
    lines = [head, "| --- " * (len(COUNTS) + 3) + "|"]
    for model, errors in studies.items():
        for sampler, values in errors.items():
            cells = " | ".join(f"{values[steps]:.4f}" for steps in COUNTS)
            lines.append(f"| {model} | {sampler} | {cells} | {needed(errors, sampler, errors['ddim'][250]) or '-'} |")
    return "\n".join(lines)


def draw(studies: Mapping[str, Errors], path: Path) -> None:
    """Write a PNG: error over steps, both on logarithmic axes, a panel for each model.

    Raises:
        OSError: it cannot be written.
    """
    import cv2

    width, height = SIZE
    canvas = np.full((height + 2 * MARGIN, (width + MARGIN) * len(studies) + MARGIN, 3), BACKGROUND, np.uint8)
    for number, (model, errors) in enumerate(studies.items()):
        left, values = MARGIN + number * (width + MARGIN), [e for line in errors.values() for e in line.values()]
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

        def place(steps: float, error: float, left: int = left, low: int = low, high: int = high) -> tuple[int, int]:
            across = math.log(steps / COUNTS[0]) / math.log(COUNTS[-1] / COUNTS[0])
            up = (math.log10(error) - low) / (high - low)
            return round(left + across * width), round(MARGIN + (1 - up) * height)

        write_text(canvas, model, left, MARGIN - 18, 0.6, INK)
        for power in range(low, high + 1):
            cv2.line(canvas, place(COUNTS[0], 10.0**power), place(COUNTS[-1], 10.0**power), SOFT, 1, cv2.LINE_AA)
            write_text(canvas, f"{10.0**power:g}", left - 46, place(COUNTS[0], 10.0**power)[1] + 5, 0.45, SOFT)
        for steps in COUNTS:
            write_text(canvas, str(steps), place(steps, 1)[0] - 8, MARGIN + height + 22, 0.45, SOFT)
        for row, ((sampler, line), color) in enumerate(zip(errors.items(), COLORS, strict=False)):
            points = np.array([place(steps, error) for steps, error in line.items()], np.int32)
            cv2.polylines(canvas, [points], False, color, 2, cv2.LINE_AA)
            write_text(canvas, sampler, left + 12, MARGIN + height - 12 - 20 * row, 0.5, color)
    done, data = cv2.imencode(".png", canvas)
    if not done:
        raise OSError(f"cannot write a picture to {path}")
    path.write_bytes(data.tobytes())


def main(picture: str, names: Sequence[str]) -> None:
    import torch

    from models import load_model

    studies, pairs = dict[str, Errors](), dict[str, Pair]()
    for name in names:
        model = load_model(name, parts=("conditioner", "dit"))
        conditions = conditions_for(model, name)
        noise = torch.randn(
            len(conditions),
            model.config.latent_channels,
            model.lengths.latents_of(SECONDS),
            generator=torch.Generator().manual_seed(SEED),
        )
        guidance = model.config.sampling.guidance
        solution = model.sample(noise, conditions, REFERENCE, guidance, "ddim")
        studies[Path(name).name] = study(model, conditions, noise, guidance, solution)
        pairs[Path(name).name] = paired(model, conditions, noise, guidance, solution)
    draw(studies, Path(picture))
    print(table(studies))
    for name, pair in pairs.items():
        print(f"{name}: {pair}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
