"""Numbers of fewer bits where the time goes, single precision everywhere else, and compiled blocks."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

from models import load_model
from models.config import ConfigError
from models.networks.dit_block import KEEP_FLOAT32
from models.precision import check_compiler, dtype_of
from tests.support.dit_variants import FUSIONS, VARIANTS, small_model, two_conditions, two_noises
from tests.support.parity import COMMITTED
from tests.support.signals import stereo_notes


def test_auto_is_single_precision_without_a_gpu() -> None:
    assert dtype_of("auto", "cpu") is torch.float32
    assert dtype_of("bfloat16", "cpu") is torch.bfloat16
    with pytest.raises(ConfigError, match="expected a precision of auto, float32, bfloat16, float16, got 'int8'"):
        dtype_of("int8", "cpu")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_computes_with_fewer_bits(fusion: str, variant: str) -> None:
    model, x, t = small_model(fusion, variant), two_noises(), torch.tensor([0.7, 0.1])
    conditions = two_conditions(model)
    expected = model.velocity(x, t, conditions, 3.0)
    found = copy.deepcopy(model).to_precision(torch.bfloat16).velocity(x, t, conditions, 3.0)
    assert found.dtype is torch.float32
    error = float((found - expected).square().mean().sqrt() / expected.std())
    assert 1e-5 < error < 0.05


def test_what_is_made_once_stays_in_single_precision() -> None:
    model = load_model("tiny", dtype=torch.bfloat16)
    lowered = {name for name, p in model.named_parameters() if p.dtype is torch.bfloat16}
    assert all(name.startswith(("dit.transformer.layers.", "autoencoder.")) for name in lowered)
    assert not [name for name in lowered if ".encode_" in name or set(name.split(".")) & set(KEEP_FLOAT32)]
    assert model.dit.timestep_features.weight.dtype is torch.float32
    assert model.dit.transformer.rotary_pos_emb.inv_freq.dtype is torch.float32
    counts = [sum(p.numel() for p in layer.parameters() if p.dtype is torch.bfloat16) for layer in model.dit.blocks]
    assert min(counts) > 1_000_000


@pytest.mark.parametrize("name", ["tiny", str(COMMITTED / "mini")])
def test_sound_of_fewer_bits_is_near(name: str) -> None:
    whole = load_model(name, parts=("autoencoder",))
    lower = load_model(name, dtype=torch.bfloat16, parts=("autoencoder",))
    latents = whole.encode(stereo_notes(40)[None])
    expected, found = whole.decode(latents), lower.decode(latents)
    assert found.dtype is torch.float32
    levels = [x.unflatten(-1, (-1, 512)).square().mean(-1).sqrt().flatten() for x in (expected, found)]
    assert float(torch.corrcoef(torch.stack(levels))[0, 1]) > 0.99
    assert not torch.equal(found, expected)


def test_without_a_compiler_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compiling needs a C\+\+ compiler \(no-such-compiler\)"):
        check_compiler()


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_compiled_blocks_give_the_same_numbers() -> None:
    model = small_model("FiLM_choose", "time-aware")
    conditions, x = two_conditions(model), two_noises()
    expected = model.make_guided(conditions, x.shape[-1], 3.0, (0.7, 0.1))
    compiled = copy.deepcopy(model).compile_blocks().make_guided(conditions, x.shape[-1], 3.0, (0.7, 0.1))
    with torch.inference_mode():
        for time in (0.7, 0.1):
            torch.testing.assert_close(compiled(x, time), expected(x, time), rtol=1e-4, atol=1e-5)
