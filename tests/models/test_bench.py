"""The bench of networks: plain and fast are the same, work is counted, and figures are kept."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import bench
from models.bench import Decoding, clips_per_hour, config_of, main, matrix_rate, measure, measure_decoding

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The released form with a width of 64 and two blocks."""
    whole = config_of("middle")
    monkeypatch.setattr(bench, "config_of", lambda _: replace(whole, width=128, depth=2, heads=2, cond_dim=64))
    monkeypatch.setattr(bench, "TURNS", 2)


def test_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    middle, full = config_of("middle"), config_of("full")
    assert (middle.width, middle.depth, middle.heads) == (768, 12, 12)
    assert (full.width, full.depth, full.heads) == (1536, 24, 24)
    assert config_of("tiny").curve is not None


def test_a_step_is_measured_both_ways() -> None:
    steps = measure("small", 2, CPU, torch.float32, rate=1.0)
    assert steps.error < 1e-4
    assert steps.plain > 0 < steps.fast
    assert steps.share == pytest.approx(steps.teraflops)
    # Self-attention and feed-forward of both halves, at the least: 12 * width^2 products a token.
    tokens = config_of("middle").lengths.window_latents
    least = 2 * 2 * 2 * tokens * 12 * 128**2 * 2  # halves, clips, blocks, two operations each
    assert steps.teraflops * steps.fast * 1e12 > least


def test_figures_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure_decoding", lambda size, *_: bench.Decoding(size, 10.0, 1.0))
    assert main(["middle", "--batch", "1", "--json", str(tmp_path / "bench.json")]) == 0
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [step["batch"] for step in report["steps"]] == [1]
    assert report["products"] > 0
    assert report["machine"]["torch"] == torch.__version__
    assert "middle (FiLM_choose), batch 1: plain" in capsys.readouterr().out


def test_a_wrong_size_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["huge"])
    assert "expected sizes of tiny, middle, full, got huge" in capsys.readouterr().err


def test_clips_an_hour_are_those_of_sampling_and_decoding() -> None:
    # 32 steps of 2 s for 8 clips are 8 s a clip; 30 s at 15 times real time are 2 s.
    assert clips_per_hour(2.0, 32, 8, 30.0, Decoding("full", 15.0, 0.0)) == pytest.approx(360)


def test_decoding_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    decoding = measure_decoding("tiny", CPU, torch.float32, seconds=3)
    assert decoding is not None
    assert decoding.speed > 0
    assert decoding.memory > 10


def test_torch_alone_is_enough(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of the released autoencoder may be missing: steps are measured all the same."""
    for name in [name for name in sys.modules if name.startswith("stable_audio_tools")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stable_audio_tools", None)
    assert main(["middle", "--batch", "1"]) == 0
    said = capsys.readouterr().out
    assert "middle: decoding is not measured, stable-audio-tools is not installed" in said
    assert "clips of 30 s an hour with 32 steps" in said


def test_the_rate_of_products_is_told() -> None:
    assert matrix_rate(CPU, torch.float32) > 1e-3
