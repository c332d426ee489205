"""The ablation: networks that differ in one thing each, and a table of what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.options import SettingsError
from jobs.studies.ablation import COLUMNS, VARIANTS, ablate, format_table, write_training
from models.metrics.metrics import Interval
from models.metrics.thresholds import Result
from models.training.config import TrainConfig


def test_networks_differ_in_their_conditions_alone(tmp_path: Path):
    trainings = {
        name: TrainConfig.from_file(write_training(tmp_path / name, variant, tmp_path, "tiny", 40, seed=0))
        for name, variant in VARIANTS.items()
    }
    networks = {name: config.network for name, config in trainings.items()}
    conditions = {name: (n.positions, n.curve.stride if n.curve else None) for name, n in networks.items()}
    assert conditions == {
        "tokens": (False, None), "positions": (True, None), "curve-1hz": (False, 22), "curve": (False, 1),
        "both": (True, 1),
    }  # fmt: skip
    assert len({(n.width, n.depth, n.heads, n.patch, n.conv_kernel, n.global_type) for n in networks.values()}) == 1
    assert len({(c.loop, c.crops, c.diffusion) for c in trainings.values()}) == 1
    assert networks["curve-1hz"].curve_rate == pytest.approx(1.0, abs=0.03)


def test_every_item_has_the_measured_rhythm(tmp_path: Path):
    config = TrainConfig.from_file(write_training(tmp_path, VARIANTS["both"], tmp_path, "tiny", 40, seed=0))
    assert {config.diffusion.measured_share(step) for step in range(40)} == {1.0}


def test_the_table_has_a_row_for_each():
    results = {name: Result(name, Interval(0.5, 0.4, 0.6), 4) for name in COLUMNS.values()}
    lines = format_table({"tokens": results, "curve": results}, {"tokens": 0.5, "curve": 0.25}).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| 1 Hz tokens without positions (as released) | 0.50 (0.40 .. 0.60) |")
    assert lines[3].endswith("| 0.250 |")


def test_what_was_not_measured_is_a_dash():
    assert "| - | - | - | - | 0.500 |" in format_table({"tokens": {}}, {"tokens": 0.5})


def test_an_unknown_variant_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match="unknown variants nothing: choose from tokens, positions"):
        ablate(tmp_path, tmp_path / "out", only=["tokens", "nothing"])
