"""The training of the autoencoder: its losses, its latents, a fixed encoder, and machines with torch alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import models
from models.autoencoders.oobleck import build_autoencoder
from models.training import standalone as bare
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.training.data.batches import SoundCrops
from models.training.data.packed import pack
from models.training.data.sounds import compose_sounds, durations_of
from models.training.factory import build_autoencoder_training
from models.training.plain_weights import convert_plain_weights, save_plain_weights
from models.training.seeding import build_seeded
from models.training.sharding import TrainingWorker
from models.training.tasks.autoencoder import AutoencoderTask
from models.training.weights import load_autoencoder
from tests.support.training_parts import RandomSegments, config, raw_config

ROOT = Path(__file__).parents[4]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    compose_sounds(3, folder, 44100, seconds=3.0, processes=1)
    return folder


def settings(folder: Path, **entries: Any) -> TrainConfig:
    (folder / "model_config.json").write_text(json.dumps(raw_config()))
    raw = {
        "stage": "autoencoder", "out": "out", "model": "model_config.json", "clips": 3, "device": "cpu",
        "crops": {"frames": 8}, "loop": {"steps": 30, "batch": 2, "rate": 5e-3, "warmup": 4, "ema": 0.9},
    } | entries  # fmt: skip
    return TrainConfig.from_dict(raw, folder)


def train(chosen: TrainConfig, corpus: Path) -> list[dict[str, float]]:
    sounds = compose_sounds(3, corpus, 44100, seconds=3.0)
    training = build_autoencoder_training(chosen, sounds, durations_of(sounds, 44100), {})
    training.trainer.run()
    training.finish()
    return [json.loads(line) for line in (chosen.out / "losses.jsonl").read_text().splitlines()]


def test_the_loss_falls_and_latents_are_standardized(tmp_path: Path, corpus: Path):
    chosen = settings(tmp_path)
    train(chosen, corpus)
    loaded = load_autoencoder(chosen.network, str(chosen.weights))
    sounds = compose_sounds(3, corpus, 44100, seconds=3.0)
    same, fresh = SoundCrops(sounds, [3.0] * 3, 32 * 2048, 6)(0), build_seeded(0, lambda: build_autoencoder(config()))
    with torch.no_grad():
        before, after = (float(AutoencoderTask(codec, 44100)(same, 0)["loss"]) for codec in (fresh, loaded))
    assert after < 0.95 * before
    audio = torch.stack([torch.from_numpy(sounds.excerpt(i, 0.0, 60 * 2048).T.copy()) for i in range(3)]) / 32768
    with torch.no_grad():
        mean = loaded.encode(audio)[0].transpose(0, 1).flatten(1)
    assert mean.std(1).median() == pytest.approx(1.0, abs=0.3)
    assert mean.mean(1).abs().median() < 0.5
    models.load_model(chosen.weights, parts=("autoencoder",))


def test_the_encoder_can_stay_unchanged(tmp_path: Path, corpus: Path):
    first = settings(tmp_path)
    train(first, corpus)
    before = load_autoencoder(first.network, str(first.weights)).state_dict()
    second = settings(tmp_path, out="two", init={"autoencoder": "out/weights"}, decoder_only=True)
    train(second, corpus)
    after = load_autoencoder(second.network, str(second.weights)).state_dict()
    for name, value in before.items():
        stays = name.startswith(("encode_", "latent_"))
        assert torch.equal(value, after[name]) == stays or not stays, name
    assert not torch.equal(before["decode_in.weight"], after["decode_in.weight"])


def test_losses_of_shares_add_up(corpus: Path):
    sounds = compose_sounds(3, corpus, 44100, seconds=3.0)
    codec = build_seeded(0, lambda: build_autoencoder(config()))
    task, losses = AutoencoderTask(codec, 44100), []
    for worker in (TrainingWorker(), TrainingWorker(0, 2), TrainingWorker(1, 2)):
        batch = SoundCrops(sounds, [3.0] * 3, 8 * 2048, 4, share=worker.share)(0)
        with torch.no_grad():
            losses.append({name: float(value) for name, value in task(batch, 0).items()})
    for name, whole in losses[0].items():
        assert whole == pytest.approx((losses[1][name] + losses[2][name]) / 2, rel=1e-4), name


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"decoder_only": True}, "decoder_only wants an init.autoencoder"),
        ({"init": {"autoencoder": "nowhere"}}, "init.autoencoder: no weights at .*nowhere"),
    ],
)
def test_unusable_initial_weights_are_refused(tmp_path: Path, corpus: Path, entries: dict[str, Any], says: str):
    with pytest.raises(TrainingError, match=says):
        train(settings(tmp_path, **entries), corpus)


def test_an_autoencoder_of_another_shape_is_refused(tmp_path: Path, corpus: Path):
    chosen = settings(tmp_path)
    train(chosen, corpus)
    raw = raw_config()
    raw["model"]["pretransform"]["config"]["codec"]["width"] = 24
    (tmp_path / "wide.json").write_text(json.dumps(raw))
    wide = settings(tmp_path, model="wide.json", out="wide", init={"autoencoder": "out/weights"})
    with pytest.raises(TrainingError, match="has another configuration than the model's pretransform"):
        train(wide, corpus)


def test_plain_weights_are_small_files_that_can_be_converted(tmp_path: Path):
    from models.diffv2m import DiffV2M

    model = DiffV2M(config())
    files = save_plain_weights(
        {p: getattr(model, p) for p in models.diffv2m.PARTS}, raw_config(), tmp_path / "plain", 60_000
    )
    assert len(files) > 2
    convert_plain_weights(tmp_path / "plain", tmp_path / "out")
    loaded = models.load_model(tmp_path / "out")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name].float(), value, atol=2e-3, rtol=2e-3)
    files[1].unlink()
    with pytest.raises(TrainingError, match="which are not all"):
        convert_plain_weights(tmp_path / "plain", tmp_path / "two")


def test_a_machine_with_torch_and_numpy_alone_can_train(tmp_path: Path):
    made = RandomSegments()
    pack((made.segment(i) for i in range(3)), made.seconds, {"codec": "x"}, "which", tmp_path / "packed")
    (tmp_path / "model_config.json").write_text(json.dumps(raw_config()))
    raw = {
        "stage": "diffusion", "out": "out", "model": "model_config.json", "dataset": "packed", "device": "cpu",
        "crops": {"shortest": 2, "longest": 4}, "loop": {"steps": 4, "batch": 2, "warmup": 1},
    }  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(raw))
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("safetensors", "ray", "pyarrow", "requests", "boto3", "huggingface_hub", "cv2"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "safetensors" else found(name, *rest)
from models.training import standalone as bare
code = bare.main(sys.argv[1:])
heavy = {"ray", "pyarrow", "requests", "boto3", "huggingface_hub", "aiohttp", "httpx", "open_clip", "scipy", "pandas"}
print(code, *sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "train.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=800)
    assert done.stdout.split() == ["0"], done.stderr
    assert [file.suffix for file in (tmp_path / "out" / "weights").glob("model-*")] == [".pt"]
    assert bare.main([str(tmp_path / "train.json"), "--convert", str(tmp_path / "loadable")]) == 0
    models.load_model(tmp_path / "loadable", parts=("dit",))


def test_unsupported_standalone_trainings_are_one_line_of_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bare.main([str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith("error: cannot read the training")
    (tmp_path / "train.json").write_text(json.dumps({"stage": "clip", "out": "out", "loop": {"steps": 1}}))
    assert bare.main([str(tmp_path / "train.json")]) == 2
    assert "a bare machine trains" in capsys.readouterr().err
