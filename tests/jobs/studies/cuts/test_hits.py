"""The study of hits: each set of cuts reaches the model, and what its music does at the labeled cuts is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jobs.studies.cuts import compare, hits
from tests.support.videos import plain, write_shots

SECONDS = 8.0


class Clicker:
    """A model whose music is a click at each cut that it sees."""

    def target_of_picture(self, row: dict[str, Any], seed: int) -> SimpleNamespace:
        return SimpleNamespace(seed=seed)

    def generate(self, rows: Sequence[dict[str, Any]], targets: Sequence[Any], seed: int) -> list[torch.Tensor]:
        music = torch.from_numpy(np.random.default_rng(seed).normal(0, 1e-4, (2, round(44100 * SECONDS)))).float()
        for cut in rows[0]["cuts"]:
            music[:, round(44100 * cut) : round(44100 * cut) + 400] = 0.9
        return [music]


def test_music_that_follows_seen_cuts_hits_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colors = ((10, 10, 10), (240, 240, 240), (10, 10, 200), (240, 240, 200))
    write_shots(tmp_path / "a.mp4", [(plain(color), 50) for color in colors], 25)
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"a.mp4": {"rate": 25, "cut": [50, 100, 150]}}))
    monkeypatch.setattr(compare, "LABELS", labels)
    monkeypatch.setattr(hits, "LABELS", labels)
    monkeypatch.setattr(hits, "EvaluatedGenerator", lambda _: Clicker())
    monkeypatch.setattr(hits, "FeatureReader", lambda: SimpleNamespace(read=lambda _: {"cuts": np.array([2.0])}))
    progress: list[str] = []
    lines = hits.measure_hits(tmp_path, 2, progress.append).splitlines()
    cells = {line.split(" | ")[2]: line.strip("| ").split(" | ")[3:] for line in lines if line.startswith("| a ")}
    assert {name: int(row[0]) for name, row in cells.items()} == {
        "none": 0,
        "ContentDetector": 3,
        "ours": 1,
        "labels": 3,
    }
    assert float(cells["labels"][1]) == 1.0
    assert float(cells["labels"][2]) > 0.5
    assert float(cells["none"][2]) < 0.4
    assert progress == ["scored a.mp4"]
    assert sum(line.startswith("| mean of the films") for line in lines) == 4
