"""What rhythm predictor and diffusion transformer learn: the v-objective, and the rhythm of the music."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.diffv2m import DiffV2M
from models.features.key import UNKNOWN, is_major
from models.features.rhythm_curve import MODERATE
from models.inputs import Features
from models.networks.conditions import Conditions, TokenSet
from models.networks.rhythm_predictor import CurvePredictor, as_drawn, from_drawn
from models.training.checkpoints import TrainingError
from models.training.data.batches import DiffusionBatch
from models.training.trainer import generator

BEHIND = 0.1
"""Weight of latents behind a clip's end: they are thrown away, but the others see them."""
CALIBRATION_BATCHES = 40
REDRAWN_FROM, REDRAWN_STEPS = 0.7, 5


class Timesteps(StrEnum):
    """How times in [0, 1] are drawn: all alike, or the logistic function of a standard normal, more in the middle."""

    UNIFORM = "uniform"
    LOGIT_NORMAL = "logit_normal"


class Learns(StrEnum):
    """What is trained: rhythm predictor and DiT with its condition encoders, or one of the two while the other stays.

    Joint training adds the two losses. The diffusion loss never reaches the predictor, as in the released code: its
    rhythm is a prediction of the music's, not whatever makes noise easiest to take away.
    """

    JOINT = "joint"
    PREDICTOR = "predictor"
    DIT = "dit"


@dataclass(frozen=True)
class DiffusionTraining:
    """How the diffusion is trained.

    Attributes:
        e1, e2: steps: before e1 the measured rhythm conditions every item, from e2 on the predicted one, between them
            the share of items with the measured one falls in a line.
        timesteps: how times are drawn; each batch has one in each of as many strata as it has items.
        dropout: probability that an item's semantic, rhythm or color tokens are dropped, each by itself.
        curve_dropout: the same for each channel of the rhythm curve.
        drop_all: probability that all of them are dropped at once, as guidance wants it.
        groove_dropout: probability that the predictor is not told an item's groove.
        picture_dropout: probability that a predictor that draws does not see an item's picture.
        key_dropout: probability that the DiT is not told an item's key.
        redrawn: probability that the DiT gets an item's rhythm with the fine grain of one that is drawn: noise is put
            into it up to a random time, at most `REDRAWN_FROM`, and the predictor takes it away again. A rhythm that is
            drawn is never quite like a measured one, and music that minds that gets worse (conditioning augmentation,
            arXiv 2106.15282).
        rhythm_weight: of the rhythm loss beside the diffusion loss.
        tempo_weight: of the loss of the groove that a picture asks for, in a model with one.
        mode_weight: of the loss of the mode that a picture asks for, in a model that is told a key.
        accent_weight: of the accents in the rhythm loss; onset strength and energy weigh 1. They are rare.

    Raises:
        TrainingError: a number is out of its range.
    """

    e1: float = 400
    e2: float = 1000
    timesteps: Timesteps = Timesteps.UNIFORM
    learns: Learns = Learns.JOINT
    dropout: float = 0.1
    curve_dropout: float = 0.25
    drop_all: float = 0.1
    groove_dropout: float = 0.1
    picture_dropout: float = 0.1
    key_dropout: float = 0.1
    redrawn: float = 0.0
    rhythm_weight: float = 1.0
    tempo_weight: float = 0.1
    mode_weight: float = 0.1
    accent_weight: float = 5.0

    def __post_init__(self) -> None:
        if self.e1 > self.e2:
            raise TrainingError(f"e1 {self.e1:g} must not come after e2 {self.e2:g}")
        shares = "dropout", "curve_dropout", "drop_all", "groove_dropout", "picture_dropout", "key_dropout", "redrawn"
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} is a probability, got {getattr(self, name)}")
        for name in ("rhythm_weight", "accent_weight", "tempo_weight", "mode_weight"):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"{name} must be at least 0, got {getattr(self, name)}")

    def real_share(self, step: int) -> float:
        """Probability that an item is conditioned with the measured rhythm."""
        if step >= self.e2:
            return 0.0
        return 1.0 if step <= self.e1 else (self.e2 - step) / (self.e2 - self.e1)


@dataclass(frozen=True)
class Draws:
    """Random numbers of a step, one lot for each item of the whole batch, of which only a share is wanted.

    They depend on seed, step, name and item alone: the draws of shares, one after another, are those of the batch.

    Attributes:
        total: items of the whole batch.
        items: those of them that are wanted.
    """

    seed: int
    step: int
    total: int
    items: slice

    def uniform(self, name: str) -> Tensor:
        """Uniform in [0, 1): [items]."""
        return torch.rand(self.total, generator=generator(self.seed, self.step, name))[self.items]

    def normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal: [items, *shape]."""
        wanted = range(self.total)[self.items]
        return torch.stack([torch.randn(shape, generator=generator(self.seed, self.step, name, i)) for i in wanted])

    def timesteps(self, kind: Timesteps, name: str = "timesteps") -> Tensor:
        """Times in [0, 1], [items]: one in each of `total` strata of equal probability, in random order."""
        draws = generator(self.seed, self.step, name)
        strata = torch.randperm(self.total, generator=draws)
        places = (strata + torch.rand(self.total, generator=draws, dtype=torch.float64)) / self.total
        if kind is Timesteps.LOGIT_NORMAL:
            places = torch.sigmoid(torch.special.ndtri(places))
        return places.float()[self.items]


def diffused(clean: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Clean latents [items, channels, frames] with noise at times `t` [items], and their velocity."""
    alpha, sigma = (t * (math.pi / 2)).cos()[:, None, None], (t * (math.pi / 2)).sin()[:, None, None]
    return alpha * clean + sigma * noise, alpha * noise - sigma * clean


