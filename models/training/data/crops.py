"""Cutting a crop out of a segment: features have a value per second; latents, curve and pace one per latent frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.config import ModelConfig
from models.features.beat_grid import groove_of_music
from models.features.key import UNKNOWN
from models.features.motion import CHANNELS, LOGARITHM_OF_ONE, PULSES
from models.features.rhythm_curve import ENERGY_RANGE
from models.inputs import Features
from models.training.checkpoints import TrainingError

Segment = Mapping[str, Any]
"""Columns of `stages.cut_segments.SEGMENT` by name, as numpy arrays, for T whole seconds and their latents:

`semantic` [T, D], `color` [T, C], `scene_cut` [T], `visual_beat` [T], `odf` [T, 1], `mel` and `tempo` [T, 16], `key`,
`curve` [3, frames], `pace` [channels, frames], `latents` [channels, frames] or None, `sound` as bytes of a FLAC file.
"""
PER_SECOND = ("semantic", "color", "scene_cut", "visual_beat")


@dataclass(frozen=True)
class TrainingItem:
    """A crop of a segment in a window of a fixed number of latents.

    Attributes:
        features: features of the picture.
        rhythm: measured rhythm: a curve [channels, steps]; for models without a curve [seconds, 1 or 16].
        latents: latents of the music, [channels, frames], 0 after its end.
        mask, rhythm_mask: 1 where there is sound, [frames] and [steps].
    """

    features: Features
    rhythm: Tensor
    latents: Tensor
    mask: Tensor
    rhythm_mask: Tensor


def columns_of(config: ModelConfig) -> tuple[str, ...]:
    """Returns the columns that `cut_crop` reads for a model."""
    rhythm = ("curve", "pace") if config.curve is not None else (config.rhythm.value,)
    return (*PER_SECOND, *rhythm, "latents", *(("key",) if config.key else ()))


def cut_crop(row: Segment, start: int, seconds: int, frames: int, config: ModelConfig) -> TrainingItem:
    """Returns the crop that begins with a whole second of a segment, and with the latent in which that second begins.

    Args:
        row: the segment.
        start: the second that the crop begins with.
        seconds: seconds that are taken at most; the last whole second includes the rest of the segment after it.
        frames: latents of the window.
        config: configuration of the model.

    Raises:
        TrainingError: the segment has no latents, or its columns do not fit the model.
    """
    _check_columns(row, config)
    whole = len(row["semantic"])
    start = min(start, whole - 1)
    stop = min(start + seconds, whole)
    first = config.lengths.latent_at(start)
    inside = frames if stop == whole else min(frames, config.lengths.latents_of(stop - start))
    found = {name: row[name][:, first:][:, :inside] for name in ("latents", "curve", "pace") if name in row}
    semantic, color, scene_cut, visual_beat = (_tensor(row[name][start:stop]) for name in PER_SECOND)
    features = Features(semantic, color, scene_cut, visual_beat, key=int(row["key"]) if config.key else UNKNOWN)
    mask = torch.zeros(frames)
    mask[: found["latents"].shape[1]] = 1
    if config.curve is None:
        rhythm = _tensor(row[config.rhythm.value][start:stop])
        rhythm_mask = (torch.arange(config.steps) < stop - start).float()
    else:
        stride, curve = config.curve.stride, _in_window(found["curve"], frames)
        curve[1] -= ENERGY_RANGE * (1 - mask)  # zeros mean a medium energy, silence has the lowest
        rhythm, rhythm_mask = downsample_curve(curve, stride)[: config.curve.channels], mask[::stride]
        pace = downsample_pace(_in_window(found["pace"], frames), stride)
        features = replace(features, pace=pace[: config.curve.pace])
        if config.curve.groove:
            rate = config.lengths.latent_rate
            groove = groove_of_music(_tensor(row["curve"][0]), rate)  # a crop may be too short to measure it
            features = replace(features, groove=groove.after(first / rate))
    return TrainingItem(features, rhythm, _in_window(found["latents"], frames), mask, rhythm_mask)


def downsample_curve(curve: Tensor, stride: int) -> Tensor:
    """Returns a `rhythm_curve` [3, frames] at a rate that is `stride` times lower: [3, ceil(frames / stride)]."""
    if stride == 1:
        return curve
    onsets, energy, accents = curve
    return torch.stack((_blocks(onsets, stride).amax(1), _blocks(energy, stride).mean(1), _pulses(accents, stride)))


def downsample_pace(pace: Tensor, stride: int) -> Tensor:
    """Returns a `pace_curve` [2, frames] at a rate that is `stride` times lower: [2, ceil(frames / stride)]."""
    if stride == 1:
        return pace
    logarithms = {"difference": math.log(256), "motion": LOGARITHM_OF_ONE, "camera": LOGARITHM_OF_ONE}

    def at_lower_rate(name: str, values: Tensor) -> Tensor:
        if name in PULSES:
            return _pulses(values, stride)
        if scale := logarithms.get(name):
            return torch.log1p(torch.expm1(_blocks(values, stride) * scale).mean(1)) / scale
        return _blocks(values, stride).mean(1)

    return torch.stack([at_lower_rate(name, values) for name, values in zip(CHANNELS, pace, strict=False)])


def _blocks(values: Tensor, stride: int) -> Tensor:
    """Returns values [frames] as [steps, stride]; the last step is filled up with its last frame."""
    return pad(values[None], (0, -len(values) % stride), mode="replicate")[0].unflatten(0, (-1, stride))


def _pulses(values: Tensor, stride: int) -> Tensor:
    """Returns `models.features.rhythm_curve.pulses` at a lower rate: [frames] -> [steps].

    The shares that two frames have of an event encode where it lies between them. Each frame distributes its share
    over the wider triangles of the lower rate.
    """
    fine = (torch.arange(len(values)) + 0.5) / stride
    middles = torch.arange(-(-len(values) // stride)) + 0.5
    share = (1 - (fine - middles[:, None]).abs()).clamp(min=0)
    return (share @ values).clamp(max=1)


def _check_columns(row: Segment, config: ModelConfig) -> None:
    """Raises TrainingError if the segment has no latents, or arrays of another width than the model needs."""
    if row["latents"] is None:
        raise TrainingError("the dataset has no latents: prepare it with a codec (--codec)")
    expected = {"semantic": config.semantic_dim, "color": config.color_dim, "latents": config.latent_channels}
    for name, width in expected.items():
        found = row[name].shape[0 if name == "latents" else 1]
        if found != width:
            raise TrainingError(f"the dataset's {name} have {found} channels, the model's {width}: prepare it anew")
    if config.curve is not None and len(row["pace"]) < config.curve.pace:
        known, needed = len(row["pace"]), config.curve.pace
        raise TrainingError(f"the dataset's pace has {known} channels, the model reads {needed}: prepare it anew")


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    """Returns a copy in single precision, because arrays in Arrow's memory must not be written to."""
    return torch.from_numpy(np.array(values, np.float32))


def _in_window(values: npt.NDArray[Any], frames: int) -> Tensor:
    """Returns values [channels, up to frames], filled up with zeros, as [channels, frames]."""
    window = torch.zeros(len(values), frames)
    window[:, : values.shape[1]] = _tensor(values)
    return window
