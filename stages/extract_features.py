"""ExtractFeatures: computes the features of each second of a video that the model is conditioned on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.base import Stage
from stages.contracts import DECODED, FEATURES, Row
from stages.inference.batching import halve_on_oom, resolve_device
from stages.video.color_histogram import color_histograms
from stages.video.motion.seconds import scene_cuts, visual_beats


@dataclass(frozen=True)
class ExtractFeaturesSettings:
    """Settings of the feature extraction.

    Attributes:
        clip_weights: `tiny`, or the path of open_clip weights (see `models.clip.image_encoder.load_image_encoder`).
        device: where the image encoder runs: `auto`, `cpu` or `cuda`.
        images_per_batch: number of images that the image encoder embeds at once.
    """

    clip_weights: str = "tiny"
    device: str = "auto"
    images_per_batch: int = 16


class ExtractFeatures(Stage):
    """Adds semantic, color, scene-cut and beat features of each second, as Diff-V2M takes them.

    `semantic` [seconds, D] float32: the raw CLIP image embedding of the second's frame. `color` [seconds, 3072]: the
    RGB-uv histogram of the frame, with the sum 1 (`stages.video.color_histogram`). `scene_cut` [seconds]: 1 where a cut
    falls in the second, else 0; these are the cuts of the detector that the authors used (`content_cuts`).
    `visual_beat` [seconds]: strength of the second's strongest beat, 0..1 (`stages.video.motion.seconds`).
    """

    name = "features"
    reads = DECODED
    writes = FEATURES

    def __init__(self, settings: ExtractFeaturesSettings | None = None) -> None:
        from models.clip.image_encoder import load_image_encoder

        self.settings = settings or ExtractFeaturesSettings()
        self._batch_size = self.settings.images_per_batch
        self._encoder = load_image_encoder(self.settings.clip_weights, resolve_device(self.settings.device))

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [{"semantic": self.embed(row["clip_frames"])} | plain_features(row) for row in rows]

    def embed(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Returns the embeddings [frames, D] of RGB frames [frames, size, size, 3].

        The frames of one video are embedded without those of others, in batches of one shape; the last batch is filled
        up with black. An embedding then depends on the frame and its place in its video, and on nothing else.

        Raises:
            ValueError: the frames do not have the size that the encoder takes.
        """
        side = self._encoder.config.image_size
        if frames.shape[1:] != (side, side, 3):
            found = " x ".join(map(str, frames.shape[1:]))
            raise ValueError(f"expected frames of {side} x {side} x 3, got {found}: set Decode's clip_size to {side}")
        embeddings, self._batch_size = halve_on_oom(lambda batch: self._embed(frames, batch), self._batch_size)
        return embeddings

    def _embed(self, frames: npt.NDArray[np.uint8], batch: int) -> npt.NDArray[np.float32]:
        import torch

        parts, side = [], frames.shape[1]
        with torch.inference_mode():
            for start in range(0, len(frames), batch):
                some = frames[start : start + batch]
                full = np.zeros((batch, side, side, 3), np.uint8)
                full[: len(some)] = some
                images = torch.from_numpy(full).to(self._encoder.mean.device)
                parts.append(self._encoder(images).cpu().numpy()[: len(some)])
        return np.concatenate(parts)


def plain_features(row: Row) -> Row:
    """Returns the features that need no network, color, scene cuts and visual beats, of a row of `DECODED`."""
    seconds = len(row["color_frames"])
    return {
        "color": color_histograms(row["color_frames"]),
        "scene_cut": scene_cuts(row["content_cuts"], seconds),
        "visual_beat": visual_beats(row["frame_times"], row["difference"], seconds),
    }
