"""Checkpoints: both file formats, and one clear line of error for each problem."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import models
from models.config import ConfigError
from models.weights.checkpoint import CheckpointError, checkpoint_digest, open_checkpoint, own_name, released_name
from tests.support.parity import COMMITTED

MINI = COMMITTED / "mini"
NORM = "diffusion.model.model.transformer.layers.1.ff_norm.gamma"


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Returns a function that writes the mini checkpoint with changed tensors to a folder."""

    def edit(change: Callable[[dict[str, Any]], object]) -> Path:
        content = torch.load(MINI / "model.ckpt", weights_only=True)
        change(content["state_dict"])
        torch.save(content, tmp_path / "model.ckpt")
        shutil.copy(MINI / "model_config.json", tmp_path)
        return tmp_path

    return edit


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t.pop(NORM), f"missing {NORM}"),
        (lambda t: t.update({"diffusion.model.model.extra": torch.zeros(1)}), "surplus diffusion.model.model.extra"),
        (lambda t: t.update({"other.weight": torch.zeros(1)}), "surplus other.weight"),
        (lambda t: t.update({NORM: torch.zeros(3)}), rf"{NORM} has the shape \[3\], expected \[64\]"),
        (lambda t: t.pop("diffusion_ema.ema_model.model.preprocess_conv.weight"), "missing diffusion_ema"),
        (lambda t: t.pop("diffusion.pretransform.model.decoder.layers.4.alpha"), "missing diffusion.pretransform"),
        (lambda t: [t.pop(n) for n in list(t) if "extractor" in n], "missing .*extractor"),
    ],
)
def test_every_tensor_is_checked(edited: Any, change: Any, line: str) -> None:
    with pytest.raises(CheckpointError, match=line):
        models.load_model(edited(change), parts=("conditioner",))


@pytest.mark.parametrize(
    "fusion", ["FiLM_choose", "FiLM", "preFiLM", "preFiLM_gate", "gate", "choose", "none", "only_clip", "mean"]
)
def test_every_fusion_goes_to_a_file_and_back(tmp_path: Path, fusion: str) -> None:
    """A file in the released layout has the names and shapes that the released code gives each fusion."""
    content = torch.load(MINI / "model.ckpt", weights_only=True)
    tensors, cond, width = content["state_dict"], 32, 64
    for name in [n for n in tensors if "FiLM" in n or "t_linear" in n]:
        if "FiLM" not in fusion:
            del tensors[name]
        elif "preFiLM" in fusion and (".2." in name and "FiLM" in name):
            tensors[name] = tensors[name][:cond]
    if "gate" in fusion:
        for part in ("diffusion.model", "diffusion_ema.ema_model"):
            for layer in range(2):
                gate = f"{part}.model.transformer.layers.{layer}.gate"
                shapes = {"0.weight": (cond, 1), "0.bias": (cond,), "2.weight": (1, cond), "2.bias": (1,)}
                tensors |= {f"{gate}.{name}": torch.randn(shape) for name, shape in shapes.items()}
    config = json.loads((MINI / "model_config.json").read_text())
    config["model"]["diffusion"]["config"]["attention_weight_type"] = fusion
    config["model"]["conditioning"]["configs"].append({"id": "prompt", "type": "t5"})
    (tmp_path / "model_config.json").write_text(json.dumps(config | {"training": {}}))
    torch.save(content, tmp_path / "model.ckpt")
    model = models.load_model(tmp_path, parts=("conditioner", "dit"))
    clip = models.Features(torch.randn(5, 8), torch.rand(5, 24), torch.zeros(5), torch.rand(5))
    latents = model.sample(torch.randn(3, 4, 20), model.condition([clip] * 3), steps=5)
    assert torch.isfinite(latents).all()
    assert model.config.width == width


def test_ema_weights_must_exist_to_be_loaded(edited: Any) -> None:
    folder = edited(lambda t: [t.pop(n) for n in list(t) if "ema_model" in n])
    assert models.load_model(folder, parts=("dit",)).config.width == 64
    with pytest.raises(CheckpointError, match="ema_model"):
        models.load_model(folder, weights="ema", parts=("dit",))


def test_safetensors_is_the_same_model(tmp_path: Path) -> None:
    tensors = torch.load(MINI / "model.ckpt", weights_only=True)["state_dict"]
    save_file({n: t.clone().contiguous() for n, t in tensors.items()}, tmp_path / "model.safetensors")
    shutil.copy(MINI / "model_config.json", tmp_path)
    a, b = models.load_model(MINI), models.load_model(tmp_path / "model.safetensors")
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert checkpoint_digest(MINI) != checkpoint_digest(tmp_path)
    assert checkpoint_digest(tmp_path) == checkpoint_digest(tmp_path / "model.safetensors")


def test_the_configuration_inside_a_file_is_used_if_none_is_beside_it(tmp_path: Path) -> None:
    shutil.copy(MINI / "model.ckpt", tmp_path / "weights.ckpt")
    assert open_checkpoint(tmp_path / "weights.ckpt").config == open_checkpoint(MINI).config


def test_released_file_names_are_found(tmp_path: Path) -> None:
    shutil.copy(MINI / "model.ckpt", tmp_path / "model_odf.ckpt")
    shutil.copy(MINI / "model_config.json", tmp_path / "model_config_odf.json")
    assert open_checkpoint(tmp_path).path.name == "model_odf.ckpt"


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights at"):
        open_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="0 files named"):
        open_checkpoint(tmp_path)
    (tmp_path / "model.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        open_checkpoint(tmp_path)
    torch.save({"weights": {}}, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match="no state_dict"):
        open_checkpoint(tmp_path)


class Payload:
    """An object that writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "pwned"))


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "x": Payload(tmp_path / "owned")}, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_checkpoint(tmp_path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda c: c.pop("sample_rate"), "'sample_rate' is missing"),
        (lambda c: c.update(model_type="autoencoder"), "expected model_type diffusion_cond"),
        (lambda c: c["model"]["diffusion"]["config"].update(num_heads=5), "multiples of the head width"),
        (lambda c: c["model"]["diffusion"]["config"].update(io_channels=9), "io_channels is 9, expected 4"),
        (lambda c: c["model"]["conditioning"]["configs"][0]["config"].update(rhythm_type="drums"), "drums"),
        (lambda c: c["model"]["diffusion"].update(config=[]), "expected a Diff-V2M model_config.json"),
    ],
)
def test_configurations_that_cannot_be_built_are_refused(tmp_path: Path, change: Any, line: str) -> None:
    raw = json.loads((MINI / "model_config.json").read_text())
    change(raw)
    shutil.copy(MINI / "model.ckpt", tmp_path)
    (tmp_path / "model_config.json").write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=line):
        open_checkpoint(tmp_path)


def test_names_are_translated_both_ways() -> None:
    for name in torch.load(MINI / "model.ckpt", weights_only=True)["state_dict"]:
        if name.startswith("diffusion.model.model."):
            assert released_name("dit", own_name(name.removeprefix("diffusion.model.model."))) == name
