"""A predictor that reads more of the picture's pace begins with the answers of the one that it grew from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.config import CurveConfig, ModelConfig
from models.networks.rhythm_predictor import CurvePredictor
from models.training.growth import with_more_pace
from models.weights.presets import PRESETS

CURVE = CurveConfig(groove=True, drawn=True)


def predictor(config: ModelConfig, curve: CurveConfig, seed: int) -> CurvePredictor:
    torch.manual_seed(seed)
    return CurvePredictor(config, curve).eval()


def grown(old: CurvePredictor, new: CurvePredictor, curve: CurveConfig) -> CurvePredictor:
    prefix = "conditioners.semantic.extractor."
    tensors, expected = ({prefix + n: t for n, t in x.state_dict().items()} for x in (old, new))
    found = with_more_pace(tensors, expected, curve)
    new.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in found.items()})
    return new


@pytest.mark.parametrize("pace", [3, 4, 6])
def test_new_channels_have_no_effect_at_first(pace: int) -> None:
    config, curve = PRESETS["tiny"].config, replace(CURVE, pace=pace)
    old = predictor(config, CURVE, 0)
    new = grown(old, predictor(config, curve, 1), curve)
    draws = torch.Generator().manual_seed(0)
    semantic, wide = torch.rand(2, 9, config.semantic_dim, generator=draws), torch.rand(2, pace, 100, generator=draws)
    groove, noisy = torch.rand(2, 3, 100, generator=draws), torch.randn(2, 3, 100, generator=draws)
    rest = (torch.tensor([0, 2]), groove, (noisy, torch.tensor([0.3, 0.8])))
    with torch.no_grad():
        torch.testing.assert_close(new(semantic, wide, *rest), old(semantic, wide[:, :2], *rest))
        octaves, strength = new.tempo(semantic, wide)
    assert octaves.shape == strength.shape == (2,)


def test_a_predictor_without_embeddings_leaves_out_their_layer() -> None:
    config, curve = PRESETS["tiny"].config, replace(CURVE, semantic=False)
    new = grown(predictor(config, CURVE, 0), predictor(config, curve, 1), curve)
    assert not any("semantic_in" in name for name in new.state_dict())
    pace, label = torch.rand(1, 2, 60), torch.tensor([2])
    noisy = torch.randn(1, 3, 60), torch.tensor([0.5])
    with torch.no_grad():
        one, two = (new(torch.rand(1, 5, config.semantic_dim), pace, label, None, noisy) for _ in range(2))
    assert torch.equal(one, two)


def test_weights_of_the_same_channels_stay_as_they_are() -> None:
    config = PRESETS["tiny"].config
    old, new = predictor(config, CURVE, 0), predictor(config, CURVE, 1)
    grown(old, new, CURVE)
    assert all(torch.equal(tensor, new.state_dict()[name]) for name, tensor in old.state_dict().items())
