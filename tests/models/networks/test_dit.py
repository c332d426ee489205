"""Behavior of the networks that no fixture shows: variants, fusions, padding, batches, presets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import models
from models.config import ModelConfig
from models.diffv2m import DiffV2M, peak_normalized
from models.networks.conditions import Conditions, TokenSet
from tests.support.dit_variants import FUSIONS, mini_config, random_features
from tests.support.parity import COMMITTED


def small(fusion: str = "FiLM_choose", **variant: str) -> DiffV2M:
    raw = mini_config()
    raw["model"]["diffusion"]["config"] |= {"attention_weight_type": fusion, **variant}
    torch.manual_seed(0)
    config = ModelConfig.from_dict(raw).with_predictor(32, 2)
    return DiffV2M(config, parts=("conditioner", "dit")).eval()


def velocity(model: DiffV2M, conditions: Conditions, t: float, guidance: float = 1.0) -> Tensor:
    noise = torch.randn(len(conditions), 4, 40, generator=torch.Generator().manual_seed(1))
    return model.velocity(noise, torch.full((len(noise),), t), conditions, guidance)


def without(conditions: Conditions, name: str) -> Conditions:
    tokens = getattr(conditions, name)
    return replace(conditions, **{name: TokenSet(torch.zeros_like(tokens.tokens), tokens.mask)})


def listens(model: DiffV2M, name: str, t: float) -> bool:
    """Whether a token set changes the velocity at timestep t."""
    conditions = model.condition([random_features()])
    return not torch.equal(velocity(model, conditions, t), velocity(model, without(conditions, name), t))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusions_listen_to_their_branches(fusion: str) -> None:
    model = small(fusion, emotion="color")  # so that rhythm is heard in its own branch alone
    above, below = (listens(model, "rhythm", t) for t in (0.21, 0.2))
    semantic_above, semantic_below = (listens(model, "semantic", t) for t in (0.21, 0.2))
    if fusion in ("FiLM_choose", "choose"):
        assert (above, below, semantic_above, semantic_below) == (False, True, True, False)
    else:
        assert above == below == (fusion not in ("none", "only_clip"))
        assert semantic_above
        assert semantic_below


@pytest.mark.parametrize(
    ("fusion", "emotion", "color", "rhythm"),
    [
        ("none", "rhythm", False, True),  # as released: the emotion layer hears rhythm, color is never used
        ("none", "color", True, False),  # as in the paper
        ("only_clip", "color", False, False),
    ],
)
def test_emotion_layer(fusion: str, emotion: str, color: bool, rhythm: bool) -> None:
    model = small(fusion, emotion=emotion)
    assert (listens(model, "color", 0.5), listens(model, "rhythm", 0.5)) == (color, rhythm)


def test_gate_mixes_by_its_alpha() -> None:
    model, mean = small("gate"), small("mean")
    missing = mean.load_state_dict(model.state_dict(), strict=False)
    assert all(".gate." in name for name in missing.unexpected_keys)
    assert missing.missing_keys == []
    conditions = model.condition([random_features()])
    for layer in model.dit.transformer.layers:
        layer.gate[2].weight.data.zero_()
        layer.gate[2].bias.data.zero_()  # alpha = 1/2
    torch.testing.assert_close(velocity(model, conditions, 0.7), velocity(mean, conditions, 0.7))


def test_pre_film_accumulates_from_block_to_block() -> None:
    """With beta = 0 and gamma = 1/2 in every block, block n hears tokens halved n times over."""
    model, plain = small("preFiLM"), small("mean")
    plain.load_state_dict(model.state_dict(), strict=False)
    for n, (layer, other) in enumerate(zip(model.dit.transformer.layers, plain.dit.transformer.layers, strict=True)):
        for part in layer.film.children():
            last = part[2] if isinstance(part, torch.nn.Sequential) else part
            last.weight.data.zero_()
            last.bias.data.zero_()
        for attention in (other.semantic_attn, other.rhythm_attn):
            attention.to_kv.weight.data *= 0.5 ** (n + 1)
    conditions = model.condition([random_features()])
    torch.testing.assert_close(velocity(model, conditions, 0.4), velocity(plain, conditions, 0.4))


def test_residual_stream_variants_differ() -> None:
    released, paper = small(), small(residual="pre_norm")
    paper.load_state_dict(released.state_dict())
    conditions = released.condition([random_features()])
    assert (velocity(released, conditions, 0.5) - velocity(paper, conditions, 0.5)).abs().max() > 0.01


def test_guidance_is_linear_and_one_means_no_null_half() -> None:
    model = small()
    conditions = model.condition([random_features()])
    at = {s: velocity(model, conditions, 0.5, s) for s in (0.0, 1.0, 2.0, 3.0)}
    torch.testing.assert_close(at[3.0] - at[2.0], at[1.0] - at[0.0], atol=1e-5, rtol=1e-4)
    null = conditions
    for name in ("semantic", "rhythm", "color"):
        null = without(null, name)
    torch.testing.assert_close(at[0.0], velocity(model, null, 0.5), atol=1e-5, rtol=1e-4)


def test_padding_is_masked_in_attention() -> None:
    model = small("mean", emotion="color")
    conditions = model.condition([random_features(9)])
    changed = {}
    for name in ("semantic", "rhythm", "color"):
        tokens = getattr(conditions, name).tokens.clone()
        tokens[:, 9:30] = 100.0
        changed[name] = TokenSet(tokens, getattr(conditions, name).mask)
    assert torch.equal(velocity(model, conditions, 0.5), velocity(model, replace(conditions, **changed), 0.5))


def test_rhythm_tokens_carry_no_time_as_released() -> None:
    model = small()
    conditions = model.condition([random_features(30)])
    shuffled = conditions.rhythm.tokens.clone()
    shuffled[:, :30] = shuffled[:, torch.randperm(30, generator=torch.Generator().manual_seed(2))]
    other = replace(conditions, rhythm=TokenSet(shuffled, conditions.rhythm.mask))
    torch.testing.assert_close(velocity(model, conditions, 0.1), velocity(model, other, 0.1), atol=1e-5, rtol=1e-4)


def test_a_given_prediction_is_encoded_as_it_is() -> None:
    model = small()
    features = [random_features(9), random_features(30, seed=1)]
    given = model.condition(features, predicted_rhythm=model.predict_rhythm(features).numpy())
    assert torch.equal(given.rhythm.tokens, model.condition(features).rhythm.tokens)


def test_clips_longer_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="a window holds 30 s of features, got 31 s"):
        small().condition([random_features(31)])


def test_real_rhythm_must_fit_its_representation() -> None:
    with pytest.raises(ValueError, match="kind odf for 9 s cannot have the shape"):
        small().condition([random_features(9)], real_rhythm=[torch.zeros(9, 16)])


@pytest.mark.parametrize(("kind", "rate", "bins"), [("mel", 8, 128), ("tempo", 32, 384)])
def test_log_mel_and_tempogram_are_block_averaged(kind: str, rate: int, bins: int) -> None:
    """Each cell of the 30 x 16 grid is the mean of its block; the clip is then standardized, padding included."""
    raw = mini_config()
    raw["model"]["conditioning"]["configs"][0]["config"]["rhythm_type"] = kind
    model = DiffV2M(ModelConfig.from_dict(raw).with_predictor(32, 2), parts=("conditioner",)).eval()
    seconds = 9
    rhythm = torch.rand(rate * seconds, bins, generator=torch.Generator().manual_seed(3))
    grid = model.rhythm_planner.on_grid([random_features(seconds)], [rhythm])[0]
    assert grid.shape == (30, 16)
    width = bins // 16
    torch.testing.assert_close(grid[4, 5], rhythm[4 * rate : 5 * rate, 5 * width : 6 * width].mean())
    assert (grid[seconds:] == 0).all()
    assert model.predict_rhythm([random_features(seconds)]).shape == (1, 30, 16)
    tokens = model.condition([random_features(seconds)], real_rhythm=[rhythm]).rhythm.tokens[:, :30]
    encoder = model.conditioner["rhythm"]
    torch.testing.assert_close(tokens[0], encoder((grid - grid.mean()) / (grid.std() + 1e-6)))


def test_a_part_alone_is_the_same_as_in_the_whole() -> None:
    whole, part = models.load_model("tiny"), models.load_model("tiny", parts=("dit",))
    mine = part.state_dict()
    assert set(mine) < set(whole.state_dict())
    assert all(torch.equal(t, whole.state_dict()[n]) for n, t in mine.items())
    assert whole.config.lengths.sample_rate == 44100


def test_decoding_in_chunks_is_the_same() -> None:
    model = models.load_model(COMMITTED / "mini", parts=("autoencoder",))
    latents = torch.randn(1, 4, 100, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.decode(latents, chunk=24), model.decode(latents), atol=1e-5, rtol=0)


def test_pcm_is_at_full_scale_and_silence_stays_silent() -> None:
    assert peak_normalized(torch.tensor([[0.1, -0.2]])).tolist() == [[16383, -32767]]
    assert peak_normalized(torch.zeros(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
