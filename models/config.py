"""Configuration of a Diff-V2M model, read from `model_config.json` in the released layout."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.features.motion import CHANNELS as PACE_CHANNELS
from models.lengths import Lengths


class ConfigError(UserError):
    """A model configuration that cannot be used, in one line that names the entry."""


class Rhythm(StrEnum):
    """Representation of the rhythm condition: onset strength (1 value per second), log-mel or tempogram (16)."""

    ODF = "odf"
    MEL = "mel"
    TEMPO = "tempo"

    @property
    def width(self) -> int:
        """Number of values per second."""
        return 1 if self is Rhythm.ODF else 16


class Emotion(StrEnum):
    """Tokens of the emotion layer: rhythm as in the released weights, color as in the paper (section 3.3)."""

    RHYTHM = "rhythm"
    COLOR = "color"


class Residual(StrEnum):
    """Residual stream around cross-attention: overwritten by its norm as released, or kept as in the paper's figure."""

    RELEASED = "released"
    PRE_NORM = "pre_norm"


@dataclass(frozen=True)
class NumberRange:
    """Range of an `int` or `number` conditioner; values outside of it are clamped."""

    low: float
    high: float


class GlobalCond(StrEnum):
    """Way in which timestep and global vector reach the blocks: as a prepended token (as released), or by adaLN."""

    PREPEND = "prepend"
    ADALN = "adaLN"


