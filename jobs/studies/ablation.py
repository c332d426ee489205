"""The worth of time-aware conditioning: the same small network, data and steps, with one condition at a time.

Each network is trained with the rhythm that music has, and then given the rhythm of held-out music: how well does the
rhythm of what it plays correlate with what it was given? Run again, the study goes on; networks that are done are not
trained again. It is the command `diff-v2m experiment ablation`.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.options import SettingsError
from models.metrics.thresholds import Result
from models.training.config import TrainConfig
from models.weights.presets import PRESETS
from pipeline.training.launch import train
from pipeline.training.viewer import SilentViewer

SECONDS = 10
"""Length of a crop in training, and of a held-out clip."""
NETWORK = {"embed_dim": 256, "depth": 3, "num_heads": 4, "conv_kernel": 7, "patch_size": 2, "key": False}
"""Settings of the DiT: small, so that a run takes minutes, and conditioned on no key beside the rhythm."""


@dataclass(frozen=True)
class Variant:
    """One way to condition the DiT on rhythm.

    Attributes:
        title: its name in the table.
        positions: whether 1 Hz tokens and latents carry their seconds in cross-attention.
        stride: latents of one step of a curve at the input; None for no curve.
    """

    title: str
    positions: bool
    stride: int | None

    @property
    def settings(self) -> dict[str, Any]:
        """Entries of the DiT's configuration."""
        return {"positions": self.positions, "curve": None if self.stride is None else {"stride": self.stride}}


VARIANTS = {
    "tokens": Variant("1 Hz tokens without positions (as released)", False, None),
    "positions": Variant("1 Hz tokens with positions", True, None),
    "curve-1hz": Variant("curve at the input, about 1 Hz", False, 22),
    "curve": Variant("curve at the input, latent rate (21.5 Hz)", False, 1),
    "both": Variant("positions, and curve at latent rate", True, 1),
}
COLUMNS = {
    "r per second, asked and played": "given curve: r per second",
    "r per second, another clip's curve": "given curve of another clip: r per second",
    "r of rhythm curves, own music": "given curve: r per second with the clip's own music",
    "accents hit minus chance": "given curve: strong accents within 0.1 s minus chance",
}
"""Title of a column -> name of the result that it shows."""


def write_training(folder: Path, variant: Variant, dataset: Path, codec: str, steps: int, seed: int) -> Path:
    """Writes the files of one training, `model_config.json` and `train.json`, into a folder.

    Args:
        codec: preset or checkpoint whose autoencoder made the dataset's latents.

    Returns:
        The path of `train.json`.
    """
    raw = copy.deepcopy(json.loads((PRESETS["tiny"].folder / "model_config.json").read_text(encoding="utf-8")))
    raw["model"]["diffusion"]["config"] |= NETWORK | variant.settings
    loop = {
        "steps": steps, "batch": 6, "rate": 1.2e-3, "rate_end": 1e-5, "warmup": 50, "ema": 0.995, "seed": seed,
        "checkpoint_every": 100,
    }  # fmt: skip
    training = {
        "stage": "diffusion", "out": "training", "model": "model_config.json", "dataset": str(dataset.resolve()),
        "init": {"autoencoder": codec}, "crops": {"shortest": SECONDS, "longest": SECONDS, "ending": 0.0},
        "diffusion": {"e1": steps, "e2": steps, "learns": "dit"}, "loop": loop,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_config.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
    path = folder / "train.json"
    path.write_text(json.dumps(training, indent=1), encoding="utf-8")
    return path


def format_table(measured: Mapping[str, Mapping[str, Result]], losses: Mapping[str, float]) -> str:
    """The results as a Markdown table with a row for each variant.

    Args:
        measured: variant -> name of a result -> result.
        losses: variant -> diffusion loss at the end of its training.
    """
    head = ["", *COLUMNS, "diffusion loss"]
    lines = [head, ["---"] * len(head)]
    for name, results in measured.items():
        cells = [_cell(results.get(column)) for column in COLUMNS.values()]
        lines.append([VARIANTS[name].title, *cells, f"{losses[name]:.3f}"])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(result: Result | None) -> str:
    """A mean with its interval; a dash where there were too few clips to measure it."""
    if result is None:
        return "-"
    return f"{result.value.mean:.2f} ({result.value.low:.2f} .. {result.value.high:.2f})"


def ablate(
    dataset: Path,
    out: Path,
    *,
    codec: str = "tiny",
    steps: int = 400,
    clips: int = 16,
    seeds: int = 3,
    only: Sequence[str] = tuple(VARIANTS),
    print_line: Callable[[str], None] = print,
) -> str:
    """Trains and measures the variants.

    Args:
        dataset: folder of a dataset with latents.
        out: folder that takes the trainings, the held-out clips and the table, `ablation.md`.
        codec: preset or checkpoint whose autoencoder made the dataset's latents.
        steps: steps of each training.
        clips: held-out clips; at least 2, for each is compared with the others.
        seeds: pieces of music for each clip.
        only: some of `VARIANTS`.
        print_line: shows the time and the row of each variant as soon as they are known.

    Returns:
        The table in Markdown.

    Raises:
        SettingsError: there is no such variant.
        TrainingError: the dataset cannot be used.
    """
    from models.sampling.settings import SamplingSettings
    from models.weights.source import ModelSource
    from pipeline.evaluation.evaluator import EvaluationSet, Evaluator
    from pipeline.evaluation.generator import EvaluatedGenerator, EvaluationSettings
    from pipeline.evaluation.held_out import FeatureReader, held_out_clips

    if unknown := sorted(set(only) - set(VARIANTS)):
        raise SettingsError(f"unknown variants {', '.join(unknown)}: choose from {', '.join(VARIANTS)}")
    reader = FeatureReader("tiny", "auto", out / "features")
    held_out = held_out_clips(out / f"clips-{SECONDS}s", clips, float(SECONDS), reader)
    sampling = SamplingSettings(steps=25, guidance=2.0, precision="float32")
    measured, losses = dict[str, dict[str, Result]](), dict[str, float]()
    for name in only:
        started = time.monotonic()
        config = TrainConfig.from_file(write_training(out / name, VARIANTS[name], dataset, codec, steps, seed=0))
        train(config, SilentViewer())
        trained = time.monotonic()
        settings = EvaluationSettings(ModelSource(str(config.weights)), sampling=sampling)
        results = Evaluator(EvaluatedGenerator(settings), EvaluationSet(held_out), range(seeds)).results(["given"])
        measured[name] = {result.name: result for result in results}
        losses[name] = last_loss(config.out / "losses.jsonl")
        measuring = time.monotonic() - trained
        print_line(f"{name}: {trained - started:.0f} s of training, {measuring:.0f} s of measuring")
        print_line(format_table({name: measured[name]}, losses))
        (out / "ablation.md").write_text(format_table(measured, losses), encoding="utf-8")
    return format_table(measured, losses)


def last_loss(losses: Path) -> float:
    """The mean diffusion loss of the last five lines of a `losses.jsonl`."""
    lines = [json.loads(line) for line in losses.read_text(encoding="utf-8").splitlines()[-5:]]
    return float(sum(line["diffusion"] for line in lines) / len(lines))
