"""CutSegments: cuts a video into the segments of a training set, at most 30 s with features, rhythm, sound, latents."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from models.lengths import Lengths, whole_seconds
from models.weights.source import ModelSource
from stages.audio.reader import CHANNELS
from stages.base import Stage
from stages.contracts import SEGMENTS, SOURCE_AUDIO, Row, table_of, tensor
from stages.extract_audio import SAMPLE_RATE, Samples
from stages.inference.batching import load_parts
from stages.video.motion.columns import pace_of

if TYPE_CHECKING:
    from torch import Tensor

    from models import DiffV2M

DOWNSAMPLING = 2048
LENGTHS = Lengths(SAMPLE_RATE, DOWNSAMPLING, sample_size=30 * SAMPLE_RATE)
SHORTEST_TAIL = 5.0
"""Least length in seconds of the last of several segments; a shorter one is dropped."""
CONTEXT = 8
"""Seconds to either side of a segment with which its rhythm curve is measured, so that its edges have no effect."""

SEGMENT = pa.schema(
    [
        ("item_id", pa.string()),
        ("uri", pa.string()),
        ("index", pa.int32()),  # number of the segment in its video; some at the end may be missing
        ("start", pa.float64()),  # time in the video, in seconds, at which its first latent begins
        ("seconds", pa.int32()),  # T, whole seconds of features
        ("duration", pa.float64()),  # seconds from its start to its end, or to the video's end
        ("semantic", tensor(pa.float32())),  # [T, D]
        ("color", tensor(pa.float16())),  # [T, 3072]
        ("scene_cut", tensor(pa.float32())),  # [T] 0 or 1
        ("visual_beat", tensor(pa.float32())),  # [T] 0..1
        ("odf", tensor(pa.float32())),  # [T, 1]
        ("mel", tensor(pa.float32())),  # [T, 16]
        ("tempo", tensor(pa.float32())),  # [T, 16]
        ("key", pa.int32()),  # number of the sound's key, see `models.features.key`
        ("curve", tensor(pa.float32())),  # [3, frames] `models.features.rhythm_curve.rhythm_curve` of the sound
        ("pace", tensor(pa.float32())),  # [channels, frames] `models.features.motion.pace_curve` of the picture
        ("cuts", tensor(pa.float64())),  # [cuts] seconds from the segment's start
        ("sound", pa.large_binary()),  # FLAC, 16 bit, 44.1 kHz stereo, frames * 2048 samples
        ("latents", tensor(pa.float32())),  # [channels, frames] mean latents; null without a codec
    ]
)


@dataclass(frozen=True)
class SegmentSpan:
    """The place of a segment in its video, in latent frames and in whole seconds.

    Attributes:
        index: number of the segment in its video.
        first_frame, frames: first latent frame of the video, and number of latent frames.
        first_second, seconds: first whole second of the video, and number of whole seconds.
    """

    index: int
    first_frame: int
    frames: int
    first_second: int
    seconds: int

    @property
    def start(self) -> float:
        """Time in the video, in seconds, at which the first latent begins."""
        return self.first_frame / LENGTHS.latent_rate


def segment_spans(duration: float) -> list[SegmentSpan]:
    """Returns the segments of a video: 30 s each on the grid of latents, each beginning where the one before ends.

    A last segment of less than `SHORTEST_TAIL` seconds is dropped unless it is the only one.

    Args:
        duration: length of the video in seconds, above 0.
    """
    total, width = whole_seconds(duration), LENGTHS.window_seconds
    spans = []
    for index, second in enumerate(range(0, total, width)):
        if index and duration - second < SHORTEST_TAIL:
            break
        first, stop = LENGTHS.latent_at(second), min(LENGTHS.latents_of(duration), LENGTHS.latent_at(second + width))
        spans.append(SegmentSpan(index, first, stop - first, second, min(width, total - second)))
    return spans


@dataclass(frozen=True)
class CutSegmentsSettings:
    """Settings for making segments.

    Attributes:
        codec: the model whose autoencoder makes the latents; without one there are no latents.
        device: where the autoencoder runs; the sound is always analyzed on the CPU.
        threads: number of threads of torch; 0 leaves it to the library.
    """

    codec: ModelSource | None = None
    device: str = "auto"
    threads: int = 0


class CutSegments(Stage):
    """Adds `segments`: a table with a row of `SEGMENT` for each segment, which also describes the sound's rhythm.

    Raises:
        ValueError: the codec is not one of 44.1 kHz with latents of 2048 samples.
    """

    name = "segments"
    reads, writes = SOURCE_AUDIO, SEGMENTS

    def __init__(self, settings: CutSegmentsSettings = CutSegmentsSettings()) -> None:
        import torch

        self.settings = settings
        self.model: DiffV2M | None = None
        if settings.codec is not None:
            check_codec_grid(settings.codec)
            self.model = load_parts(settings.codec, ("autoencoder",), settings.device, settings.threads)
        elif settings.threads:
            torch.set_num_threads(settings.threads)

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [{"segments": pack_segments(self._segments(row))} for row in rows]

    def _segments(self, row: Row) -> list[Row]:
        return [self.segment(row, span) for span in segment_spans(row["duration"])]

    def segment(self, row: Row, span: SegmentSpan) -> Row:
        """Returns the row of `SEGMENT` for one span of a row of `SOURCE_AUDIO`."""
        seconds = slice(span.first_second, span.first_second + span.seconds)
        start, rate = span.start, LENGTHS.latent_rate
        cuts = row["cuts"] - start
        sound = np.zeros((span.frames * DOWNSAMPLING, CHANNELS), np.int16)
        source = row["sound"][span.first_frame * DOWNSAMPLING :][: len(sound)]
        sound[: len(source)] = source
        return {
            "item_id": row["item_id"],
            "uri": row["uri"],
            "index": span.index,
            "start": start,
            "seconds": span.seconds,
            "duration": min(row["duration"] - start, span.frames / rate),
            **{name: row[name][seconds] for name in ("semantic", "color", "scene_cut", "visual_beat")},
            **self._describe_music(row["sound"], span),
            "pace": pace_of(row, start, rate, span.frames),
            "cuts": cuts[(cuts >= 0) & (cuts < span.frames / rate)],
            "sound": encode_flac(sound),
            "latents": self._latents(sound),
        }

    def _describe_music(self, sound: Samples, span: SegmentSpan) -> Row:
        """Returns the four descriptions of a span's rhythm, and its key, from the sound of the whole video."""
        from models.features.key import key_of_music
        from models.features.rhythm_curve import rhythm_curve
        from models.features.rhythm_targets import mel_rhythm, odf, tempo_rhythm

        own = _audio(sound[span.first_second * SAMPLE_RATE :][: span.seconds * SAMPLE_RATE]).mean(0)
        # Only the segment and its surroundings are measured: half an hour of sound at once would take gigabytes.
        margin = LENGTHS.latents_of(CONTEXT)
        first, stop = max(0, span.first_frame - margin), span.first_frame + span.frames + margin
        wide = _audio(sound[first * DOWNSAMPLING : stop * DOWNSAMPLING])
        curve = rhythm_curve(wide, SAMPLE_RATE, LENGTHS.latent_rate, stop - first)
        curve = curve[:, span.first_frame - first :][:, : span.frames]
        found = {"odf": odf(own), "mel": mel_rhythm(own), "tempo": tempo_rhythm(own), "curve": curve}
        return {name: values.numpy() for name, values in found.items()} | {"key": key_of_music(own)}

    def _latents(self, sound: Samples) -> Any:
        """Returns the mean latents [channels, frames] of a segment's sound, or None without a codec."""
        if self.model is None:
            return None
        audio = _audio(sound)[None].to(self.model.device, self.model.dtype)
        return self.model.encode(audio)[0].float().cpu().numpy()


