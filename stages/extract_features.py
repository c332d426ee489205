"""Features: what the model sees of a video, a row of numbers for each second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.base import Stage
from stages.contracts import DECODED, FEATURES, Row
from stages.inference.batching import halving, resolve_device
from stages.video.color_histogram import color_histograms
from stages.video.motion import scene_cuts, visual_beats


@dataclass(frozen=True)
class FeaturesSettings:
    """How the features are computed.

    Attributes:
        clip: `tiny`, or the path of open_clip weights (see `models.clip.image_encoder.load_clip`).
        device: of the image tower.
        clip_batch: pictures embedded at once.
    """

    clip: str = "tiny"
    device: str = "auto"
    clip_batch: int = 16


class Features(Stage):
    """Semantic, color, scene-cut and beat features of each second.

    `semantic` [seconds, D] float32: raw CLIP image embeddings of the second's frame. `color` [seconds, 3072]: its
    RGB-uv histogram, summing to 1 (`stages.video.color_histogram`). `scene_cut` [seconds]: 1 where a cut falls in the
    second. `visual_beat` [seconds]: strength of its strongest beat, 0..1 (`stages.video.motion`). All as Diff-V2M
    takes them.
    """

    name = "features"
    reads = DECODED
    writes = FEATURES

    def __init__(self, settings: FeaturesSettings | None = None) -> None:
        from models.clip.image_encoder import load_clip

        self.settings = settings or FeaturesSettings()
        self._batch = self.settings.clip_batch
        self._tower = load_clip(self.settings.clip, resolve_device(self.settings.device))

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [{"semantic": self.embed(row["clip_frames"])} | plain_features(row) for row in rows]

    def embed(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embeddings [frames, D] of pictures [frames, size, size, 3].

        A video's pictures go through the tower by themselves, in batches of one shape, the last filled up with black:
        a picture's numbers then depend on itself and its place in its video, and on nothing that runs beside it.
        """
        side = self._tower.config.image_size
        if frames.shape[1:] != (side, side, 3):
            came = " x ".join(map(str, frames.shape[1:]))
            raise ValueError(f"expected frames of {side} x {side} x 3, got {came}: set Decode's clip_size to {side}")
        found, self._batch = halving(lambda batch: self._embedded(frames, batch), self._batch)
        return found

    def _embedded(self, frames: npt.NDArray[np.uint8], batch: int) -> npt.NDArray[np.float32]:
        import torch

        parts, side = [], frames.shape[1]
        with torch.inference_mode():
            for start in range(0, len(frames), batch):
                some = frames[start : start + batch]
                full = np.zeros((batch, side, side, 3), np.uint8)
                full[: len(some)] = some
                parts.append(self._tower(torch.from_numpy(full).to(self._tower.mean.device)).cpu().numpy()[: len(some)])
        return np.concatenate(parts)


def plain_features(row: Row) -> Row:
    """The features that need no network, of a row of `DECODED`: color, scene cuts and visual beats."""
    seconds = len(row["color_frames"])
    return {
        "color": color_histograms(row["color_frames"]),
        "scene_cut": scene_cuts(row["cuts"], seconds),
        "visual_beat": visual_beats(row["frame_times"], row["difference"], seconds),
    }
