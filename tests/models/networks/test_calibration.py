"""Calibration: predicted curves spread as those of music, in order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.networks.calibration import Calibration
from models.networks.rhythm_predictor import CurvePredictor
from models.training.data.batches import DiffusionCrops
from models.training.tasks.diffusion import calibrate
from tests.support.training_parts import RandomSegments, raw_config


def measured_calibration(seed: int = 0) -> tuple[Calibration, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    predicted = 0.4 * torch.randn(3, 20_000, generator=draws) + 0.3
    measured = torch.randn(3, 20_000, generator=draws).exp()
    calibration = Calibration(3)
    calibration.measure(predicted, measured)
    return calibration, predicted, measured


def test_nothing_changes_before_it_is_measured() -> None:
    curve = torch.rand(2, 3, 50) * 8 - 4
    torch.testing.assert_close(Calibration(3)(curve), curve, atol=1e-5, rtol=1e-5)


def test_predictions_are_spread_as_music_is() -> None:
    calibration, predicted, measured = measured_calibration()
    spread = calibration(predicted[None])[0]
    for q in (0.1, 0.5, 0.9, 0.97):
        torch.testing.assert_close(spread.quantile(q, dim=1), measured.quantile(q, dim=1), rtol=0.05, atol=0.02)


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=40))
def test_order_is_kept_and_what_was_never_measured_is_shifted(values: list[float]) -> None:
    calibration, predicted, measured = measured_calibration()
    curve = torch.tensor(sorted(values), dtype=torch.float32).repeat(1, 3, 1)
    spread = calibration(curve)
    assert (spread.diff(dim=-1) >= -1e-4).all()
    for edge, beyond in ((torch.amax, 60.0), (torch.amin, -60.0)):
        shift = edge(measured, 1) - edge(predicted, 1)
        torch.testing.assert_close(
            calibration(torch.full((1, 3, 1), beyond))[0, :, 0] - beyond, shift, atol=1e-3, rtol=0
        )


def test_clips_and_steps_stay_where_they_are() -> None:
    calibration, _, _ = measured_calibration()
    curve = torch.rand(4, 3, 7)
    torch.testing.assert_close(calibration(curve)[2:3], calibration(curve[2:3]))


@pytest.mark.parametrize("is_drawn", [True, False])
@pytest.mark.parametrize("is_calibrated", [True, False])
def test_training_measures_what_use_predicts(is_calibrated: bool, is_drawn: bool) -> None:
    raw = raw_config()
    curve = {"stride": 1, "groove": True, "calibrated": is_calibrated, "drawn": is_drawn}
    raw["model"]["diffusion"]["config"]["curve"] = curve
    torch.manual_seed(0)
    model = DiffV2M(ModelConfig.from_dict(raw), parts=("conditioner", "dit")).eval()
    data = RandomSegments()
    batches = DiffusionCrops(data, [float(s) for s in data.seconds], model.config, 2, shortest=5, longest=8)
    batch = batches(0)
    features = [replace(f, groove=None) for f in batch.features]
    noise = torch.randn(torch.stack(list(map(torch.as_tensor, batch.rhythm))).shape) if is_drawn else None
    before = model.predict_rhythm(features, noise)
    calibrate(model, batches, count=4)
    after = model.predict_rhythm(features, noise)
    assert isinstance(model.conditioner.predictor, CurvePredictor)
    assert (model.conditioner.predictor.calibration is not None) == is_calibrated
    if not is_calibrated:
        torch.testing.assert_close(after, before)
        return
    music = torch.stack([torch.as_tensor(r) for r in batch.rhythm])
    sounds = batch.rhythm_mask.bool()
    wanted, found, raw_ones = (x.transpose(1, 2)[sounds] for x in (music, after, before))
    assert ((found.mean(0) - wanted.mean(0)).abs() < 0.15 + 0.15 * wanted.mean(0).abs()).all()
    assert ((found.std(0) - wanted.std(0)).abs() < 0.15 + 0.3 * wanted.std(0)).all()
    assert (raw_ones.mean(0) - wanted.mean(0)).abs().max() > 0.2
