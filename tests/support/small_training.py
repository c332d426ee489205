"""A training that takes seconds: a codec, a dataset of three segments, and the entries of the training's file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from models.diffv2m import DiffV2M
from models.training.config import TrainConfig
from models.weights.export import save_weights
from models.weights.source import ModelSource, clip_digest
from pipeline.datasets.writer import DatasetWriter
from pipeline.storage.storage import Storage
from stages.contracts import table_of
from stages.cut_segments import SEGMENT, encode_flac
from tests.support.training_parts import RandomSegments, config, raw_config

RAW: dict[str, Any] = {
    "stage": "diffusion", "dataset": "dataset", "model": "model_config.json", "out": "out", "device": "cpu",
    "init": {"autoencoder": "codec"}, "crops": {"shortest": 2, "longest": 4}, "diffusion": {"e1": 2, "e2": 4},
    "loop": {"steps": 6, "batch": 3, "warmup": 2, "checkpoint_every": 3},
}  # fmt: skip


def settings(made: Path, out: Path, **entries: Any) -> TrainConfig:
    """Returns the training on the files that `make` wrote to the folder `made`, with some entries changed."""
    return TrainConfig.from_dict(copy.deepcopy(RAW) | {"out": str(out)} | entries, made)


def make(folder: Path) -> None:
    """Writes a model configuration, a codec and a dataset of three segments to a folder."""
    (folder / "model_config.json").write_text(json.dumps(raw_config()))
    codec = DiffV2M(config(), parts=("autoencoder",)).autoencoder
    save_weights({"autoencoder": codec}, raw_config(), folder / "codec")
    settings = {"clip": clip_digest("tiny"), "codec": ModelSource(str(folder / "codec")).codec_digest, "pace": "frames"}
    writer = DatasetWriter(Storage.open(folder / "dataset"), settings)
    for number in range(3):
        segment = dict(RandomSegments().segment(number))
        noise = np.random.default_rng(number).integers(-9000, 9000, (segment["latents"].shape[1] * 2048, 2))
        writer.add(table_of([segment | {"sound": encode_flac(noise.astype(np.int16))}], SEGMENT))
    writer.flush()
