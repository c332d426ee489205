"""Trainings from a file and a dataset: every mistake is one line, one worker or two are alike, weights load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import models
from jobs.studies.pack_dataset import pack_dataset
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.writer import DatasetWriter
from pipeline.storage.storage import Storage
from pipeline.training.data import ArrowSegments, decode_excerpt, list_segments, open_training_data
from pipeline.training.launch import train
from pipeline.training.viewer import SilentViewer
from stages.contracts import table_of
from stages.cut_segments import SEGMENT, encode_flac
from tests.support.small_training import RAW, settings
from tests.support.training_parts import RandomSegments

pytestmark = pytest.mark.usefixtures("one_thread")


def losses(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stage": "music"}, "stage is one of autoencoder, diffusion, clip, got 'music'"),
        ({"stage": None}, "stage is one of"),
        ({"lopo": {}}, "training: unknown entry 'lopo'; known are"),
        ({"loop": {}}, "the entry 'steps' is missing"),
        ({"loop": {"steps": "many"}}, "loop: steps must be a whole number, got 'many'"),
        ({"loop": {"steps": 0}}, "steps must be greater than 0, got 0"),
        ({"loop": {"steps": 1, "betas": [1]}}, "loop: betas must be a list of 2 numbers"),
        ({"loop": {"steps": 1, "step": 2}}, "loop: unknown entry 'step'"),
        ({"loop": [1]}, r"loop: expected entries in braces, got \[1\]"),
        ({"diffusion": {"e1": 5, "e2": 4}}, "e1 5 must not come after e2 4"),
        ({"diffusion": {"e1": True}}, "diffusion: e1 must be a number, got True"),
        ({"diffusion": {"e1": 1, "e1_epochs": 2}}, "e1_epochs must be a number, and stand in place of e1"),
        ({"diffusion": {"learns": "all"}}, "diffusion: learns must be joint or predictor or dit, got 'all'"),
        ({"crops": {"shortest": 5, "longest": 4}}, "5 to 4 s do not fit"),
        ({"crops": {"longest": 31}}, "do not fit a window of 30 s"),
        ({"crops": {"ending": 2.0}}, "ending is a share, got 2.0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"workers": 4}, "a batch of 3 cannot be shared by 4 workers"),
        ({"device": "tpu"}, "device is auto, cpu or cuda"),
        ({"model": "none.json"}, "cannot read the model configuration .*none.json: No such file"),
        ({"model": 3}, "training: model must be text, got 3"),
        ({"dataset": "corpus"}, "wants a prepared dataset with latents"),
        ({"dataset": "nothing"}, "training: dataset: .*nothing: no such folder"),
        ({"dataset": "codec"}, "is no dataset"),
        ({"init": {"autoencoder": "none"}}, "init.autoencoder: no weights at .*none"),
        ({"init": {"all": "none"}}, "init.all: no weights at .*none"),
        ({"init": {"all": "codec"}}, "does not fit the model configuration: missing"),
        ({"init": {"codec": "x"}}, "init: unknown entry 'codec'"),
        ({"init": {"autoencoder": "tiny"}}, "init.autoencoder|by another codec"),
    ],
)
def test_every_mistake_is_one_line(made: Path, tmp_path: Path, change: dict[str, Any], says: str):
    with pytest.raises(TrainingError, match=says) as error:
        train(settings(made, tmp_path / "out", **change), SilentViewer())
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["stage", "loop", "out", "model"])
def test_what_must_be_there(made: Path, name: str):
    with pytest.raises(TrainingError, match=f"the entry '{name}' is missing"):
        TrainConfig.from_dict({k: v for k, v in RAW.items() if k != name}, made)


def test_files_that_are_no_trainings(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"cannot read the training .*: No such file"):
        TrainConfig.from_file(tmp_path / "none.json")
    (tmp_path / "train.json").write_text("{")
    with pytest.raises(TrainingError, match="is not JSON"):
        TrainConfig.from_file(tmp_path / "train.json")


def test_oobleck_is_not_trained(made: Path):
    released = Path(__file__).parents[2] / "data" / "parity" / "mini" / "model_config.json"
    with pytest.raises(TrainingError, match="an Oobleck autoencoder is taken as it is"):
        settings(made, made, stage="autoencoder", model=str(released), dataset="corpus")


def test_shipped_trainings_can_be_read():
    folder = Path(models.__file__).parent / "tiny" / "training"
    read = {path.stem: TrainConfig.from_file(path) for path in folder.glob("*.json")}
    assert {name: config.loop.steps for name, config in read.items()} == {
        "clip": 500, "autoencoder": 1250, "decoder": 700, "diffusion": 10000, "predictor": 6000, "motion": 1700,
        "retelling": 7800,
    }  # fmt: skip


def test_epochs_become_steps(made: Path):
    chosen = settings(made, made, diffusion={"e1_epochs": 10, "e2_epochs": 20})
    assert chosen.diffusion_settings(24.0).e1 == pytest.approx(10 * 24 / (3 * 4))


def test_diffusion_leaves_weights_that_score_reads(made: Path, tmp_path: Path):
    out = tmp_path / "out"
    chosen = settings(made, out, loop=RAW["loop"] | {"sample_every": 6}, samples=1)
    summary = train(chosen, SilentViewer())
    assert (summary.done, summary.step, summary.weights) == (True, 6, out / "weights")
    model = models.load_model(out / "weights")
    assert model.autoencoder is not None
    assert (out / "weights" / "clip.safetensors").is_file()
    assert (out / "weights" / "open_clip_config.json").is_file()
    assert {file.suffix for file in (out / "samples").iterdir()} == {".wav", ".png"}
    assert list((out / "tensorboard").iterdir())
    assert train(chosen, SilentViewer()).done


def test_another_clip_than_the_datasets_is_refused(made: Path, tmp_path: Path):
    from models.clip.config import TINY_WEIGHTS

    other = tmp_path / "clip.safetensors"
    other.write_bytes(b"other weights")
    for path, says in ((other, "did not make the semantic features"), (tmp_path / "none", "init.clip: cannot read")):
        with pytest.raises(TrainingError, match=says):
            train(settings(made, tmp_path / "out", init={"autoencoder": "codec", "clip": str(path)}), SilentViewer())
    own = {"autoencoder": "codec", "clip": str(TINY_WEIGHTS)}
    assert train(settings(made, tmp_path / "two", init=own), SilentViewer()).done
    assert (tmp_path / "two" / "weights" / "clip.safetensors").read_bytes() == TINY_WEIGHTS.read_bytes()
    assert (tmp_path / "two" / "weights" / "open_clip_config.json").is_file()


def test_dataset_without_latents_or_of_another_codec(made: Path, tmp_path: Path):
    for codec, says in ((None, "has no latents"), ("1-online-other", "by another codec")):
        storage = Storage.open(tmp_path / str(codec))
        writer = DatasetWriter(storage, {"clip": "x", "codec": codec, "pace": "frames"})
        writer.add(table_of([RandomSegments().segment(0)], SEGMENT))
        writer.flush()
        with pytest.raises(TrainingError, match=says):
            train(settings(made, tmp_path / "out", dataset=storage.url), SilentViewer())


def test_sound_of_a_dataset_trains_an_autoencoder(made: Path, tmp_path: Path):
    chosen = settings(made, tmp_path, stage="autoencoder", crops={"frames": 8}, loop={"steps": 2, "batch": 2})
    assert train(chosen, SilentViewer()).done
    models.load_model(tmp_path / "weights", parts=("autoencoder",))


def test_excerpt_decodes_what_is_wanted():
    sound = np.arange(6000, dtype=np.int16).reshape(3000, 2)
    assert np.array_equal(decode_excerpt(encode_flac(sound), 0.0, 5), sound[:5])
    assert np.array_equal(decode_excerpt(encode_flac(sound), 0.9999, 10), sound[-10:])
    assert decode_excerpt(encode_flac(sound), 0.5, 3001)[-1].tolist() == [0, 0]


def test_tables_in_any_order_are_the_dataset(made: Path, tmp_path: Path):
    dataset = Dataset.open(made / "dataset", tmp_path)
    order = [key for key, _ in list_segments(dataset)]
    table = pq.read_table(made / "dataset" / "shards")
    shuffled = ArrowSegments([table.slice(2, 1), table.slice(0, 2)], order)
    for number in range(3):
        assert np.array_equal(shuffled.segment(number)["latents"], dataset.segment(number)["latents"])
    with pytest.raises(TrainingError, match="is gone; start again"):
        ArrowSegments([table.slice(0, 2)], order)


def test_packed_dataset_trains_like_the_dataset(made: Path, tmp_path: Path):
    pack_dataset(Dataset.open(made / "dataset", tmp_path / "cache"), tmp_path / "packed")
    train(settings(made, tmp_path / "one"), SilentViewer())
    train(settings(made, tmp_path / "two", dataset=str(tmp_path / "packed")), SilentViewer())
    assert losses(tmp_path / "one")[-1]["loss"] == losses(tmp_path / "two")[-1]["loss"]
    assert open_training_data(settings(made, tmp_path, dataset=str(tmp_path / "packed"))).settings["pace"] == "frames"


@pytest.mark.slow
@pytest.mark.parametrize("batch", [4, 5])
def test_two_workers_learn_what_one_learns(made: Path, tmp_path: Path, batch: int):
    """Unequal shares included: 5 crops make 2 and 3."""
    loop = {"steps": 20, "batch": batch, "warmup": 2}
    train(settings(made, tmp_path / "one", loop=loop), SilentViewer())
    summary = train(settings(made, tmp_path / "two", loop=loop, workers=2), SilentViewer())
    assert summary.done
    alone, shared = losses(tmp_path / "one"), losses(tmp_path / "two")
    for name in ("loss", "diffusion", "rhythm", "gradient"):
        assert shared[-1][name] == pytest.approx(alone[-1][name], rel=1e-3), name
    models.load_model(tmp_path / "two" / "weights")
