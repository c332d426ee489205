"""The errors of samplers against the converged solution: `diff-v2m experiment samplers PICTURE.png MODEL ...`.

A preset gets the features of a composed video, any other checkpoint gets random features. The solution is what DDIM
gives with thousands of steps. Errors are those of the latents, in standard deviations of the solution's latents.
At the end the model's default sampling is timed against 250 plain steps of DDIM, as released, in turns.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets.synthetic_clip import write_clip
from pipeline.evaluation.held_out import FeatureReader
from stages.inference.generator import MusicGenerator
from stages.plots.losses import BACKGROUND, COLORS, INK, SOFT, write_text
from stages.plots.png import write_png

if TYPE_CHECKING:
    from torch import Tensor

    from models import Conditions, DiffV2M

REFERENCE_STEPS = 4000
"""Steps of DDIM whose result counts as the converged solution."""
RELEASED_STEPS = 250
"""Steps of the released script."""
STEP_COUNTS = (12, 16, 20, 25, 32, 50, 100, 250)
SECONDS, SEED = 6.0, 30_000
TURNS = 2
"""Times that each way is timed; the fastest counts."""
SIZE, MARGIN = (560, 360), 64
"""Width and height of a panel, and the margin around it, in pixels."""

Errors = Mapping[str, Mapping[int, float]]
"""Sampler -> number of steps -> error."""


def sampler_errors(model: DiffV2M, conditions: Conditions, noise: Tensor, guidance: float, solution: Tensor) -> Errors:
    """The errors of all samplers with all numbers of steps.

    Args:
        noise: where all samplers start, [clips, channels, frames].
        solution: the converged latents, of the same shape.
    """
    from models.sampling.samplers import SAMPLERS

    def error(sampler: str, steps: int) -> float:
        return _error(model.sample(noise, conditions, steps, guidance, sampler), solution)

    return {name: {steps: error(name, steps) for steps in STEP_COUNTS} for name in SAMPLERS}


@dataclass(frozen=True)
class SpeedComparison:
    """The speed of two ways to sample.

    Attributes:
        steps: steps of the model's default.
        plain: seconds and error of 250 steps of DDIM with plain guidance, as released.
        default: seconds and error of the model's default.
    """

    steps: int
    plain: tuple[float, float]
    default: tuple[float, float]

    def __str__(self) -> str:
        (slow, first), (quick, second) = self.plain, self.default
        return (
            f"{RELEASED_STEPS} plain steps of DDIM: {slow:.2f} s, error {first:.4f}; {self.steps} steps as by default: "
            f"{quick:.2f} s, error {second:.4f}; {slow / quick:.1f} times as fast"
        )


def compare_speed(
    model: DiffV2M, conditions: Conditions, noise: Tensor, guidance: float, solution: Tensor
) -> SpeedComparison:
    """Times whole samplings, the two ways in turns; the shapes are those of `sampler_errors`."""
    from models.bench import reference_velocity
    from models.sampling.samplers import SAMPLERS

    steps, plain = model.config.sampling.steps, reference_velocity(model, conditions, guidance)

    def as_released() -> Tensor:
        return SAMPLERS["ddim"](
            lambda x, t: plain(x, x.new_full((len(x),), t)), noise, RELEASED_STEPS, model.dit.switch
        )

    def by_default() -> Tensor:
        return model.sample(noise, conditions, steps, guidance)

    ways, turns = (as_released, by_default), list[list[float]]()
    results = [way() for way in ways]
    for _ in range(TURNS):
        times = [time.perf_counter()]
        for way in ways:
            way()
            times.append(time.perf_counter())
        turns.append([end - start for start, end in pairwise(times)])
    slow, quick = (min(seconds) for seconds in zip(*turns, strict=True))
    first, second = (_error(latents, solution) for latents in results)
    return SpeedComparison(steps, (slow, first), (quick, second))


def _error(latents: Tensor, solution: Tensor) -> float:
    """Root mean square difference, in standard deviations of the solution."""
    return float((latents - solution).square().mean().sqrt() / solution.std())


def steps_needed(errors: Errors, sampler: str, limit: float) -> int | None:
    """The fewest steps of a sampler from which on its error stays within a limit; None if it never does."""
    enough = None
    for steps, error in sorted(errors[sampler].items(), reverse=True):
        if error > limit:
            break
        enough = steps
    return enough


def conditions_for(model: DiffV2M, name: str) -> Conditions:
    """The conditions of the study: those of a composed video for a preset, of random features for another model."""
    from models.weights.presets import PRESETS

    return _video_conditions(model) if name in PRESETS else _random_conditions(model)


def _video_conditions(model: DiffV2M) -> Conditions:
    with tempfile.TemporaryDirectory(prefix="diff-v2m-") as folder:
        write_clip(SEED, SECONDS, folder, people="none")
        (path,) = Path(folder).glob("*.mp4")
        row = FeatureReader().read(path)
    generator = MusicGenerator(model)
    return generator.conditions([row], generator.predict_rhythms([row]))


def _random_conditions(model: DiffV2M) -> Conditions:
    import torch

    from models import Features

    generator, seconds = torch.Generator().manual_seed(SEED), int(SECONDS)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    semantic, color = uniform(seconds, model.config.semantic_dim), uniform(seconds, model.config.color_dim)
    return model.condition([Features(semantic, color, (uniform(seconds) > 0.8).float(), uniform(seconds))])


def format_table(studies: Mapping[str, Errors]) -> str:
    """The errors of all models as a Markdown table.

    The last column is the number of steps that are as good as 250 of DDIM.
    """
    head = "| model | sampler | " + " | ".join(map(str, STEP_COUNTS)) + " | as good as DDIM with 250 |"
    lines = [head, "| --- " * (len(STEP_COUNTS) + 3) + "|"]
    for model, errors in studies.items():
        for sampler, values in errors.items():
            cells = " | ".join(f"{values[steps]:.4f}" for steps in STEP_COUNTS)
            lines.append(
                f"| {model} | {sampler} | {cells} | {steps_needed(errors, sampler, errors['ddim'][250]) or '-'} |"
            )
    return "\n".join(lines)


def draw_errors(studies: Mapping[str, Errors], path: Path) -> None:
    """Writes a PNG of the errors over the steps, both on logarithmic axes, with a panel for each model.

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
            across = math.log(steps / STEP_COUNTS[0]) / math.log(STEP_COUNTS[-1] / STEP_COUNTS[0])
            up = (math.log10(error) - low) / (high - low)
            return round(left + across * width), round(MARGIN + (1 - up) * height)

        write_text(canvas, model, left, MARGIN - 18, 0.6, INK)
        for power in range(low, high + 1):
            cv2.line(
                canvas, place(STEP_COUNTS[0], 10.0**power), place(STEP_COUNTS[-1], 10.0**power), SOFT, 1, cv2.LINE_AA
            )
            write_text(canvas, f"{10.0**power:g}", left - 46, place(STEP_COUNTS[0], 10.0**power)[1] + 5, 0.45, SOFT)
        for steps in STEP_COUNTS:
            write_text(canvas, str(steps), place(steps, 1)[0] - 8, MARGIN + height + 22, 0.45, SOFT)
        for row, ((sampler, line), color) in enumerate(zip(errors.items(), COLORS, strict=False)):
            points = np.array([place(steps, error) for steps, error in line.items()], np.int32)
            cv2.polylines(canvas, [points], False, color, 2, cv2.LINE_AA)
            write_text(canvas, sampler, left + 12, MARGIN + height - 12 - 20 * row, 0.5, color)
    write_png(path, canvas)


def compare_samplers(names: Sequence[str], picture: Path) -> str:
    """Studies the samplers with some models, and draws the errors.

    Args:
        names: presets, or paths of checkpoints.
        picture: path of the PNG that is written.

    Returns:
        The table of all models in Markdown, then a line for each model about its speed.

    Raises:
        CheckpointError: there is no such model.
        OSError: the picture cannot be written.
    """
    import torch

    from models import load_model

    studies, pairs = dict[str, Errors](), dict[str, SpeedComparison]()
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
        solution = model.sample(noise, conditions, REFERENCE_STEPS, guidance, "ddim")
        studies[Path(name).name] = sampler_errors(model, conditions, noise, guidance, solution)
        pairs[Path(name).name] = compare_speed(model, conditions, noise, guidance, solution)
    draw_errors(studies, picture)
    return "\n".join([format_table(studies), *(f"{name}: {pair}" for name, pair in pairs.items())])
