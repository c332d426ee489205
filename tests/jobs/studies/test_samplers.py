"""The study of samplers: errors fall with steps, and the picture shows them."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from jobs.studies import samplers as sampler_study
from jobs.studies.samplers import compare_speed, conditions_for, draw_errors, format_table, sampler_errors, steps_needed
from models import load_model
from tests.support.parity import COMMITTED


def test_errors_fall_with_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_study, "STEP_COUNTS", (8, 32, 128, 250))
    name = str(COMMITTED / "mini")
    model = load_model(name, parts=("conditioner", "dit"))
    conditions = conditions_for(model, name)
    noise = torch.randn(1, 4, 40, generator=torch.Generator().manual_seed(0))
    solution = model.sample(noise, conditions, 1000, 3.0, "ddim")
    errors = sampler_errors(model, conditions, noise, 3.0, solution)
    for line in errors.values():
        assert line[8] > line[32] > line[128]
    assert errors["dpmpp_3m"][32] < errors["ddim"][32]
    assert format_table({"mini": errors}).count("| mini |") == 2
    draw_errors({"mini": errors, "again": errors}, tmp_path / "study.png")
    assert cv2.imread(str(tmp_path / "study.png")).std() > 5


def test_the_default_is_nearer_and_faster_than_the_released_sampling() -> None:
    name = str(COMMITTED / "mini")
    model = load_model(name, parts=("conditioner", "dit"))
    conditions, noise = conditions_for(model, name), torch.randn(1, 4, 40, generator=torch.Generator().manual_seed(0))
    solution = model.sample(noise, conditions, 2000, 3.0, "ddim")
    pair = compare_speed(model, conditions, noise, 3.0, solution)
    assert pair.steps == 32
    assert pair.default[1] < pair.plain[1] < 0.01
    assert pair.default[0] < pair.plain[0] / 2
    assert "times as fast" in str(pair)


def test_needed_steps_stay_enough() -> None:
    errors = {"dpmpp_3m": {10: 0.1, 20: 0.3, 50: 0.1, 100: 0.01}}
    assert steps_needed(errors, "dpmpp_3m", 0.1) == 50
    assert steps_needed(errors, "dpmpp_3m", 0.001) is None
