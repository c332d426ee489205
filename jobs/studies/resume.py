"""Trials of a training: killed and gone on with, and shared by two workers, are the losses the same? How fast is it?

    python -m jobs.studies.resume CONFIG.json --out FOLDER [--steps N]

The first steps of the training are done four times: twice undisturbed, once with its process killed half way, and once
by two Ray Train workers. Figures go to `FOLDER/trial.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.training.checkpoints import LOSSES, TrainingError
from models.training.config import TrainConfig
from pipeline.training.launch import Quiet, train

PARTS = ("data", "forward", "backward", "update")
"""Of a step's time, as `losses.jsonl` tells it."""
FIRST = 3
"""Steps that are left out of the time: memory and threads are set up."""

Rows = Sequence[Mapping[str, float]]


def shortened(config: TrainConfig, out: Path, steps: int, workers: int = 1) -> TrainConfig:
    """The first `steps` steps of a training, in a folder of their own, with a line of losses for each.

    Its learning rate falls within these few.
    """
    every = max(1, steps // 4)
    loop = replace(config.loop, steps=steps, checkpoint_every=every, log_every=1, sample_every=0, seconds=0.0)
    return replace(config, out=out, loop=loop, workers=workers)


def losses_of(config: TrainConfig) -> list[dict[str, float]]:
    """A row for each step."""
    return [json.loads(line) for line in (config.out / LOSSES).read_text(encoding="utf-8").splitlines()]


def train_killed(config: TrainConfig, at: int) -> int:
    """Train in a process that is killed as soon as `at` steps are told, then go on to the end; the steps told by then.

    Raises:
        TrainingError: the process ended before it could be killed.
    """
    arguments = config, torch.get_num_threads()
    process = multiprocessing.get_context("spawn").Process(target=_train, args=arguments)
    process.start()
    told = 0
    while told < at:
        if not process.is_alive():
            raise TrainingError(f"the training ended after {told} of {config.loop.steps} steps, before it was killed")
        time.sleep(0.02)
        told = len(losses_of(config)) if (config.out / LOSSES).is_file() else 0
    process.kill()
    process.join()
    train(config, Quiet())
    return told


def _train(config: TrainConfig, threads: int) -> None:
    """With as many threads as elsewhere: the order of a sum's terms depends on them."""
    torch.set_num_threads(threads)
    train(config, Quiet())


def difference(one: Rows, other: Rows, name: str = "loss") -> float:
    """The largest relative difference of a loss at any step.

    Raises:
        TrainingError: they are not of the same steps.
    """
    if [row["step"] for row in one] != [row["step"] for row in other]:
        raise TrainingError(f"expected losses of the same steps, got {len(one)} and {len(other)} lines")
    return max(abs(a[name] - b[name]) / abs(a[name]) for a, b in zip(one, other, strict=True))


def seconds_per_step(rows: Rows) -> float:
    """The median, without the first steps."""
    seconds = sorted(row["seconds_per_step"] for row in rows[FIRST:] or rows)
    return seconds[len(seconds) // 2]


def report(config: TrainConfig, undisturbed: Rows, again: Rows, resumed: Rows, shared: Rows, killed: int) -> str:
    """What was found, in Markdown."""
    one, two = seconds_per_step(undisturbed), seconds_per_step(shared)
    counted = undisturbed[FIRST:] or undisturbed
    sums = {part: sum(row[f"seconds_{part}"] for row in counted) for part in PARTS}
    shares = ", ".join(f"{part} {seconds / sum(sums.values()):.0%}" for part, seconds in sums.items())
    lines = {
        f"one worker: windows a second (batch of {config.loop.batch})": f"{config.loop.batch / one:.2f}",
        "one worker: where the time of a step goes": shares,
        "one worker again: largest relative difference of the loss": f"{difference(undisturbed, again):.1e}",
        f"killed after step {killed}, gone on with: the same": f"{difference(undisturbed, resumed):.1e}",
        "two workers, the same batches: the same": f"{difference(undisturbed, shared):.1e}",
        "two workers: windows a second": f"{config.loop.batch / two:.2f}",
    }
    head = f"|  | over {len(undisturbed)} steps |\n| --- | --- |\n"
    return head + "".join(f"| {name} | {value} |\n" for name, value in lines.items())


def trial(config: TrainConfig, out: Path, steps: int) -> str:
    """Do all four in `out`, which is emptied of earlier ones; the report, also in `out/trial.md`.

    Raises:
        TrainingError: the training cannot be done.
    """
    one, again, resumed = (shortened(config, out / name, steps) for name in ("one", "again", "resumed"))
    shared = shortened(config, out / "shared", steps, workers=2)
    for each in (one, again, resumed, shared):
        shutil.rmtree(each.out, ignore_errors=True)
    train(one, Quiet())
    train(again, Quiet())
    killed = train_killed(resumed, steps // 2 + 1)
    train(shared, Quiet())
    text = report(config, losses_of(one), losses_of(again), losses_of(resumed), losses_of(shared), killed)
    (out / "trial.md").write_text(text, encoding="utf-8")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.studies.resume", description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, default=Path("trial"))
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args(arguments)
    if asked.steps < 4:
        parser.error("--steps must be at least 4: one is killed half way")
    try:
        sys.stdout.write(trial(TrainConfig.from_file(asked.config), asked.out.resolve(), asked.steps))
    except TrainingError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