@torch.no_grad()
def calibrate(
    model: DiffV2M, batches: Callable[[int], DiffusionBatch], seed: int = 0, count: int = CALIBRATION_BATCHES
) -> None:
    """Measure how predicted curves are spread beside those of music, in a model that has them calibrated.

    They are predicted as in use: with the groove that the picture chooses, and drawn if they are.

    Args:
        batches: whole batches by step.
        count: of steps, from 0 on, that are taken.
    """
    predictor = model.conditioner.predictor
    if not (isinstance(predictor, CurvePredictor) and predictor.calibration is not None):
        return
    predicted, measured = list[Tensor](), list[Tensor]()
    for step in range(count):
        batch = batches(step).to(model.device)
        features = [g for f in batch.features for g in model.grooved([replace(f, groove=None)])]
        music, sounds = model.measured(batch.features, batch.rhythm), batch.rhythm_mask.bool()
        noise = Draws(seed, step, batch.total, batch.items).normal("calibration", tuple(music.shape[1:]))
        curves = model.drawn(features, noise) if model.draws else model.predicted(features)
        predicted.append(curves.transpose(1, 2)[sounds])
        measured.append(music.transpose(1, 2)[sounds])
    predictor.calibration.measure(torch.cat(predicted).T, torch.cat(measured).T)


