"""The image encoder: it computes the numbers of open_clip's own model, and refuses other files with clear messages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.clip.checkpoint import ClipWeightsError, clip_config
from models.clip.config import MEAN, STD, TINY, TINY_WEIGHTS
from models.clip.image_encoder import load_image_encoder
from models.weights import source

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def whole_clip() -> torch.nn.Module:
    """A small CLIP as open_clip builds it, with image and text encoder."""
    import open_clip

    vision = open_clip.CLIPVisionCfg(layers=2, width=128, patch_size=16, image_size=64)
    text = open_clip.CLIPTextCfg(context_length=8, vocab_size=50, width=32, heads=2, layers=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return open_clip.CLIP(48, vision, text, quick_gelu=True).eval()


def reference(model: torch.nn.Module, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> torch.Tensor:
    """Returns embeddings of open_clip's `encode_image` after its own normalization."""
    from torchvision.transforms.functional import normalize

    with torch.no_grad():
        return model.encode_image(normalize(PICTURES.permute(0, 3, 1, 2) / 255, list(mean), list(std)))


def save(state: dict[str, torch.Tensor], path: Path) -> str:
    state = {name: value.contiguous() for name, value in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("form", ["whole.pt", "whole.safetensors", "training.pt", "image.bin"])
def test_a_checkpoint_gives_the_numbers_of_open_clip(tmp_path: Path, whole_clip: torch.nn.Module, form: str):
    """Sizes come from the tensors; both encoders, a wrapped training checkpoint, or the image encoder alone."""
    state = whole_clip.state_dict()
    if form == "training.pt":
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / form)
    elif form == "image.bin":
        save(whole_clip.visual.state_dict(), tmp_path / form)
    else:
        save(state, tmp_path / form)
    path = str(tmp_path / form)
    encoder = load_image_encoder(path)
    assert clip_config(str(path)).image_size == 64
    assert (encoder.config.layers, encoder.config.heads, encoder.config.embed_dim) == (2, 2, 48)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(PICTURES), reference(whole_clip), rtol=1e-4, atol=1e-5)


def test_the_file_beside_a_checkpoint_sets_activation_and_normalization(tmp_path: Path, whole_clip: torch.nn.Module):
    path = save(whole_clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    quick = load_image_encoder(path)
    half = [0.5, 0.5, 0.5]
    config = {"model_cfg": {"embed_dim": 48}, "preprocess_cfg": {"mean": half, "std": half}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    exact = load_image_encoder(path)
    assert quick.config.quick_gelu
    assert not exact.config.quick_gelu
    config["model_cfg"]["quick_gelu"] = True
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with torch.inference_mode():
        embeddings = load_image_encoder(path)(PICTURES)
        assert not torch.allclose(exact(PICTURES), embeddings, atol=1e-3)
    torch.testing.assert_close(embeddings, reference(whole_clip, (0.5,) * 3, (0.5,) * 3), rtol=1e-4, atol=1e-5)


def test_the_tiny_encoder_is_the_same_every_time():
    before = torch.get_rng_state()
    first, second = load_image_encoder("tiny"), load_image_encoder("tiny")
    assert torch.equal(torch.get_rng_state(), before)
    assert clip_config("tiny") == first.config == clip_config(str(TINY_WEIGHTS))
    with torch.inference_mode():
        embeddings = first(PICTURES)
        assert embeddings.shape == (3, TINY.embed_dim)
        assert embeddings.dtype == torch.float32
        assert torch.equal(embeddings, second(PICTURES))
        assert not torch.allclose(embeddings[0], embeddings[1])
    assert not any(p.requires_grad for p in first.parameters())
    assert all(p.dtype == torch.float32 for p in first.parameters())


def test_the_tiny_encoder_is_small_and_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert TINY_WEIGHTS.stat().st_size < 3 << 20
    before = source.clip_digest("tiny")
    assert before == source.clip_digest(str(TINY_WEIGHTS))
    other = tmp_path / "other.safetensors"
    other.write_bytes(TINY_WEIGHTS.read_bytes() + b" ")
    monkeypatch.setattr(source, "TINY_WEIGHTS", other)
    assert source.clip_digest("tiny") != before


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    path.write_text("hello")
    with pytest.raises(ClipWeightsError, match="expected a state dict of open_clip") as caught:
        load_image_encoder(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused():
    with pytest.raises(ClipWeightsError, match="found no such file"):
        load_image_encoder("absent.pt")


def test_pickled_code_is_not_run(tmp_path: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "sprung"),))

    torch.save({"visual.conv1.weight": Trap()}, tmp_path / "a.pt")
    with pytest.raises(ClipWeightsError):
        load_image_encoder(str(tmp_path / "a.pt"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("visual.ln_post.bias"), r"expected the tensor visual\.ln_post\.bias, it is missing"),
        (lambda s: s.pop("visual.proj"), r"expected the tensor visual\.proj, it is missing"),
        (lambda s: s.update({"visual.extra": torch.zeros(1)}), r"found the tensor visual\.extra"),
        (lambda s: s.update({"decoder.weight": torch.zeros(1)}), r"unknown tensor decoder\.weight"),
        (lambda s: s.update({"visual.ln_post.bias": torch.zeros(5)}), r"ln_post\.bias: expected \[128\], found \[5\]"),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("visual.")], "expected the vision transformer"),
    ],
)
def test_a_wrong_tensor_is_named(tmp_path: Path, whole_clip: torch.nn.Module, change, message: str):
    state = dict(whole_clip.state_dict())
    change(state)
    with pytest.raises(ClipWeightsError, match=message):
        load_image_encoder(save(state, tmp_path / "a.pt"))
