"""The diffusion training: schedule, times, dropped conditions, losses, and weights that can be loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import models
from models.bench import with_null_half
from models.config import ModelConfig
from models.diffv2m import DiffV2M
from models.training.checkpoints import TrainingError
from models.training.config import TrainConfig
from models.training.data.batches import DiffusionCrops
from models.training.factory import build_diffusion_training
from models.training.from_json import read_dataclass
from models.training.seeding import build_seeded
from models.training.tasks.diffusion import DiffusionTask, StepDraws
from models.training.tasks.diffusion_settings import DiffusionSettings, Timesteps, TrainedParts
from models.training.weights import load_conditioner_and_dit
from models.weights.export import save_weights
from tests.support.training_parts import RandomSegments, config, raw_config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> DiffV2M:
    return build_seeded(0, lambda: DiffV2M(config(), parts=("conditioner", "dit")))


def crops(**options: float) -> DiffusionCrops:
    chosen = {"shortest": 4, "longest": 6} | options
    return DiffusionCrops(RandomSegments(), [8, 5, 6], config(), 3, **chosen)  # type: ignore[arg-type]


def test_share_of_the_measured_rhythm_falls_from_e1_to_e2():
    schedule = DiffusionSettings(e1=10, e2=30)
    assert [schedule.measured_share(step) for step in (0, 9, 10, 20, 30, 99)] == [1, 1, 1, 0.5, 0, 0]
    assert DiffusionSettings(e1=10, e2=10).measured_share(10) == 0


@pytest.mark.parametrize("kind", list(Timesteps))
def test_timesteps_have_one_in_each_stratum(kind: Timesteps):
    times = StepDraws(0, 5, 16, slice(0, 16)).timesteps(kind).double().sort().values
    if kind is Timesteps.LOGIT_NORMAL:
        times = torch.special.ndtr(torch.logit(times))
    assert (times * 16).floor().tolist() == list(range(16))


def test_dropping_everything_gives_the_null_conditions_of_guidance(model: DiffV2M):
    task = DiffusionTask(model, DiffusionSettings(drop_all=1.0))
    batch = crops()(0)
    conditions = model.encode_conditions(batch.features, model.rhythm_planner.measured(batch.features, batch.rhythm))
    dropped = task._drop_conditions(conditions, StepDraws(0, 0, batch.total, batch.items))
    null = with_null_half(conditions)
    for name in ("semantic", "rhythm", "color"):
        tokens = getattr(dropped, name).tokens
        assert not tokens.any()
        assert torch.equal(getattr(dropped, name).mask, getattr(conditions, name).mask)
        if null is not None:
            assert torch.equal(getattr(null, name).tokens[len(tokens) :], tokens)
    assert dropped.curve is not None
    assert not dropped.curve.any()
    assert torch.equal(dropped.global_cond, conditions.global_cond)


def test_dropping_nothing_changes_nothing(model: DiffV2M):
    task = DiffusionTask(model, DiffusionSettings(dropout=0, curve_dropout=0, drop_all=0))
    batch = crops()(0)
    conditions = model.encode_conditions(batch.features, model.rhythm_planner.measured(batch.features, batch.rhythm))
    dropped = task._drop_conditions(conditions, StepDraws(0, 0, batch.total, batch.items))
    assert torch.equal(dropped.semantic.tokens, conditions.semantic.tokens)
    assert torch.equal(dropped.curve, conditions.curve)  # type: ignore[arg-type]


def test_the_rhythm_loss_covers_all_items_and_only_their_music(model: DiffV2M):
    task = DiffusionTask(model, DiffusionSettings(accent_weight=3.0))
    batch = next(batch for step in range(99) if (batch := crops(ending=1.0)(step)).mask.mean() < 1)
    measured = model.rhythm_planner.measured(batch.features, batch.rhythm)
    assert 0 < batch.mask.mean() < 1
    wrong = measured + 1.0
    assert float(task._regression_loss(wrong, measured, batch)) == pytest.approx((1 + 1 + 3) / 3, rel=1e-5)
    behind = measured + (1 - batch.mask[:, None, : measured.shape[-1]])
    assert float(task._regression_loss(behind, measured, batch)) == 0
    last = measured.clone()
    last[-1] += 1.0
    share = float(batch.mask[-1].sum() / batch.mask.sum())
    assert float(task._regression_loss(last, measured, batch)) == pytest.approx(share * 5 / 3, rel=1e-5)


@pytest.mark.parametrize("learns", list(TrainedParts))
def test_only_trained_networks_have_gradients(learns: TrainedParts):
    model = build_seeded(0, lambda: DiffV2M(config(), parts=("conditioner", "dit")))
    losses = DiffusionTask(model, DiffusionSettings(learns=learns))(crops()(0), 0)
    losses["loss"].backward()
    assert (model.conditioner.predictor.pace_in.weight.grad is not None) == (learns is not TrainedParts.DIT)
    assert any(p.grad is not None for p in model.dit.parameters()) == (learns is not TrainedParts.PREDICTOR)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"e1": 5, "e2": 4}, "e1 5 must not come after e2 4"),
        ({"dropout": 2}, "dropout is a probability, got 2"),
        ({"learn": "dit"}, "unknown entry 'learn'"),
        ({"learns": "all"}, "learns must be joint or predictor or dit, got 'all'"),
    ],
)
def test_settings_out_of_range_are_refused(raw: dict[str, object], says: str):
    with pytest.raises(TrainingError, match=says):
        read_dataclass(DiffusionSettings, raw, Path(), "diffusion")


def test_a_short_training_can_be_loaded(tmp_path: Path):
    (tmp_path / "model_config.json").write_text(json.dumps(raw_config()))
    raw = {
        "stage": "diffusion", "out": "out", "model": "model_config.json", "dataset": "d", "device": "cpu",
        "crops": {"shortest": 4, "longest": 6}, "diffusion": {"e1": 20, "e2": 40},
        "loop": {"steps": 60, "batch": 4, "rate": 4e-3, "warmup": 5, "ema": 0.9},
    }  # fmt: skip
    settings = TrainConfig.from_dict(raw, tmp_path)
    made = RandomSegments()
    training = build_diffusion_training(settings, made, made.seconds, {})
    assert training.trainer.run()
    training.finish()
    lines = [json.loads(line) for line in (tmp_path / "out" / "losses.jsonl").read_text().splitlines()]
    assert lines[-1]["diffusion"] < 0.9 * lines[0]["diffusion"]
    assert lines[-1]["rhythm"] < lines[0]["rhythm"]
    loaded = models.load_model(tmp_path / "out" / "weights", parts=("conditioner", "dit"))
    batch = crops()(0)
    with torch.no_grad():
        conditions = loaded.condition(batch.features)
        latents = loaded.sample(torch.randn(batch.latents.shape), conditions, steps=2, guidance=2.0)
    assert latents.shape == batch.latents.shape
    assert latents.isfinite().all()
    other = replace(settings, out=tmp_path / "two", init=replace(settings.init, all=str(tmp_path / "out" / "weights")))
    begun = build_diffusion_training(other, made, made.seconds, {}).trainer.task.model  # type: ignore[union-attr]
    for name, value in loaded.dit.state_dict().items():
        torch.testing.assert_close(begun.dit.state_dict()[name], value)


def test_a_model_can_grow_from_a_smaller_one(tmp_path: Path):
    """Tensors of the checkpoint are loaded, missing ones begin at random, and tensors of other shapes are refused."""
    small, large = raw_config(), raw_config()
    for raw, key in ((small, False), (large, True)):
        raw["model"]["diffusion"]["config"] |= {"key": key}
    source = DiffV2M(ModelConfig.from_dict(small), parts=("conditioner", "dit"))
    save_weights({"conditioner": source.conditioner, "dit": source.dit}, small, tmp_path)
    grown = DiffV2M(ModelConfig.from_dict(large), parts=("conditioner", "dit"))
    begun = grown.conditioner["key"].out.weight.detach().clone()
    with pytest.raises(TrainingError, match="does not fit the model configuration: missing"):
        load_conditioner_and_dit(grown, str(tmp_path))
    load_conditioner_and_dit(grown, str(tmp_path), grows=True)
    torch.testing.assert_close(grown.conditioner["key"].out.weight, begun)
    taken = source.dit.transformer.project_in.weight
    torch.testing.assert_close(grown.dit.transformer.project_in.weight, taken, atol=1e-3, rtol=1e-3)  # half precision
    shrunk = DiffV2M(ModelConfig.from_dict(small), parts=("conditioner", "dit"))
    save_weights({"conditioner": grown.conditioner, "dit": grown.dit}, large, tmp_path)
    with pytest.raises(TrainingError, match="surplus"):
        load_conditioner_and_dit(shrunk, str(tmp_path), grows=True)