def _audio(sound: Samples) -> Tensor:
    """Converts [samples, channels] int16 to [channels, samples] float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(sound.T.astype(np.float32) / 32768)


def check_codec_grid(codec: ModelSource) -> None:
    """Refuses a codec whose latents are on another time grid than the segments.

    Raises:
        ValueError: the codec has another sample rate or downsampling.
    """
    lengths = codec.config.lengths
    if (lengths.sample_rate, lengths.downsampling) != (SAMPLE_RATE, DOWNSAMPLING):
        found = f"{lengths.downsampling} samples a latent at {lengths.sample_rate} Hz"
        raise ValueError(f"expected a codec of {DOWNSAMPLING} samples a latent at {SAMPLE_RATE} Hz, got {found}")


def encode_flac(sound: Samples) -> bytes:
    """Returns sound [samples, channels] as a FLAC file of 16 bit."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, sound, SAMPLE_RATE, "PCM_16", format="FLAC")
    return file.getvalue()


def decode_flac(data: bytes) -> Samples:
    """Returns the sound [samples, channels] int16 of a segment's FLAC file."""
    import soundfile

    return soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0]


def pack_segments(segments: list[Row]) -> bytes:
    """Returns rows of `SEGMENT` as the bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SEGMENT) as stream:
        stream.write_table(table_of(segments, SEGMENT))
    return sink.getvalue().to_pybytes()


def unpack_segments(data: bytes) -> pa.Table:
    """Returns the table of `SEGMENT` from the bytes that `pack_segments` made."""
    return pa.ipc.open_stream(data).read_all()
