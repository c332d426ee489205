"""What time-aware conditioning is worth: the same small network, data and steps with one condition at a time.

    python -m jobs.studies.ablation DATASET --out FOLDER [--steps N] [--clips N]

Each network is trained with the rhythm that music has, and then asked for the rhythm of held-out music: how far does
what it plays go with what it was asked for? Run again, it goes on; networks that are done are not trained again.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.metrics.thresholds import Result
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.weights.presets import PRESETS
from pipeline.training.launch import Quiet, train

SECONDS = 10
"""Of a crop in training and of a held-out clip."""
NETWORK = {"embed_dim": 256, "depth": 3, "num_heads": 4, "conv_kernel": 7, "patch_size": 2, "key": False}
"""Of the DiT: small, so that a run takes minutes, and told of nothing but rhythm."""


@dataclass(frozen=True)
class Variant:
    """One way to tell the DiT about rhythm.

    Attributes:
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


def write_training(folder: Path, variant: Variant, dataset: Path, codec: str, steps: int, seed: int) -> Path:
    """The files of one training, `model_config.json` and `train.json`, in a folder.

    Args:
        codec: preset or checkpoint whose autoencoder made the dataset's latents.
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


def table(measured: Mapping[str, Mapping[str, Result]], losses: Mapping[str, float]) -> str:
    """A row for each variant, in Markdown: variant -> name of a result -> result; last diffusion losses."""
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
    say: Callable[[str], None] = print,
) -> str:
    """Train and measure the variants; the table, which is written to `out/ablation.md` too.

    Raises:
        TrainingError: the dataset cannot be used.
    """
    from models.weights.source import ModelSource
    from pipeline.evaluation.evaluator import Material, Measuring
    from pipeline.evaluation.generator import Evaluation, EvaluationSettings
    from pipeline.evaluation.held_out import Reader, held_out_clips

    held_out = held_out_clips(
        out / f"clips-{SECONDS}s", clips, float(SECONDS), Reader("tiny", "auto", out / "features")
    )
    measured, losses = dict[str, dict[str, Result]](), dict[str, float]()
    for name in only:
        began = time.monotonic()
        path = write_training(out / name, VARIANTS[name], dataset, codec, steps, seed=0)
        config = TrainConfig.from_file(path)
        train(config, Quiet())
        trained = time.monotonic()
        settings = EvaluationSettings(ModelSource(str(config.weights)), steps=25, guidance=2.0)
        results = Measuring(Evaluation(settings), Material(held_out), range(seeds)).results(["given"])
        measured[name] = {result.name: result for result in results}
        losses[name] = _last_loss(config.out / "losses.jsonl")
        took = f"{trained - began:.0f} s of training, {time.monotonic() - trained:.0f} s of measuring"
        say(f"{name}: {took}")
        say(table({name: measured[name]}, losses))
        (out / "ablation.md").write_text(table(measured, losses), encoding="utf-8")
    return table(measured, losses)


def _last_loss(losses: Path) -> float:
    """The mean diffusion loss of the last five lines."""
    lines = [json.loads(line) for line in losses.read_text(encoding="utf-8").splitlines()[-5:]]
    return float(sum(line["diffusion"] for line in lines) / len(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.studies.ablation", description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    parser.add_argument("--codec", default="tiny")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=list(VARIANTS))
    asked = parser.parse_args(arguments)
    if asked.clips < 2:
        parser.error("--clips must be at least 2: each clip is held against the others")
    try:
        ablate(
            asked.dataset, asked.out, codec=asked.codec, steps=asked.steps, clips=asked.clips, seeds=asked.seeds,
            only=asked.only or tuple(VARIANTS), say=lambda line: print(line, flush=True),
        )  # fmt: skip
    except TrainingError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
