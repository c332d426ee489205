"""A predictor that draws its rhythm: scales, noise, windows that agree, and a training that learns a distribution."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.config import ConfigError, ModelConfig, Sampling
from models.diffv2m import DiffV2M
from models.inputs import Features
from models.networks.rhythm_predictor import denormalize_curve, normalize_curve
from models.sampling.windows import Timeline, blend_overlapping, draw_noise
from models.training.config import TrainConfig
from models.training.data.batches import DiffusionCrops
from models.training.factory import build_diffusion_training
from models.training.seeding import build_seeded
from models.training.tasks.diffusion import DiffusionTask, StepDraws
from models.training.tasks.diffusion_settings import DiffusionSettings, TrainedParts
from tests.support.training_parts import RandomSegments, raw_config

pytestmark = pytest.mark.usefixtures("one_thread")


def drawing(**curve: Any) -> dict[str, Any]:
    raw = raw_config()
    raw["model"]["diffusion"]["config"]["curve"] = {"stride": 1, "groove": True, "drawn": True} | curve
    return raw


@pytest.fixture(scope="module")
def model() -> DiffV2M:
    return build_seeded(0, lambda: DiffV2M(ModelConfig.from_dict(drawing()), parts=("conditioner", "dit"))).eval()


def clip(model: DiffV2M, seed: int = 0) -> Features:
    steps, draws = model.lengths.window_latents, torch.Generator().manual_seed(seed)
    seconds = model.config.steps
    semantic, pace = (torch.rand(*shape, generator=draws) for shape in ((seconds, 8), (2, steps)))
    return Features(semantic, torch.zeros(seconds, 12), torch.zeros(seconds), torch.zeros(seconds), pace=pace)


def crops_of(config: ModelConfig, segments: RandomSegments | None = None) -> DiffusionCrops:
    segments = segments or RandomSegments()
    return DiffusionCrops(segments, segments.seconds, config, 3, shortest=4, longest=4)


def noise(model: DiffV2M, *numbers: int) -> torch.Tensor:
    return torch.stack([draw_noise("rhythm", n, 3, model.lengths.window_latents) for n in numbers])


@given(st.integers(1, 3), st.integers(0, 2**31))
def test_what_is_drawn_has_the_ranges_of_a_rhythm(channels: int, seed: int):
    draws = torch.Generator().manual_seed(seed)
    spread = torch.tensor([6.0, 3.0, 1.0])[:channels, None]
    curve = torch.rand(2, channels, 50, generator=draws) * spread
    torch.testing.assert_close(denormalize_curve(normalize_curve(curve)), curve, atol=1e-4, rtol=1e-4)
    wild = denormalize_curve(20 * torch.randn(2, channels, 50, generator=draws))
    assert wild[:, 0].min() >= 0
    assert wild[:, 1:2].abs().sum() == 0 or wild[:, 1:2].abs().max() <= 3
    assert all(0 <= float(x) <= 1 for x in wild[:, 2:].flatten())


def test_noise_decides_and_is_asked_for(model: DiffV2M):
    clips = [clip(model)] * 2
    one, two = model.predict_rhythm(clips, noise(model, 0, 1))
    assert (one - two).abs().max() > 0.1
    torch.testing.assert_close(model.predict_rhythm(clips[:1], noise(model, 0))[0], one, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="samples its rhythm: give the noise"):
        model.predict_rhythm(clips)


def test_guidance_goes_away_from_what_is_drawn_blindly(model: DiffV2M):
    """1 is as trained, 0 does not see the picture at all."""
    seen, other = model.rhythm_planner.with_groove([clip(model)]), model.rhythm_planner.with_groove([clip(model, 1)])
    other = [replace(o, groove=s.groove) for o, s in zip(other, seen, strict=True)]
    drawn = {}
    for guidance in (0.0, 1.0, 2.0):
        model.config = replace(model.config, sampling=Sampling(rhythm_guidance=guidance))
        drawn[guidance] = [model.predict_rhythm(features, noise(model, 0)) for features in (seen, other)]
    torch.testing.assert_close(*drawn[0.0])
    assert (drawn[1.0][0] - drawn[1.0][1]).abs().max() > 1e-3
    assert (drawn[2.0][0] - drawn[0.0][0]).abs().mean() > (drawn[1.0][0] - drawn[0.0][0]).abs().mean()


def test_windows_of_a_video_are_drawn_together(model: DiffV2M):
    timeline = Timeline(model.lengths, model.config.steps * 1.6)
    features = model.rhythm_planner.with_groove([clip(model, n) for n in range(len(timeline))], timeline.seconds)
    assert len(timeline) > 1
    rhythm = model.predict_rhythm(features, timeline.noise("k", 3), partial(blend_overlapping, [timeline]))
    start = timeline.starts[1]
    torch.testing.assert_close(rhythm[0, :, start:], rhythm[1, :, : timeline.frames - start])


def test_a_curve_that_windows_cannot_share_is_refused():
    with pytest.raises(ConfigError, match=r"a drawn curve has a curve\.stride of 1, got 2"):
        ModelConfig.from_dict(drawing(stride=2))


@pytest.mark.parametrize("learns", list(TrainedParts))
def test_only_what_learns_has_gradients(learns: TrainedParts):
    model = build_seeded(0, lambda: DiffV2M(ModelConfig.from_dict(drawing()), parts=("conditioner", "dit")))
    settings = DiffusionSettings(learns=learns, e1=0, e2=0)
    losses = DiffusionTask(model, settings)(crops_of(model.config)(0), 1)  # the rhythm is drawn for the DiT
    losses["loss"].backward()
    assert (model.conditioner.predictor.pace_in.weight.grad is not None) == (learns is not TrainedParts.DIT)
    assert any(p.grad is not None for p in model.dit.parameters()) == (learns is not TrainedParts.PREDICTOR)
    assert ("rhythm" in losses) == (learns is not TrainedParts.DIT)


def test_a_redrawn_rhythm_is_near_the_measured_one():
    """Some items keep theirs to the bit, others get another grain; the more noise, the more."""
    model = build_seeded(0, lambda: DiffV2M(ModelConfig.from_dict(drawing()), parts=("conditioner", "dit"))).eval()
    batch = crops_of(model.config)(0)
    measured = model.rhythm_planner.measured(batch.features, batch.rhythm)
    apart = {}
    for share in (0.0, 0.5, 1.0):
        task = DiffusionTask(model, DiffusionSettings(learns=TrainedParts.DIT, redrawn=share))
        steps = [StepDraws(0, step, 3, slice(0, 3)) for step in range(8)]
        found = [task._with_sampled_detail(batch.features, measured, draws) for draws in steps]
        apart[share] = torch.stack([(f - measured).abs().amax((1, 2)) for f in found]).flatten()
    assert not apart[0.0].any()
    assert apart[1.0].all()
    assert 4 < int((apart[0.5] > 0).sum()) < 20
    torch.testing.assert_close(apart[0.5][apart[0.5] > 0], apart[1.0][apart[0.5] > 0])


class TwoKinds(RandomSegments):
    """Segments whose music is all loud or all soft, by chance: no picture tells."""

    def segment(self, number: int, columns: Any = None) -> Any:
        row = dict(super().segment(number, columns))
        level = 1.0 if number % 2 else -1.0
        row["curve"] = torch.full_like(torch.as_tensor(row["curve"]), level).numpy()
        row["semantic"] = torch.ones_like(torch.as_tensor(row["semantic"])).numpy()
        row["pace"] = torch.zeros_like(torch.as_tensor(row["pace"])).numpy()
        return row


def test_a_drawn_rhythm_is_one_of_those_that_may_be_and_not_their_mean(tmp_path: Path):
    (tmp_path / "model_config.json").write_text(json.dumps(drawing(groove=False)))
    raw = {
        "stage": "diffusion", "out": "out", "model": "model_config.json", "dataset": "d", "device": "cpu",
        "crops": {"shortest": 4, "longest": 4, "ending": 0}, "diffusion": {"learns": "predictor"},
        "loop": {"steps": 400, "batch": 16, "rate": 4e-3, "warmup": 5, "ema": 0.9},
    }  # fmt: skip
    made = TwoKinds()
    training = build_diffusion_training(TrainConfig.from_dict(raw, tmp_path), made, made.seconds, {})
    assert training.trainer.run()
    model = training.trainer.task.model  # type: ignore[union-attr]
    batch = crops_of(model.config, made)(0)
    features, shape = [batch.features[0]] * 16, batch.rhythm[0].shape
    drawn = model.predict_rhythm(features, torch.stack([draw_noise("t", n, *shape) for n in range(16)]))
    levels = drawn[:, 1].mean(1)
    assert (levels.abs() > 0.6).float().mean() > 0.8
    assert 2 <= int((levels > 0).sum()) <= 14
