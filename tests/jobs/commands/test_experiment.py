"""The commands `experiment NAME`: what they print and write, and that mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from jobs.studies import ablation, decode_cost, precision, resume, samplers
from jobs.studies.decode_cost import DecodeCost
from tests.support.command_line import invoke
from tests.support.small_training import RAW

NO_TRAINING = RAW | {"loop": {}}


def test_a_picture_of_results(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, (88200, 2)), 44100)
    (tmp_path / "a.json").write_text(json.dumps({"rhythm": [0.1, 0.9], "cuts": [1.0]}))
    result = invoke("experiment", "plot-results", tmp_path, tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 1100


def test_a_picture_of_losses(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": 1.0 / step, "rhythm": 0.5 / step} for step in range(1, 9)]
    (tmp_path / "losses.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = invoke("experiment", "plot-losses", tmp_path / "a.png", f"one={tmp_path}", f"two={tmp_path}")
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "a.png")).std() > 5


def test_a_dataset_is_packed(made: Path, tmp_path: Path) -> None:
    result = invoke("experiment", "pack-dataset", made / "dataset", tmp_path / "packed")
    assert (result.exit_code, result.stderr) == (0, f"3 segments in {tmp_path / 'packed'}\n")
    assert len(list((tmp_path / "packed").glob("*.npz"))) == 3


def test_studies_print_what_they_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = DecodeCost([2.0], [1.6], [1.0], 4.0)
    monkeypatch.setattr(decode_cost, "measure", lambda video, repeats: cost)
    assert invoke("experiment", "decode-cost", "film.mp4").stdout == f"{cost}\n"
    monkeypatch.setattr(precision, "compare_precisions", lambda models: f"table of {models}")
    assert invoke("experiment", "precision", "tiny", "other").stdout == "table of ['tiny', 'other']\n"
    monkeypatch.setattr(samplers, "compare_samplers", lambda models, picture: f"{models} in {picture}")
    assert invoke("experiment", "samplers", "a.png", "tiny").stdout == "['tiny'] in a.png\n"
    monkeypatch.setattr(ablation, "ablate", lambda dataset, out, **options: options["print_line"](f"{options['only']}"))
    assert invoke("experiment", "ablation", tmp_path).stdout == f"{list(ablation.VARIANTS)}\n"
    assert invoke("experiment", "ablation", tmp_path, "--only", "curve").stdout == "['curve']\n"


def test_a_training_is_resumed_in_a_folder_of_its_own(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resume, "compare_resumed", lambda config, out, steps: f"{config.loop.batch} {out} {steps}\n")
    (made / "train.json").write_text(json.dumps(RAW))
    result = invoke("experiment", "resume", made / "train.json", "--out", "there")
    assert (result.exit_code, result.stdout) == (0, f"3 {tmp_path / 'there'} 40\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["ablation", "{tmp}/none", "--out", "{tmp}/out", "--only", "tokens"], "no such folder"),
        (["ablation", "{tmp}", "--out", "{tmp}/out", "--only", "nothing"], "unknown variants nothing: choose from"),
        (["samplers", "{tmp}/a.png", "{tmp}/none"], "no weights at"),
        (["precision", "{tmp}/none"], "no weights at"),
        (["decode-cost", "{tmp}/none.mp4"], "none.mp4 is no file"),
        (["decode-cost", "{tmp}/train.json"], "train.json: "),
        (["resume", "{tmp}/none.json"], "cannot read the training"),
        (["resume", "{tmp}/train.json"], "the entry 'steps' is missing"),
        (["pack-dataset", "{tmp}/none", "{tmp}/packed"], "{tmp}/none"),
        (["plot-results", "{tmp}", "{tmp}/a.png"], "no scored videos in {tmp}"),
        (["plot-losses", "{tmp}/a.png", "one"], "expected NAME=FOLDER, got one"),
        (["plot-losses", "{tmp}/a.png", "one={tmp}/none"], "No such file"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.setattr("pipeline.evaluation.held_out.held_out_clips", lambda *_: [])
    (tmp_path / "train.json").write_text(json.dumps(NO_TRAINING))
    result = invoke("experiment", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert line.format(tmp=tmp_path) in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["ablation", "dataset", "--clips", "1"], "--clips"),
        (["resume", "train.json", "--steps", "3"], "--steps"),
        (["decode-cost", "film.mp4", "--repeats", "0"], "--repeats"),
    ],
)
def test_numbers_out_of_range_are_wrong_usage(arguments: list[str], option: str) -> None:
    result = invoke("experiment", *arguments)
    assert (result.exit_code, option in result.stderr) == (2, True)
