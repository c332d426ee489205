"""Settings of the training of rhythm predictor and diffusion transformer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.training.checkpoints import TrainingError


class Timesteps(StrEnum):
    """Distributions of times in [0, 1]: uniform, or a logistic function of normal numbers, denser in the middle."""

    UNIFORM = "uniform"
    LOGIT_NORMAL = "logit_normal"


class TrainedParts(StrEnum):
    """The networks that are trained: rhythm predictor and DiT with its condition encoders, or one of the two.

    Joint training adds the two losses. The diffusion loss has no gradient in the predictor, as in the released code:
    the predicted rhythm shall be that of the music, not one that makes noise easiest to remove.
    """

    JOINT = "joint"
    PREDICTOR = "predictor"
    DIT = "dit"


@dataclass(frozen=True)
class DiffusionSettings:
    """Settings of the diffusion training.

    Attributes:
        e1, e2: steps; before e1 the measured rhythm conditions every item, from e2 on the predicted rhythm, and between
            them the share of items with the measured rhythm falls linearly.
        timesteps: distribution of times; each batch has one time in each of as many strata as it has items.
        learns: the networks that are trained.
        dropout: probability that the semantic, rhythm or color tokens of an item are dropped, each independently.
        curve_dropout: the same for each channel of the rhythm curve.
        drop_all: probability that all of them are dropped at once, which classifier-free guidance needs.
        groove_dropout: probability that the predictor does not get the groove of an item.
        picture_dropout: probability that a sampling predictor does not get the picture of an item.
        key_dropout: probability that the DiT does not get the key of an item.
        redrawn: probability that the DiT is conditioned with a rhythm that has the fine detail of a sampled one: noise
            is put into it up to a random time, at most 0.7, and the predictor removes it again. Sampled
            rhythms always differ a little from measured ones, and a DiT that is trained with measured rhythms alone
            makes worse music from them (conditioning augmentation, arXiv 2106.15282).
        rhythm_weight: weight of the rhythm loss beside the diffusion loss.
        tempo_weight: weight of the loss of the groove that is chosen for a picture, in a model with a groove.
        mode_weight: weight of the loss of the mode that is chosen for a picture, in a model with a key.
        accent_weight: weight of the accents in the rhythm loss, which are rare; onset strength and energy have 1.

    Raises:
        TrainingError: a number is out of its range.
    """

    e1: float = 400
    e2: float = 1000
    timesteps: Timesteps = Timesteps.UNIFORM
    learns: TrainedParts = TrainedParts.JOINT
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

    def measured_share(self, step: int) -> float:
        """Returns the probability that an item is conditioned with the measured rhythm."""
        if step >= self.e2:
            return 0.0
        return 1.0 if step <= self.e1 else (self.e2 - step) / (self.e2 - self.e1)