@dataclass(frozen=True)
class CurveConfig:
    """The rhythm curve that is added to the DiT's input: onset strength, energy and accents.

    See `models.features.rhythm_curve`.

    Attributes:
        stride: latents per step of the curve; 1 is a curve at the latent rate.
        channels: numbers per step.
        pace: how many channels of the picture's pace, at the same rate, the predictor reads, from the first on
            (`models.features.motion.CHANNELS`).
        semantic: whether the predictor reads CLIP embeddings for the curve. If not, only the groove's tempo depends
            on them. Embeddings of real films are unlike those of composed ones; a predictor that has learned from
            the latter answers the former with curves that hardly follow the cuts.
        groove: whether the predictor chooses a steady beat first, which the curve then has
            (`models.features.beat_grid`).
        drawn: whether the predictor samples a curve, as the DiT samples latents, instead of giving the likeliest one.
            The mean of all possible curves has no quiet and no loud seconds; music that follows it has none either.
        calibrated: whether predicted curves are given the distribution of those of music
            (`models.networks.calibration`).
    """

    stride: int = 1
    channels: int = 3
    pace: int = 2
    semantic: bool = True
    groove: bool = False
    drawn: bool = False
    calibrated: bool = False

    def check(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a number is out of its range.
        """
        least_pace = 2 if self.groove else 1  # a groove is fitted to the cuts, which are the second channel
        for name, low, high in (("stride", 1, 64), ("channels", 1, 3), ("pace", least_pace, len(PACE_CHANNELS))):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"model configuration: curve.{name} must be {low} to {high}, got {value!r}")
        if self.drawn and self.stride != 1:
            raise ConfigError(f"model configuration: a drawn curve has a curve.stride of 1, got {self.stride}")


@dataclass(frozen=True)
class Sampling:
    """Default settings of sampling for a model.

    Attributes:
        steps: calls of the network. 32 steps of `dpmpp_3m` come nearer to the solution than 250 of `ddim`, as released.
        guidance: guidance scale of the music; 1 is no guidance.
        rhythm_guidance: guidance scale of a sampled rhythm.
    """

    steps: int = 32
    guidance: float = 3.0
    rhythm_guidance: float = 1.0


@dataclass(frozen=True)
class PredictorConfig:
    """Size of the rhythm predictor. The released code fixes it, so it is read from the tensors of a checkpoint."""

    width: int = 512
    depth: int = 12

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return max(1, self.width // 64)


@dataclass(frozen=True)
class ModelConfig:
    """Configuration of a Diff-V2M model; widths are numbers of channels.

    The attributes below are our own extensions, which the released configuration leaves off:

    Attributes:
        positions: whether condition tokens and latents carry their seconds in cross-attention.
        curve: the rhythm curve at the DiT's input.
        global_type: see `GlobalCond`.
        patch: latents per token of the DiT.
        conv_kernel: width, in tokens, of a depthwise convolution before self-attention; 0 for none.
        color_hidden: width between the two layers of the color encoder.
        key: whether the DiT is given the music's key, whose mode the picture chooses (`models.features.key`).
    """

    lengths: Lengths
    audio_channels: int
    latent_channels: int
    autoencoder: dict[str, Any] = field(hash=False, repr=False)
    semantic_dim: int
    color_dim: int
    rhythm: Rhythm
    cond_dim: int
    classes: NumberRange
    seconds_start: NumberRange
    seconds_total: NumberRange
    global_ids: tuple[str, ...]
    width: int
    depth: int
    heads: int
    fusion: str
    emotion: Emotion = Emotion.RHYTHM
    residual: Residual = Residual.RELEASED
    predictor: PredictorConfig = PredictorConfig()
    positions: bool = False
    curve: CurveConfig | None = None
    global_type: GlobalCond = GlobalCond.PREPEND
    patch: int = 1
    conv_kernel: int = 0
    color_hidden: int = 1024
    key: bool = False
    sampling: Sampling = Sampling()

    @property
    def curve_rate(self) -> float:
        """Steps of the rhythm curve per second; latents per second if there is no curve."""
        return self.lengths.latent_rate / (self.curve.stride if self.curve else 1)

    @property
    def steps(self) -> int:
        """Condition steps of a window, one per second."""
        return self.lengths.window_seconds

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    def with_predictor(self, width: int, depth: int) -> ModelConfig:
        """The same model with a rhythm predictor of another size."""
        return replace(self, predictor=PredictorConfig(width, depth))

    @classmethod
    def from_file(cls, path: Path) -> ModelConfig:
        """Read `model_config.json`.

        Raises:
            ConfigError: not readable, not JSON, or an entry is missing or not supported.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the model configuration {path}: {error}") from error
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> ModelConfig:
        """Read the released layout; `model.diffusion.config` may also choose the paper's `emotion` and `residual`.

        Raises:
            ConfigError: an entry is missing or not supported.
        """
        try:
            return cls._from_dict(raw)
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"entry {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"model configuration: {what}; expected a Diff-V2M model_config.json") from error

    @classmethod
    def _from_dict(cls, raw: dict[str, Any]) -> ModelConfig:
        if raw["model_type"] != "diffusion_cond":
            raise ConfigError(f"model configuration: expected model_type diffusion_cond, got {raw['model_type']!r}")
        model = raw["model"]
        autoencoder = model["pretransform"]["config"]
        conditioners = {c["id"]: c.get("config", {}) for c in model["conditioning"]["configs"]}
        dit, cond_dim = model["diffusion"]["config"], model["conditioning"]["cond_dim"]
        semantic = conditioners["semantic"]
        config = cls(
            lengths=Lengths(
                sample_rate=int(raw["sample_rate"]),
                downsampling=int(autoencoder["downsampling_ratio"]),
                sample_size=int(raw["sample_size"]),
                window_seconds=int(semantic["max_length"]),
                short_windows=tuple(int(seconds) for seconds in raw.get("short_windows", ())),
            ),
            audio_channels=int(raw["audio_channels"]),
            latent_channels=int(autoencoder["latent_dim"]),
            autoencoder=autoencoder,
            semantic_dim=int(semantic["dim"]),
            color_dim=int(conditioners["color"]["dim"]),
            rhythm=Rhythm(semantic.get("rhythm_type", "odf")),
            cond_dim=int(cond_dim),
            classes=_range(conditioners["class"]),
            seconds_start=_range(conditioners["seconds_start"]),
            seconds_total=_range(conditioners["seconds_total"]),
            global_ids=tuple(model["diffusion"]["global_cond_ids"]),
            width=int(dit["embed_dim"]),
            depth=int(dit["depth"]),
            heads=int(dit["num_heads"]),
            fusion=str(dit["attention_weight_type"]),
            emotion=Emotion(dit.get("emotion", "rhythm")),
            residual=Residual(dit.get("residual", "released")),
            predictor=PredictorConfig(**raw.get("predictor", {})),
            sampling=Sampling(**raw.get("sampling", {})),
            positions=bool(dit.get("positions", False)),
            curve=CurveConfig(**dit["curve"]) if dit.get("curve") is not None else None,
            global_type=GlobalCond(dit.get("global_cond_type", "prepend")),
            patch=int(dit.get("patch_size", 1)),
            conv_kernel=int(dit.get("conv_kernel", 0)),
            key=bool(dit.get("key", False)),
            color_hidden=int(conditioners["color"].get("hidden", 1024)),
        )
        config._check(dit)
        return config

    def _check(self, dit: dict[str, Any]) -> None:
        expected = {
            "io_channels": self.latent_channels,
            "cond_token_dim": self.cond_dim,
            "global_cond_dim": self.cond_dim * len(self.global_ids),
            "project_cond_tokens": False,
            "transformer_type": "continuous_transformer",
        }
        for name, value in expected.items():
            if dit.get(name, value) != value:
                raise ConfigError(f"model configuration: {name} is {dit[name]!r}, expected {value!r}")
        edges = (0, *self.lengths.short_windows, self.steps)
        if any(low >= high for low, high in pairwise(edges)):
            raise ConfigError(
                f"model configuration: short_windows must rise from 1 to {self.steps - 1} s, "
                f"got {list(self.lengths.short_windows)}"
            )
        if self.curve:
            self.curve.check()
        if self.curve and self.rhythm is not Rhythm.ODF:
            raise ConfigError(f"model configuration: a curve goes with rhythm_type odf, got {self.rhythm}")
        if self.conv_kernel and self.conv_kernel % 2 == 0:
            raise ConfigError(f"model configuration: conv_kernel must be odd, got {self.conv_kernel}")
        if self.width % self.heads or self.cond_dim % self.head_width:
            raise ConfigError(
                f"model configuration: embed_dim {self.width} and cond_token_dim {self.cond_dim} "
                f"must be multiples of the head width (embed_dim / num_heads {self.heads})"
            )


def _range(config: dict[str, Any]) -> NumberRange:
    return NumberRange(float(config["min_val"]), float(config["max_val"]))
