"""The training loop: interruptions do not change what it computes, and the files on the disk are always complete."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.training.checkpoints import LATEST, PREVIOUS, TrainingError
from models.training.sharding import TrainingWorker
from models.training.trainer import LoopConfig, Trainer
from tests.support.training_parts import LinearTask, linear_batches

ROOT = Path(__file__).parents[3]
CONFIG = LoopConfig(steps=60, rate=1e-2, warmup=5, checkpoint_every=9)
SLOW = """
import sys, time, torch
from pathlib import Path
torch.set_num_threads(1)
from models.training.trainer import LoopConfig, Trainer
from tests.support.training_parts import LinearTask, linear_batches
def slowly(step):
    time.sleep(0.02)
    return linear_batches(step)
config = LoopConfig(steps=60, rate=1e-2, warmup=5, checkpoint_every=9)
Trainer(LinearTask(), slowly, config, Path(sys.argv[1]), identity={"a": 1}).run()
"""


def trained(folder: Path, config: LoopConfig = CONFIG, **options: Any) -> Trainer:
    trainer = Trainer(LinearTask(), linear_batches, config, folder, identity={"a": 1}, **options)
    trainer.run()
    return trainer


def losses(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in lines]


pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_killed_training_resumes_with_the_same_losses_and_weights(tmp_path: Path):
    whole = trained(tmp_path / "whole")
    broken = tmp_path / "broken"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(broken)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not (broken / PREVIOUS).is_file() and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert (broken / PREVIOUS).is_file()
    resumed = Trainer(LinearTask(), linear_batches, CONFIG, broken, identity={"a": 1})
    assert 0 < resumed.step < 60
    resumed.run()
    assert losses(broken) == losses(tmp_path / "whole")
    assert [line["step"] for line in losses(broken)] == [20, 40, 60]
    for name, value in whole.trained.items():
        assert torch.equal(value, resumed.trained[name])
        assert torch.equal(whole.average[name], resumed.average[name])


def test_calls_with_a_time_limit_make_one_training(tmp_path: Path, monkeypatch):
    trained(tmp_path / "whole")
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    config, ends = replace(CONFIG, seconds=13.0), []
    while not ends or ends[-1] < 60:
        ends.append(trained(tmp_path / "pieces", config).step)
    assert len(ends) > 3
    assert losses(tmp_path / "pieces") == losses(tmp_path / "whole")


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path: Path):
    def poisoned(step: int) -> torch.Tensor:
        return linear_batches(step) * (math.nan if step == 20 else 1)

    with pytest.raises(TrainingError, match=r"^the loss is nan at step 20; lower the learning rate \(.*\) .*kept$"):
        Trainer(LinearTask(), poisoned, CONFIG, tmp_path, identity={"a": 1}).run()
    again = Trainer(LinearTask(), linear_batches, CONFIG, tmp_path, identity={"a": 1})
    assert again.step == 18
    assert all(value.isfinite().all() for value in again.trained.values())


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path: Path):
    class Root(LinearTask):
        def forward(self, batch: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
            return {"loss": (self.layer(batch) * (step < 3)).square().sum().sqrt()}

    with pytest.raises(TrainingError, match="the gradient is nan at step 3"):
        Trainer(Root(), linear_batches, CONFIG, tmp_path).run()
    assert not (tmp_path / LATEST).exists()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_one_line_of_error_and_both_checkpoints_stay(tmp_path: Path, monkeypatch, wrapped: bool):
    trained(tmp_path, LoopConfig(steps=18, checkpoint_every=9))
    kept = {name: (tmp_path / name).read_bytes() for name in (LATEST, PREVIOUS)}

    def full(*_: Any) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            if wrapped:
                raise RuntimeError("PytorchStreamWriter failed writing file data/0\nmore") from error
            raise

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        TrainingError, match=r"cannot write a checkpoint to .*: the disk is full; the one before is kept"
    ):
        trained(tmp_path, LoopConfig(steps=27, checkpoint_every=9))
    assert {name: (tmp_path / name).read_bytes() for name in (LATEST, PREVIOUS)} == kept
    assert not (tmp_path / f"{LATEST}.writing").exists()


def test_losses_that_cannot_be_written_are_one_line_of_error(tmp_path: Path):
    (tmp_path / "losses.jsonl").mkdir()
    with pytest.raises(TrainingError, match="cannot write losses to"):
        trained(tmp_path)


def test_a_truncated_checkpoint_is_skipped(tmp_path: Path):
    trained(tmp_path, LoopConfig(steps=18, checkpoint_every=9))
    data = (tmp_path / LATEST).read_bytes()
    (tmp_path / LATEST).write_bytes(data[: len(data) // 2])
    good = (tmp_path / PREVIOUS).read_bytes()
    trainer = Trainer(LinearTask(), linear_batches, CONFIG, tmp_path, identity={"a": 1})
    assert trainer.step == 9
    assert not (tmp_path / LATEST).exists()
    assert (tmp_path / PREVIOUS).read_bytes() == good


def test_a_folder_without_a_readable_checkpoint_is_refused(tmp_path: Path):
    (tmp_path / LATEST).write_bytes(b"")
    with pytest.raises(TrainingError, match=r"no checkpoint in .* can be read"):
        trained(tmp_path)


def test_other_data_seed_or_batch_size_is_another_training(tmp_path: Path):
    trained(tmp_path)
    with pytest.raises(TrainingError, match="holds a training with another a, b: choose"):
        Trainer(LinearTask(), linear_batches, CONFIG, tmp_path, identity={"a": 2, "b": 1})
    with pytest.raises(TrainingError, match="keep seed and batch"):
        trained(tmp_path, LoopConfig(steps=60, seed=1))


def test_only_the_first_worker_writes_files(tmp_path: Path):
    trained(tmp_path / "none", worker=TrainingWorker(number=1, count=1))
    assert not (tmp_path / "none").exists()


def test_listener_receives_losses_and_samples_with_the_average(tmp_path: Path):
    class Recorder:
        def __init__(self) -> None:
            self.steps: list[int] = []
            self.sampled: list[tuple[int, bool]] = []

        def on_losses(self, step: int, values: Any) -> None:
            self.steps.append(step)

        def on_sample(self, step: int) -> None:
            weight = trainer.task.layer.weight  # type: ignore[union-attr]
            self.sampled.append((step, torch.equal(weight, trainer.average["layer.weight"])))

    recorder = Recorder()
    config = LoopConfig(steps=60, sample_every=30)
    trainer = Trainer(LinearTask(), linear_batches, config, tmp_path, listener=recorder)
    trainer.run()
    assert recorder.steps == [20, 40, 60]
    assert recorder.sampled == [(30, True), (60, True)]


def test_the_learning_rate_rises_then_falls_as_a_cosine():
    config = LoopConfig(steps=110, rate=1.0, rate_end=0.1, warmup=10)
    assert config.rate_at(0) == pytest.approx(0.1)
    assert config.rate_at(10) == pytest.approx(1.0)
    assert config.rate_at(60) == pytest.approx(0.55)
    assert config.rate_at(110) == pytest.approx(0.1)


def test_a_line_of_losses_has_the_seconds_of_each_phase(tmp_path: Path):
    trained(tmp_path)
    line = json.loads((tmp_path / "losses.jsonl").read_text().splitlines()[-1])
    parts = [line[f"seconds_{name}"] for name in ("data", "forward", "backward", "update")]
    assert 0 < sum(parts) <= line["seconds_per_step"] + 1e-3


def test_workers_that_begin_at_different_steps_are_refused(tmp_path: Path):
    class Apart(TrainingWorker):
        def sum_over_workers(self, tensors):
            for tensor in tensors:
                tensor += 20.0  # the other worker has done 20 steps

    with pytest.raises(TrainingError, match="must be a folder that all nodes share"):
        trained(tmp_path, worker=Apart(0, 2))
