"""What each view of motion brings: rhythm predictors that differ in what they read of the picture, and nothing else.

Each predictor is trained from scratch with the same data and steps, and takes the place of the shipped model's: its DiT
and its autoencoder make the music. Run again, the study goes on; predictors that are done are not trained again. It is
the command `diff-v2m experiment motion`.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.options import SettingsError
from jobs.studies.motion.measures import format_row, measure, read_films, table_head
from models.training.config import TrainConfig
from models.weights.presets import PRESETS
from models.weights.source import ModelSource
from pipeline.evaluation.generator import EvaluatedGenerator, EvaluationSettings, TargetRhythm
from pipeline.training.launch import train
from pipeline.training.viewer import SilentViewer
from stages.contracts import Row
from stages.video.motion.columns import no_motion


@dataclass(frozen=True)
class Variant:
    """A view of the picture.

    Attributes:
        title: its name in the table.
        pace: channels of the picture's pace that the predictor reads.
        blind: whether the picture is hidden from a predictor that was trained to do without it at times.
    """

    title: str
    pace: int
    blind: bool = False


PREDICTOR = ".extractor."
"""Part of the names of the predictor's tensors within the conditioner."""
VARIANTS = {
    "difference": Variant("cuts and frame differences", 2),
    "none": Variant("nothing (the same predictor, picture hidden)", 2, blind=True),
    "flow": Variant("the same, motion and kinematic beats", 4),
    "camera": Variant("the same, divergence and camera", 6),
}


class BlindGenerator(EvaluatedGenerator):
    """A model that makes music for films without seeing how they move and cut."""

    def target_of_picture(self, row: Row, seed: int = 0) -> TargetRhythm:
        hidden = {"cuts": np.zeros(0), "difference": np.zeros_like(row["difference"]), **no_motion()}
        return super().target_of_picture(row | hidden, seed)


def write_training(folder: Path, pace: int, dataset: Path, codec: str, steps: int) -> Path:
    """Writes the files of one training, `model_config.json` and `train.json`, and returns the path of the latter.

    Args:
        folder: folder of the training.
        pace: channels of the picture's pace that the predictor reads.
        dataset: folder of the dataset.
        codec: preset or checkpoint whose autoencoder made the dataset's latents.
        steps: steps of the training.
    """
    raw: dict[str, Any] = copy.deepcopy(
        json.loads((PRESETS["tiny"].folder / "model_config.json").read_text(encoding="utf-8"))
    )
    raw["model"]["diffusion"]["config"]["curve"] |= {"pace": pace, "semantic": False}
    loop = {"steps": steps, "batch": 8, "rate": 1.5e-3, "rate_end": 1e-5, "warmup": 100, "ema": 0.99}
    training = {
        "stage": "diffusion", "out": "training", "model": "model_config.json", "dataset": str(dataset.resolve()),
        "init": {"autoencoder": codec}, "crops": {"shortest": 6, "longest": 30, "ending": 0.15},
        "diffusion": {"learns": "predictor"}, "loop": loop | {"checkpoint_every": 100},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_config.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
    path = folder / "train.json"
    path.write_text(json.dumps(training, indent=1), encoding="utf-8")
    return path


def generator_of(variant: Variant, weights: Path) -> EvaluatedGenerator:
    """Returns the shipped model with the predictor of a training in the place of its own."""
    from models.diffv2m import PARTS
    from stages.inference.batching import load_parts

    kind = BlindGenerator if variant.blind else EvaluatedGenerator
    model, shipped = (load_parts(ModelSource(name), PARTS, "cpu", 0, "float32") for name in (str(weights), "tiny"))
    model.dit.load_state_dict(shipped.dit.state_dict())
    model.autoencoder.load_state_dict(shipped.autoencoder.state_dict())
    encoders = {name: t for name, t in shipped.conditioner.state_dict().items() if PREDICTOR not in name}
    model.conditioner.load_state_dict(model.conditioner.state_dict() | encoders)
    return kind(EvaluationSettings(ModelSource("tiny")), model)


def compare_views(
    dataset: Path,
    out: Path,
    *,
    codec: str = "tiny",
    steps: int = 1000,
    clips: int = 24,
    seeds: int = 2,
    only: Sequence[str] = tuple(VARIANTS),
    progress: Callable[[str], None] = print,
) -> str:
    """Trains and measures the variants; returns the table in Markdown.

    Args:
        dataset: folder of a dataset with latents.
        out: folder that takes the trainings, the held-out films and the table, `motion.md`.
        codec: preset or checkpoint whose autoencoder made the dataset's latents.
        steps: steps of each training.
        clips: held-out films of each kind.
        seeds: pieces of music for each film.
        only: some of `VARIANTS`.
        progress: takes a line for each step that is done.

    Raises:
        SettingsError: there is no such variant.
        TrainingError: the dataset cannot be used.
    """
    if unknown := sorted(set(only) - set(VARIANTS)):
        raise SettingsError(f"unknown variants {', '.join(unknown)}: choose from {', '.join(VARIANTS)}")
    films, lines = read_films(out / "films", clips, progress), table_head()
    for name in only:
        variant, started = VARIANTS[name], time.monotonic()
        folder = out / f"pace-{variant.pace}"
        config = TrainConfig.from_file(write_training(folder, variant.pace, dataset, codec, steps))
        train(config, SilentViewer())
        trained = time.monotonic()
        lines.append(format_row(variant.title, measure(generator_of(variant, config.weights), films, seeds)))
        progress(f"{name}: {trained - started:.0f} s of training, {time.monotonic() - trained:.0f} s of measuring")
        progress(lines[-1])
        (out / "motion.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "\n".join(lines) + "\n"
