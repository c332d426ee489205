"""Training of rhythm predictor and diffusion transformer: the v-objective, and the rhythm of the music."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.diffv2m import DiffV2M
from models.features.key import UNKNOWN, is_major
from models.features.rhythm_curve import PREFERRED_TEMPO
from models.inputs import Features
from models.networks.conditions import Conditions, TokenSet
from models.networks.rhythm_predictor import CurvePredictor, denormalize_curve, normalize_curve
from models.training.data.batches import DiffusionBatch
from models.training.seeding import seeded_generator
from models.training.tasks.diffusion_settings import DiffusionSettings, Timesteps, TrainedParts

PADDING_WEIGHT = 0.1
"""Weight of latents after the end of a clip: they are dropped in the end, but the other latents attend to them."""
CALIBRATION_BATCHES = 40
"""Number of batches that the calibration of predicted curves is measured over."""
MAX_REDRAW_TIME, REDRAW_STEPS = 0.7, 5
"""Greatest time up to which noise is put into a measured rhythm, and steps in which the predictor removes it."""


@dataclass(frozen=True)
class StepDraws:
    """The random numbers of a step for a share of the items of a batch.

    They depend on seed, step, name and item alone, so the numbers of all shares together are those of the whole batch.

    Attributes:
        seed: seed of the training.
        step: the step.
        total: number of items in the whole batch.
        items: the items of the share.
    """

    seed: int
    step: int
    total: int
    items: slice

    def uniform(self, name: str) -> Tensor:
        """Returns uniform random numbers in [0, 1), [items]."""
        return torch.rand(self.total, generator=seeded_generator(self.seed, self.step, name))[self.items]

    def normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Returns standard normal random numbers, [items, *shape]."""
        generators = [seeded_generator(self.seed, self.step, name, i) for i in range(self.total)[self.items]]
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    def timesteps(self, kind: Timesteps, name: str = "timesteps") -> Tensor:
        """Returns times in [0, 1], [items]: one in each of `total` strata of equal probability, in random order."""
        draws = seeded_generator(self.seed, self.step, name)
        strata = torch.randperm(self.total, generator=draws)
        places = (strata + torch.rand(self.total, generator=draws, dtype=torch.float64)) / self.total
        if kind is Timesteps.LOGIT_NORMAL:
            places = torch.sigmoid(torch.special.ndtri(places))
        return places.float()[self.items]


