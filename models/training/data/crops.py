"""Cut a crop out of a segment: features by the second, latents, rhythm curve and pace by the latent."""

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
from models.features.rhythm_curve import ENERGY_RANGE
from models.inputs import Features
from models.training.checkpoints import TrainingError

Segment = Mapping[str, Any]
"""Columns of `stages.cut_segments.SEGMENT` by name, arrays as numpy's, for T whole seconds and their latents:

`semantic` [T, D], `color` [T, C], `scene_cut` [T], `visual_beat` [T], `odf` [T, 1], `mel` and `tempo` [T, 16], `key`,
`curve` [3, frames], `pace` [2, frames], `latents` [channels, frames] or None, `sound` as bytes of a FLAC file.
"""
BY_SECOND = ("semantic", "color", "scene_cut", "visual_beat")


@dataclass(frozen=True)
class Item:
    """A crop in a window of so many latents.

    Attributes:
        rhythm: a curve [channels, steps]; without a curve [seconds, 1 or 16].
        latents: [channels, frames], 0 behind the end.
        mask, rhythm_mask: [frames] and [steps], 1 where there is sound.
    """

    features: Features
    rhythm: Tensor
    latents: Tensor
    mask: Tensor
    rhythm_mask: Tensor


def columns_of(config: ModelConfig) -> tuple[str, ...]:
    """Columns that `cut` reads for a model."""
    rhythm = ("curve", "pace") if config.curve is not None else (config.rhythm.value,)
    return (*BY_SECOND, *rhythm, "latents", *(("key",) if config.key else ()))


def cut(row: Segment, start: int, seconds: int, frames: int, config: ModelConfig) -> Item:
    """The crop that begins with a whole second of a segment, with the latent in which that second begins.

    Args:
        seconds: taken at most. What lies behind the segment's last whole second belongs to it.
        frames: latents of the window.

    Raises:
        TrainingError: the segment has no latents, or is not made for the model.
    """
    _check(row, config)
    whole = len(row["semantic"])
    start = min(start, whole - 1)
    stop = min(start + seconds, whole)
    first = config.lengths.latent_at(start)
    inside = frames if stop == whole else min(frames, config.lengths.latents_of(stop - start))
    found = {name: row[name][:, first:][:, :inside] for name in ("latents", "curve", "pace") if name in row}
    semantic, color, scene_cut, visual_beat = (_tensor(row[name][start:stop]) for name in BY_SECOND)
    features = Features(semantic, color, scene_cut, visual_beat, key=int(row["key"]) if config.key else UNKNOWN)
    mask = torch.zeros(frames)
    mask[: found["latents"].shape[1]] = 1
    if config.curve is None:
        rhythm = _tensor(row[config.rhythm.value][start:stop])
        rhythm_mask = (torch.arange(config.steps) < stop - start).float()
    else:
        stride, curve = config.curve.stride, _in_window(found["curve"], frames)
        curve[1] -= ENERGY_RANGE * (1 - mask)  # the energy of silence
        rhythm, rhythm_mask = coarser_curve(curve, stride)[: config.curve.channels], mask[::stride]
        pace = coarser_pace(_in_window(found["pace"], frames), stride)
        features = replace(features, pace=pace[: config.curve.pace])
        if config.curve.groove:
            rate = config.lengths.latent_rate
            groove = groove_of_music(_tensor(row["curve"][0]), rate)  # of the whole segment: a crop may be too short
            features = replace(features, groove=groove.after(first / rate))
    return Item(features, rhythm, _in_window(found["latents"], frames), mask, rhythm_mask)


def coarser_curve(curve: Tensor, stride: int) -> Tensor:
    """`rhythm_curve.rhythm_curve` [3, frames] at a rate that is `stride` times lower: [3, ceil(frames / stride)]."""
    if stride == 1:
        return curve
    onsets, energy, accents = curve
    return torch.stack((_blocks(onsets, stride).amax(1), _blocks(energy, stride).mean(1), _pulses(accents, stride)))


def coarser_pace(pace: Tensor, stride: int) -> Tensor:
    """`motion.pace_curve` [2, frames] at a rate that is `stride` times lower: [2, ceil(frames / stride)]."""
    if stride == 1:
        return pace
    scale = math.log(256)
    changed = torch.expm1(_blocks(pace[0], stride) * scale).mean(1)
    return torch.stack((torch.log1p(changed) / scale, _pulses(pace[1], stride)))


def _blocks(values: Tensor, stride: int) -> Tensor:
    """[frames] -> [steps, stride]; the last step is filled up with its last frame."""
    return pad(values[None], (0, -len(values) % stride), mode="replicate")[0].unflatten(0, (-1, stride))


def _pulses(values: Tensor, stride: int) -> Tensor:
    """`models.features.rhythm_curve.pulses` at the lower rate: [frames] -> [steps].

    What two frames share of an event says where between them it lies; each hands its part on to the wider triangles.
    """
    fine = (torch.arange(len(values)) + 0.5) / stride
    middles = torch.arange(-(-len(values) // stride)) + 0.5
    share = (1 - (fine - middles[:, None]).abs()).clamp(min=0)
    return (share @ values).clamp(max=1)


def _check(row: Segment, config: ModelConfig) -> None:
    if row["latents"] is None:
        raise TrainingError("the dataset has no latents: prepare it with a codec (--codec)")
    wanted = {"semantic": config.semantic_dim, "color": config.color_dim, "latents": config.latent_channels}
    for name, width in wanted.items():
        found = row[name].shape[0 if name == "latents" else 1]
        if found != width:
            raise TrainingError(f"the dataset's {name} have {found} channels, the model's {width}: prepare it anew")


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    """A copy in single precision: arrays that lie in Arrow's memory must not be written to."""
    return torch.from_numpy(np.array(values, np.float32))


def _in_window(values: npt.NDArray[Any], frames: int) -> Tensor:
    """[channels, up to frames] -> [channels, frames], zeros behind."""
    window = torch.zeros(len(values), frames)
    window[:, : values.shape[1]] = _tensor(values)
    return window