class DiffusionTask(nn.Module):
    """The losses of a model with conditioner and DiT. What does not learn gets no gradients.

    Args:
        seed: of noise, times and dropped conditions.
    """

    def __init__(self, model: DiffV2M, settings: DiffusionTraining, seed: int = 0) -> None:
        super().__init__()
        self.model, self.settings, self.seed = model, settings, seed
        model.requires_grad_(settings.learns is not Learns.PREDICTOR)
        for predicts in (model.conditioner.predictor, *([model.conditioner["key"]] if model.config.key else [])):
            predicts.requires_grad_(settings.learns is not Learns.DIT)

    def forward(self, batch: DiffusionBatch, step: int) -> dict[str, Tensor]:
        """`loss`, and its parts `diffusion`, `rhythm`, `tempo` and `mode`, as far as they learn; scalars.

        The weighted sum of the losses of a batch's shares, each by its `weight`, is the loss of the whole batch.
        """
        settings, losses = self.settings, dict[str, Tensor]()
        draws = Draws(self.seed, step, batch.total, batch.items)
        features, rhythm = self._told(batch.features, draws), self.model.measured(batch.features, batch.rhythm)
        share, likeliest = settings.real_share(step), None
        if not self.model.draws and (settings.learns is not Learns.DIT or share < 1):
            likeliest = self.model.predicted(features).float()
        if settings.learns is not Learns.DIT:
            if likeliest is not None:
                losses["rhythm"] = self._rhythm_loss(likeliest, rhythm, batch)
            else:
                losses["rhythm"] = self._drawing_loss(features, rhythm, batch, draws)
            if any(f.groove for f in batch.features):
                losses["tempo"] = self._tempo_loss(batch.features)
            if self.model.config.key:
                losses["mode"] = self._mode_loss(batch.features)
        if settings.learns is not Learns.PREDICTOR:
            if share < 1:
                predicted = self._drawn(features, rhythm, draws) if likeliest is None else likeliest.detach()
                is_real = (draws.uniform("real") < share).to(rhythm.device)
                rhythm = torch.where(is_real[:, None, None], rhythm, predicted)
            if settings.redrawn and self.model.draws:
                rhythm = self._redrawn(features, rhythm, draws)
            conditions = self._dropped(self.model.encoded(batch.features, rhythm), draws)
            losses["diffusion"] = self._diffusion_loss(conditions, batch, draws)
        weights = {"rhythm": settings.rhythm_weight, "tempo": settings.tempo_weight, "mode": settings.mode_weight}
        weights["diffusion"] = 1.0
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        return {"loss": loss} | losses

    def _diffusion_loss(self, conditions: Conditions, batch: DiffusionBatch, draws: Draws) -> Tensor:
        """Squared error of the velocity, over latents with sound; a little of it over the silence behind the end."""
        clean = batch.latents
        t = draws.timesteps(self.settings.timesteps).to(clean)
        noise = draws.normal("noise", tuple(clean.shape[1:])).to(clean)
        noisy, wanted = diffused(clean, noise, t)
        error = (self.model.dit(noisy, t, conditions).float() - wanted).square().mean(1)
        return (error * batch.mask.clamp(min=BEHIND)).sum() / (batch.frames * batch.weight)

    def _drawn(self, features: Sequence[Features], like: Tensor, draws: Draws) -> Tensor:
        """Rhythms that the predictor draws, of the shape of others [items, channels, steps]."""
        return self.model.drawn(features, draws.normal("rhythm", tuple(like.shape[1:]))).float()

    @torch.no_grad()
    def _redrawn(self, features: Sequence[Features], rhythm: Tensor, draws: Draws) -> Tensor:
        """Rhythms [items, channels, steps], some with the grain of drawn ones."""
        chosen = (draws.uniform("redrawn") < self.settings.redrawn).nonzero()[:, 0]
        if not len(chosen):
            return rhythm
        seen, first = [features[i] for i in chosen], draws.uniform("redrawn from")[chosen].to(rhythm) * REDRAWN_FROM
        noise = draws.normal("redrawn noise", tuple(rhythm.shape[1:]))[chosen].to(rhythm)
        clean = as_drawn(rhythm[chosen])
        for step in range(REDRAWN_STEPS):  # ddim, of items with times of their own
            t = first * (1 - step / REDRAWN_STEPS)
            noisy, _ = diffused(clean, noise, t)
            velocity = self.model.rhythm_velocity(noisy, t, seen).float()
            alpha, sigma = (t * (math.pi / 2)).cos()[:, None, None], (t * (math.pi / 2)).sin()[:, None, None]
            clean, noise = alpha * noisy - sigma * velocity, sigma * noisy + alpha * velocity
        found = rhythm.clone()
        found[chosen] = self.model.spread(from_drawn(clean)).to(rhythm)
        return found

    def _drawing_loss(
        self, features: Sequence[Features], measured: Tensor, batch: DiffusionBatch, draws: Draws
    ) -> Tensor:
        """Squared error of a rhythm's velocity, as `_diffusion_loss`."""
        clean = as_drawn(measured)
        t = draws.timesteps(self.settings.timesteps, "rhythm timesteps").to(clean)
        noise = draws.normal("rhythm noise", tuple(clean.shape[1:])).to(clean)
        seen = (draws.uniform("picture") >= self.settings.picture_dropout).to(clean)
        noisy, wanted = diffused(clean, noise, t)
        error = (self.model.rhythm_velocity(noisy, t, features, seen).float() - wanted).square().mean(1)
        return (error * batch.rhythm_mask.clamp(min=BEHIND)).sum() / (batch.steps * batch.weight)

    def _told(self, features: Sequence[Features], draws: Draws) -> list[Features]:
        """Features of which some have lost the groove of their music."""
        told = (draws.uniform("groove") >= self.settings.groove_dropout).tolist()
        return [f if kept else replace(f, groove=None) for f, kept in zip(features, told, strict=True)]

    def _tempo_loss(self, features: Sequence[Features]) -> Tensor:
        """Squared error of the groove that the picture asks for: tempo in quarters of an octave, strength."""
        octaves, strength = self.model.groove_asked(features)
        grooves = [f.groove for f in features if f.groove]
        tempi = octaves.new_tensor([math.log2(groove.tempo / MODERATE) for groove in grooves])
        strengths = octaves.new_tensor([groove.strength for groove in grooves])
        return (4 * (octaves - tempi)).square().mean() + (strength - strengths).square().mean()

    def _mode_loss(self, features: Sequence[Features]) -> Tensor:
        """Cross-entropy of the mode that the picture asks for, in nats; items without a clear key count nothing."""
        asked = self.model.mode_asked(features)
        known = asked.new_tensor([f.key != UNKNOWN for f in features])
        major = asked.new_tensor([is_major(f.key) for f in features])
        return (F.binary_cross_entropy_with_logits(asked, major, reduction="none") * known).mean()

    def _rhythm_loss(self, predicted: Tensor, measured: Tensor, batch: DiffusionBatch) -> Tensor:
        """Squared error of the predicted rhythm, over the time with music, all items alike.

        Args:
            predicted, measured: curves [items, channels, steps]; without a curve [items, steps, 1 or 16].
        """
        error = (predicted - measured).square()
        if self.model.config.curve is not None:
            weights = error.new_tensor([1.0, 1.0, self.settings.accent_weight])[: error.shape[1]]
            error = (error * weights[:, None]).mean(1)
        else:
            error = error.mean(2)
        return (error * batch.rhythm_mask).sum() / (batch.steps * batch.weight)

    def _dropped(self, conditions: Conditions, draws: Draws) -> Conditions:
        """Some items' conditions replaced by those of guidance's null half, as `DiffusionTraining` says."""
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
