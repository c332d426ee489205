"""Losses drawn: a panel for each training, a line for each loss, where its values are."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.plots.losses import (
    BACKGROUND,
    COLORS,
    MARGIN,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    LossesError,
    draw_losses,
    read_losses,
)


def training(folder: Path, **losses: list[float]) -> Path:
    folder.mkdir()
    rows = [{"step": 10 * (i + 1), "seconds_data": 1.0, "rate": 1.0} for i in range(len(next(iter(losses.values()))))]
    for name, values in losses.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    (folder / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_lines_fall_as_losses_fall(tmp_path: Path) -> None:
    falling = training(tmp_path / "a", loss=[8.0] * 40, first=[4.0] * 20 + [1.0] * 20, second=[1.0] * 20 + [2.0] * 20)
    whole = training(tmp_path / "b", loss=[3.0] * 40, logit_scale=[14.0] * 40)
    draw_losses({"one": falling, "two": whole}, tmp_path / "out.png")
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture.shape == (PANEL_HEIGHT + 2 * MARGIN, 2 * (PANEL_WIDTH + MARGIN) + MARGIN, 3)
    assert (picture[0, 0] == BACKGROUND).all()
    heights = []
    for column in (MARGIN + 60, MARGIN + PANEL_WIDTH - 10):
        strip = picture[MARGIN : MARGIN + PANEL_HEIGHT, column].astype(int)
        heights.append(int(np.flatnonzero(np.abs(strip - COLORS[0]).sum(1) < 60).mean()))
    assert heights[0] < 30  # the first loss begins at its greatest value, at the top
    assert 0.6 * PANEL_HEIGHT < heights[1] < 0.85 * PANEL_HEIGHT  # and ends at a quarter of it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no losses yet"),
        ('{"step": 10, "rate": 1.0}\n', "holds no losses yet"),
        ('{"step": 10, "loss": NaN}\n', "holds no losses yet"),
        ('{"step": 10, "lo', "is no file of losses"),
        ("[1]\n", "is no file of losses"),
        ('{"loss": 1.0}\n', "is no file of losses"),
    ],
)
def test_a_file_without_losses_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "losses.jsonl").write_text(text)
    with pytest.raises(LossesError, match=f"losses.jsonl {words}"):
        draw_losses({"one": tmp_path}, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_losses_that_come_later_or_are_no_numbers_are_drawn_as_far_as_they_go(tmp_path: Path) -> None:
    lines = [{"step": 10, "loss": float("nan")}, {"step": 20, "loss": 0.0}, {"step": 30, "loss": 0.0, "late": 1.0}]
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_losses(tmp_path / "losses.jsonl")[0] == {"step": 10.0}
    draw_losses({"one": tmp_path}, tmp_path / "out.png")
    assert cv2.imread(str(tmp_path / "out.png")) is not None