def add_noise(clean: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Returns clean latents [items, channels, frames] with noise at times `t` [items], and their velocity."""
    alpha, sigma = (t * (math.pi / 2)).cos()[:, None, None], (t * (math.pi / 2)).sin()[:, None, None]
    return alpha * clean + sigma * noise, alpha * noise - sigma * clean


@torch.no_grad()
def calibrate(
    model: DiffV2M, batches: Callable[[int], DiffusionBatch], seed: int = 0, count: int = CALIBRATION_BATCHES
) -> None:
    """Measures the distributions of predicted curves and of those of music, in a model that calibrates its curves.

    The curves are predicted as in inference: with the groove that is chosen for the picture, and sampled if the
    predictor samples.

    Args:
        model: the model.
        batches: function that returns the whole batch of a step.
        seed: seed of the noise.
        count: number of steps, from 0 on, whose batches are measured.
    """
    predictor, planner = model.conditioner.predictor, model.rhythm_planner
    if not (isinstance(predictor, CurvePredictor) and predictor.calibration is not None):
        return
    predicted, measured = list[Tensor](), list[Tensor]()
    for step in range(count):
        batch = batches(step).to(model.device)
        features = [g for f in batch.features for g in planner.with_groove([replace(f, groove=None)])]
        music, has_sound = planner.measured(batch.features, batch.rhythm), batch.rhythm_mask.bool()
        noise = StepDraws(seed, step, batch.total, batch.items).normal("calibration", tuple(music.shape[1:]))
        curves = planner.sample(features, noise) if planner.is_sampled else planner.predict(features)
        predicted.append(curves.transpose(1, 2)[has_sound])
        measured.append(music.transpose(1, 2)[has_sound])
    predictor.calibration.measure(torch.cat(predicted).T, torch.cat(measured).T)


class DiffusionTask(nn.Module):
    """The losses of a model with conditioner and DiT. Networks that are not trained have no gradients.

    Args:
        model: the model.
        settings: settings of the training.
        seed: seed of noise, times and dropped conditions.
    """

    def __init__(self, model: DiffV2M, settings: DiffusionSettings, seed: int = 0) -> None:
        super().__init__()
        self.model, self.settings, self.seed = model, settings, seed
        model.requires_grad_(settings.learns is not TrainedParts.PREDICTOR)
        for predictor in (model.conditioner.predictor, *([model.conditioner["key"]] if model.config.key else [])):
            predictor.requires_grad_(settings.learns is not TrainedParts.DIT)

    def forward(self, batch: DiffusionBatch, step: int) -> dict[str, Tensor]:
        """Returns `loss` and its parts `diffusion`, `rhythm`, `tempo` and `mode`, as far as they are trained; scalars.

        The sum of the losses of a batch's shares, each multiplied by its `weight`, is the loss of the whole batch.
        """
        settings, losses = self.settings, dict[str, Tensor]()
        draws = StepDraws(self.seed, step, batch.total, batch.items)
        planner, features = self.model.rhythm_planner, self._drop_grooves(batch.features, draws)
        rhythm = planner.measured(batch.features, batch.rhythm)
        share, likeliest = settings.measured_share(step), None
        if not planner.is_sampled and (settings.learns is not TrainedParts.DIT or share < 1):
            likeliest = planner.predict(features).float()
        if settings.learns is not TrainedParts.DIT:
            if likeliest is not None:
                losses["rhythm"] = self._regression_loss(likeliest, rhythm, batch)
            else:
                losses["rhythm"] = self._sampling_loss(features, rhythm, batch, draws)
            if any(f.groove for f in batch.features):
                losses["tempo"] = self._tempo_loss(batch.features)
            if self.model.config.key:
                losses["mode"] = self._mode_loss(batch.features)
        if settings.learns is not TrainedParts.PREDICTOR:
            if share < 1:
                predicted = self._sampled_rhythm(features, rhythm, draws) if likeliest is None else likeliest.detach()
                is_real = (draws.uniform("real") < share).to(rhythm.device)
                rhythm = torch.where(is_real[:, None, None], rhythm, predicted)
            if settings.redrawn and planner.is_sampled:
                rhythm = self._with_sampled_detail(features, rhythm, draws)
            conditions = self._drop_conditions(self.model.encode_conditions(batch.features, rhythm), draws)
            losses["diffusion"] = self._diffusion_loss(conditions, batch, draws)
        weights = {"rhythm": settings.rhythm_weight, "tempo": settings.tempo_weight, "mode": settings.mode_weight}
        weights["diffusion"] = 1.0
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        return {"loss": loss} | losses

    def _diffusion_loss(self, conditions: Conditions, batch: DiffusionBatch, draws: StepDraws) -> Tensor:
        """Returns the squared error of the velocity over latents with sound, and with a small weight over others."""
        clean = batch.latents
        t = draws.timesteps(self.settings.timesteps).to(clean)
        noise = draws.normal("noise", tuple(clean.shape[1:])).to(clean)
        noisy, target = add_noise(clean, noise, t)
        dit = self.model.dit
        velocity = dit(noisy, t, dit.precompute(conditions, noisy.shape[-1]))
        error = (velocity.float() - target).square().mean(1)
        return (error * batch.mask.clamp(min=PADDING_WEIGHT)).sum() / (batch.frames * batch.weight)

    def _sampled_rhythm(self, features: Sequence[Features], like: Tensor, draws: StepDraws) -> Tensor:
        """Returns rhythms that the predictor samples, in the shape of `like` [items, channels, steps]."""
        return self.model.rhythm_planner.sample(features, draws.normal("rhythm", tuple(like.shape[1:]))).float()

    @torch.no_grad()
    def _with_sampled_detail(self, features: Sequence[Features], rhythm: Tensor, draws: StepDraws) -> Tensor:
        """Returns rhythms [items, channels, steps], some of them with the fine detail of sampled ones."""
        chosen = (draws.uniform("redrawn") < self.settings.redrawn).nonzero()[:, 0]
        if not len(chosen):
            return rhythm
        chosen_features = [features[i] for i in chosen]
        first = draws.uniform("redrawn from")[chosen].to(rhythm) * MAX_REDRAW_TIME
        noise = draws.normal("redrawn noise", tuple(rhythm.shape[1:]))[chosen].to(rhythm)
        clean = normalize_curve(rhythm[chosen])
        for step in range(REDRAW_STEPS):  # DDIM, where each item has its own times
            t = first * (1 - step / REDRAW_STEPS)
            noisy, _ = add_noise(clean, noise, t)
            velocity = self.model.rhythm_planner.velocity(noisy, t, chosen_features).float()
            alpha, sigma = (t * (math.pi / 2)).cos()[:, None, None], (t * (math.pi / 2)).sin()[:, None, None]
            clean, noise = alpha * noisy - sigma * velocity, sigma * noisy + alpha * velocity
        result = rhythm.clone()
        result[chosen] = self.model.rhythm_planner.calibrated(denormalize_curve(clean)).to(rhythm)
        return result

    def _sampling_loss(
        self, features: Sequence[Features], measured: Tensor, batch: DiffusionBatch, draws: StepDraws
    ) -> Tensor:
        """Returns the squared error of the velocity of a rhythm with noise, as `_diffusion_loss` does for latents."""
        clean = normalize_curve(measured)
        t = draws.timesteps(self.settings.timesteps, "rhythm timesteps").to(clean)
        noise = draws.normal("rhythm noise", tuple(clean.shape[1:])).to(clean)
        has_picture = (draws.uniform("picture") >= self.settings.picture_dropout).to(clean)
        noisy, target = add_noise(clean, noise, t)
        error = (self.model.rhythm_planner.velocity(noisy, t, features, has_picture).float() - target).square().mean(1)
        return (error * batch.rhythm_mask.clamp(min=PADDING_WEIGHT)).sum() / (batch.steps * batch.weight)

    def _drop_grooves(self, features: Sequence[Features], draws: StepDraws) -> list[Features]:
        """Returns features of which some have lost the groove of their music."""
        kept = (draws.uniform("groove") >= self.settings.groove_dropout).tolist()
        return [f if keep else replace(f, groove=None) for f, keep in zip(features, kept, strict=True)]

    def _tempo_loss(self, features: Sequence[Features]) -> Tensor:
        """Returns the squared error of the chosen groove: its tempo in quarters of an octave, and its strength."""
        octaves, strength = self.model.rhythm_planner.tempo(features)
        grooves = [f.groove for f in features if f.groove]
        tempi = octaves.new_tensor([math.log2(groove.tempo / PREFERRED_TEMPO) for groove in grooves])
        strengths = octaves.new_tensor([groove.strength for groove in grooves])
        return (4 * (octaves - tempi)).square().mean() + (strength - strengths).square().mean()

    def _mode_loss(self, features: Sequence[Features]) -> Tensor:
        """Returns the cross-entropy of the chosen mode, in nats; items without a clear key are ignored."""
        log_odds = self.model.key_planner.major_log_odds(features)
        known = log_odds.new_tensor([f.key != UNKNOWN for f in features])
        major = log_odds.new_tensor([is_major(f.key) for f in features])
        return (F.binary_cross_entropy_with_logits(log_odds, major, reduction="none") * known).mean()

    def _regression_loss(self, predicted: Tensor, measured: Tensor, batch: DiffusionBatch) -> Tensor:
        """Returns the squared error of the predicted rhythm over the time with music, with equal weights of all items.

        Args:
            predicted, measured: curves [items, channels, steps]; for models without a curve [items, steps, 1 or 16].
            batch: the batch, for its masks.
        """
        error = (predicted - measured).square()
        if self.model.config.curve is not None:
            weights = error.new_tensor([1.0, 1.0, self.settings.accent_weight])[: error.shape[1]]
            error = (error * weights[:, None]).mean(1)
        else:
            error = error.mean(2)
        return (error * batch.rhythm_mask).sum() / (batch.steps * batch.weight)

    def _drop_conditions(self, conditions: Conditions, draws: StepDraws) -> Conditions:
        """Returns conditions of which some are replaced by the null conditions of guidance, see `DiffusionSettings`."""
        settings, device = self.settings, conditions.global_cond.device
        kept_at_all = draws.uniform("drop all") >= settings.drop_all

        def kept(name: str, probability: float) -> Tensor:
            return ((draws.uniform(f"drop {name}") >= probability) & kept_at_all).to(device)

        def thinned(name: str, tokens: TokenSet) -> TokenSet:
            return TokenSet(tokens.tokens * kept(name, settings.dropout)[:, None, None], tokens.mask)

        curve = conditions.curve
        if curve is not None:
            channels = range(curve.shape[1] // 2)
            given = torch.stack([kept(f"channel {i}", settings.curve_dropout) for i in channels], dim=1)
            curve = curve * torch.cat((given, given), dim=1)[..., None]  # a channel and its flag go together
        key = conditions.key
        return Conditions(
            semantic=thinned("semantic", conditions.semantic),
            rhythm=thinned("rhythm", conditions.rhythm),
            color=thinned("color", conditions.color),
            global_cond=conditions.global_cond,
            curve=curve,
            key=None if key is None else torch.where(kept("key", settings.key_dropout), key, UNKNOWN),
        )
