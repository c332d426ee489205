"""What seen cuts bring: how many labeled cuts of real films the music hits, by the cuts that the model sees.

It is the command `diff-v2m experiment cut-hits`; its table stands in `jobs/studies/cuts/README.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from jobs.studies.cuts.compare import LABELS, labeled_paths, real_film, true_times
from jobs.studies.cuts.rivals import Times, pyscenedetect
from models.features.audio import onset_strength
from models.metrics.metrics import hits, hits_above_chance
from models.weights.source import ModelSource
from pipeline.evaluation.generator import EvaluatedGenerator, EvaluationSettings
from pipeline.evaluation.held_out import FeatureReader
from stages.contracts import Row
from stages.video.cuts.transitions import CUT
from stages.video.motion.meter import CUT_THRESHOLD, SHORTEST_SCENE


def measure_hits(clips: Path, seeds: int, progress: Callable[[str], None]) -> str:
    """Returns a table: hits of the labeled cuts, above chance, for the cuts that the model sees.

    Args:
        clips: folder with the labeled films.
        seeds: pieces of music for each film and each set of cuts.
        progress: takes a line for each film that is done.

    Raises:
        SettingsError: the folder has none of the films.
    """
    labels = json.loads(LABELS.read_text())
    reader, model = FeatureReader(), EvaluatedGenerator(EvaluationSettings(ModelSource("tiny")))
    content = pyscenedetect("ContentDetector", threshold=CUT_THRESHOLD, min_scene_len=SHORTEST_SCENE)
    lines = [
        "| film | cuts | seen by the model | cuts that it sees | hit | hit above chance |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    sums: dict[str, list[tuple[float, float]]] = {}
    for path in labeled_paths(clips):
        film, row = real_film(path, labels[path.name]), reader.read(path)
        true = true_times(film, CUT)
        for name, seen in (("none", []), ("ContentDetector", content(film)), ("ours", row["cuts"]), ("labels", true)):
            values = _hits(model, row | {"cuts": np.array(seen, np.float64)}, true, seeds)
            sums.setdefault(name, []).append(values)
            lines.append(f"| {path.stem} | {len(true)} | {name} | {len(seen)} | {values[0]:.2f} | {values[1]:+.2f} |")
        progress(f"scored {path.name}")
    for name, parts in sums.items():
        share, above = np.mean(parts, 0)
        lines.append(f"| mean of the films | | {name} | | {share:.2f} | {above:+.2f} |")
    return "\n".join(lines) + "\n"


def _hits(model: EvaluatedGenerator, row: Row, true: Times, seeds: int) -> tuple[float, float]:
    """Returns the share of true cuts that the music of a film hits, and the same above chance; means over seeds."""
    takes: Sequence[torch.Tensor] = [
        take for seed in range(seeds) for take in model.generate([row], [model.target_of_picture(row, seed)], seed)
    ]
    strengths, cuts = [onset_strength(take) for take in takes], torch.tensor(true, dtype=torch.float64)
    return (
        float(np.mean([hits(cuts, strength) for strength in strengths])),
        float(np.mean([hits_above_chance(cuts, strength) for strength in strengths])),
    )
