"""Crops at a lower rate than that of latents, and losses that do not depend on how a batch is shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.features.motion import CHANNELS, Movement, pace_curve
from models.features.rhythm_curve import ENERGY_RANGE, pulses
from models.training.checkpoints import TrainingError
from models.training.data.batches import DiffusionCrops
from models.training.data.crops import downsample_curve, downsample_pace
from models.training.sharding import SINGLE_WORKER, TrainingWorker
from models.training.tasks.diffusion import DiffusionTask
from models.training.tasks.diffusion_settings import DiffusionSettings, TrainedParts
from tests.support.training_parts import RandomSegments, config, raw_config

RATE = 44100 / 2048


def variant(**entries: Any) -> ModelConfig:
    raw = raw_config()
    raw["model"]["diffusion"]["config"] |= entries
    return ModelConfig.from_dict(raw)


def crops(network: ModelConfig, worker: TrainingWorker = SINGLE_WORKER) -> DiffusionCrops:
    made = RandomSegments((8, 5, 6, 3))
    return DiffusionCrops(made, made.seconds, network, 3, shortest=2, longest=6, ending=0.4, share=worker.share)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_downsampled_pace_is_the_pace_at_the_lower_rate(stride: int):
    times, cuts = np.arange(250) / 25, np.array([1.03, 2.7, 4.444, 7.9])
    up, down = np.linspace(0, 1, 250).astype(np.float32), np.linspace(2, 0, 250).astype(np.float32)
    beats, strengths = cuts[:3], np.array([0.2, 1.0, 0.6], np.float32)
    movement = Movement(times, up * 60, cuts, times, up, np.full(250, 0.3, np.float32), down, beats, strengths)
    fine = torch.from_numpy(pace_curve(movement, RATE, 210))
    wide = torch.from_numpy(pace_curve(movement, RATE / stride, -(-210 // stride)))
    found = downsample_pace(fine, stride)
    assert found.shape == wide.shape == (len(CHANNELS), -(-210 // stride))
    torch.testing.assert_close(found, wide, atol=1e-5, rtol=1e-5)


def test_downsampled_curve_keeps_onsets_and_times_of_accents():
    times, strengths = torch.tensor([0.3, 1.4142, 2.0]), torch.tensor([1.0, 0.5, 0.8])
    onsets = torch.rand(67, generator=torch.Generator().manual_seed(0))
    curve = downsample_curve(torch.stack((onsets, torch.full((67,), -1.0), pulses(times, strengths, RATE, 67))), 3)
    assert curve.shape == (3, 23)
    assert curve[0].tolist() == [float(part.max()) for part in onsets.split(3)]
    assert (curve[1] == -1).all()
    torch.testing.assert_close(curve[2], pulses(times, strengths, RATE / 3, 23), atol=1e-5, rtol=1e-5)


def test_the_curve_after_the_end_is_that_of_silence():
    made = RandomSegments((2,))
    batch = DiffusionCrops(made, made.seconds, config(), 1, shortest=4, longest=4)(0)
    behind = batch.rhythm[0][:, int(batch.mask[0].sum()) :]
    assert behind.shape[1] > 40
    assert torch.equal(behind[1], torch.full_like(behind[1], -ENERGY_RANGE))
    assert not behind[[0, 2]].any()


@pytest.mark.parametrize("curve", [{"stride": 1}, {"stride": 2}, None])
@pytest.mark.parametrize("learns", list(TrainedParts))
def test_losses_and_gradients_of_shares_add_up(curve: dict[str, int] | None, learns: TrainedParts):
    network = variant(curve=curve)
    torch.manual_seed(0)
    model = DiffV2M(network, parts=("conditioner", "dit"))
    task = DiffusionTask(model, DiffusionSettings(e1=0, e2=10, learns=learns))
    results = []
    for worker in (SINGLE_WORKER, TrainingWorker(0, 3), TrainingWorker(1, 3), TrainingWorker(2, 3)):
        batch = crops(network, worker)(4)
        model.zero_grad()
        losses = task(batch, 4)
        (losses["loss"] * batch.weight).backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((torch.stack(list(losses.values())).detach() * batch.weight, gradient))
    whole, *shares = results
    torch.testing.assert_close(sum(losses for losses, _ in shares), whole[0])
    torch.testing.assert_close(sum(gradient for _, gradient in shares), whole[1], atol=1e-5, rtol=1e-3)


def test_frames_and_steps_of_a_batch_are_counted_from_its_masks():
    for network in (variant(curve=None), variant(curve={"stride": 2}), config()):
        for step in range(8):
            batch = crops(network)(step)
            assert (batch.frames, batch.steps) == (batch.mask.sum(), batch.rhythm_mask.sum())


def test_the_diffusion_loss_has_no_gradient_in_the_predictor():
    model = DiffV2M(config(), parts=("conditioner", "dit"))
    task = DiffusionTask(model, DiffusionSettings(e1=0, e2=0, rhythm_weight=0.0))
    task(crops(config())(0), 5)["loss"].backward()
    assert not model.conditioner.predictor.pace_in.weight.grad.any()
    assert model.conditioner["rhythm"].proj_out1.weight.grad.any()


def test_segments_of_another_model_are_refused():
    raw = raw_config()
    raw["model"]["conditioning"]["configs"][0]["config"]["dim"] = 9
    with pytest.raises(TrainingError, match="semantic have 8 channels, the model's 9: prepare it anew"):
        crops(ModelConfig.from_dict(raw))(0)
