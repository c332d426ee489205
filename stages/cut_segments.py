"""Segments: what a model learns from, stretches of at most 30 s with their features, rhythm, sound and latents."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from models.features.motion import pace_curve
from models.lengths import Lengths, whole_seconds
from models.weights.source import ModelSource
from stages.base import Stage
from stages.contracts import LISTENED, SEGMENTS, Row, table_of, tensor
from stages.extract_audio import CHANNELS, SAMPLE_RATE, Samples
from stages.inference.batching import load_parts

if TYPE_CHECKING:
    from torch import Tensor

    from models import DiffV2M

DOWNSAMPLING = 2048
LENGTHS = Lengths(SAMPLE_RATE, DOWNSAMPLING, sample_size=30 * SAMPLE_RATE)
SHORTEST_TAIL = 5.0
"""Seconds that the last of several segments must last to be kept."""
SURROUNDINGS = 8
"""Seconds to either side of a segment that its rhythm curve is measured with, so that it has no edges of its own."""

SEGMENT = pa.schema(
    [
        ("item_id", pa.string()),
        ("uri", pa.string()),
        ("index", pa.int32()),  # of the segment in its video; some at the end may be missing
        ("start", pa.float64()),  # seconds of the video at which its first latent begins
        ("seconds", pa.int32()),  # T, whole seconds of features
        ("duration", pa.float64()),  # seconds from its start to its end or the video's
        ("semantic", tensor(pa.float32())),  # [T, D]
        ("color", tensor(pa.float16())),  # [T, 3072]
        ("scene_cut", tensor(pa.float32())),  # [T] 0 or 1
        ("visual_beat", tensor(pa.float32())),  # [T] 0..1
        ("odf", tensor(pa.float32())),  # [T, 1]
        ("mel", tensor(pa.float32())),  # [T, 16]
        ("tempo", tensor(pa.float32())),  # [T, 16]
        ("key", pa.int32()),  # number of the sound's key, see `models.features.key`
        ("curve", tensor(pa.float32())),  # [3, frames] `models.features.rhythm_curve.rhythm_curve` of the sound
        ("pace", tensor(pa.float32())),  # [2, frames] `models.features.motion.pace_curve` of the picture
        ("cuts", tensor(pa.float64())),  # [cuts] seconds from the start
        ("sound", pa.large_binary()),  # FLAC, 16 bit, 44.1 kHz stereo, frames * 2048 samples
        ("latents", tensor(pa.float32())),  # [channels, frames] mean latents; null without a codec
    ]
)


@dataclass(frozen=True)
class Stretch:
    """Where a segment lies: latents [first, first + frames), whole seconds [second, second + seconds)."""

    index: int
    first: int
    frames: int
    second: int
    seconds: int

    @property
    def start(self) -> float:
        """Seconds of the video at which the first latent begins."""
        return self.first / LENGTHS.latent_rate


def stretches(duration: float) -> list[Stretch]:
    """Cut a video into segments of 30 s on the grid of latents, each beginning where the one before ends.

    A last segment of less than `SHORTEST_TAIL` seconds is dropped unless it is the only one.

    Args:
        duration: of the video in seconds, above 0.
    """
    total, width = whole_seconds(duration), LENGTHS.window_seconds
    cut = []
    for index, second in enumerate(range(0, total, width)):
        if index and duration - second < SHORTEST_TAIL:
            break
        first, stop = LENGTHS.latent_at(second), min(LENGTHS.latents_of(duration), LENGTHS.latent_at(second + width))
        cut.append(Stretch(index, first, stop - first, second, min(width, total - second)))
    return cut


@dataclass(frozen=True)
class SegmentsSettings:
    """How segments are made.

    Attributes:
        codec: whose autoencoder makes the latents; none are made without.
        device: of the autoencoder; the sound is analysed on the processor.
        threads: of torch; 0: as the library sees fit.
    """

    codec: ModelSource | None = None
    device: str = "auto"
    threads: int = 0


class Segments(Stage):
    """Cuts a video into segments, a row of `SEGMENT` each, and measures the rhythm of their sound.

    Raises:
        ValueError: the codec is not one of 44.1 kHz with latents of 2048 samples.
    """

    name = "segments"
    reads, writes = LISTENED, SEGMENTS

    def __init__(self, settings: SegmentsSettings = SegmentsSettings()) -> None:
        import torch

        self.settings = settings
        self.model: DiffV2M | None = None
        if settings.codec is not None:
            check_codec(settings.codec)
            self.model = load_parts(settings.codec, ("autoencoder",), settings.device, settings.threads)
        elif settings.threads:
            torch.set_num_threads(settings.threads)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [{"segments": packed([self.segment(row, s) for s in stretches(row["duration"])])} for row in rows]

    def segment(self, row: Row, stretch: Stretch) -> Row:
        """The row of `SEGMENT` of one stretch of a row of `LISTENED`."""
        of_second = slice(stretch.second, stretch.second + stretch.seconds)
        start, rate = stretch.start, LENGTHS.latent_rate
        cuts = row["cuts"] - start
        sound = np.zeros((stretch.frames * DOWNSAMPLING, CHANNELS), np.int16)
        heard = row["sound"][stretch.first * DOWNSAMPLING :][: len(sound)]
        sound[: len(heard)] = heard
        return {
            "item_id": row["item_id"],
            "uri": row["uri"],
            "index": stretch.index,
            "start": start,
            "seconds": stretch.seconds,
            "duration": min(row["duration"] - start, stretch.frames / rate),
            **{name: row[name][of_second] for name in ("semantic", "color", "scene_cut", "visual_beat")},
            **self._music(row["sound"], stretch),
            "pace": pace_curve(row["frame_times"] - start, row["difference"], cuts, rate, stretch.frames),
            "cuts": cuts[(cuts >= 0) & (cuts < stretch.frames / rate)],
            "sound": flac(sound),
            "latents": self._latents(sound),
        }

    def _music(self, sound: Samples, stretch: Stretch) -> Row:
        """The four descriptions of a stretch's rhythm, from the whole video's sound, and its key."""
        from models.features.key import key_of_music
        from models.features.rhythm_curve import rhythm_curve
        from models.features.rhythm_targets import mel_rhythm, odf, tempo_rhythm

        own = _audio(sound[stretch.second * SAMPLE_RATE :][: stretch.seconds * SAMPLE_RATE]).mean(0)
        # Half an hour at once would take gigabytes.
        margin = LENGTHS.latents_of(SURROUNDINGS)
        first, stop = max(0, stretch.first - margin), stretch.first + stretch.frames + margin
        wide = _audio(sound[first * DOWNSAMPLING : stop * DOWNSAMPLING])
        curve = rhythm_curve(wide, SAMPLE_RATE, LENGTHS.latent_rate, stop - first)
        curve = curve[:, stretch.first - first :][:, : stretch.frames]
        found = {"odf": odf(own), "mel": mel_rhythm(own), "tempo": tempo_rhythm(own), "curve": curve}
        return {name: values.numpy() for name, values in found.items()} | {"key": key_of_music(own)}

    def _latents(self, sound: Samples) -> Any:
        if self.model is None:
            return None
        audio = _audio(sound)[None].to(self.model.device, self.model.dtype)
        return self.model.encode(audio)[0].float().cpu().numpy()


def _audio(sound: Samples) -> Tensor:
    """[samples, channels] int16 -> [channels, samples] in [-1, 1]."""
    import torch

    return torch.from_numpy(sound.T.astype(np.float32) / 32768)


def check_codec(codec: ModelSource) -> None:
    """Refuse a codec on another grid than the segments'.

    Raises:
        ValueError: of another sample rate or downsampling.
    """
    lengths = codec.config.lengths
    if (lengths.sample_rate, lengths.downsampling) != (SAMPLE_RATE, DOWNSAMPLING):
        came = f"{lengths.downsampling} samples a latent at {lengths.sample_rate} Hz"
        raise ValueError(f"expected a codec of {DOWNSAMPLING} samples a latent at {SAMPLE_RATE} Hz, got {came}")


def flac(sound: Samples) -> bytes:
    """A FLAC file, 16 bit, of [samples, channels]."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, sound, SAMPLE_RATE, "PCM_16", format="FLAC")
    return file.getvalue()


def samples_of(data: bytes) -> Samples:
    """The sound [samples, channels] int16 of a segment's FLAC file."""
    import soundfile

    return soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0]


def packed(segments: list[Row]) -> bytes:
    """Rows of `SEGMENT` as the bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SEGMENT) as stream:
        stream.write_table(table_of(segments, SEGMENT))
    return sink.getvalue().to_pybytes()


def unpacked(data: bytes) -> pa.Table:
    """The table of `SEGMENT` that `packed` put into bytes."""
    return pa.ipc.open_stream(data).read_all()
