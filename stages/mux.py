"""Mux: the video with its soundtrack, the soundtrack alone, and a sidecar that tells how it was made."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.base import ItemError, Stage
from stages.contracts import MUXED, SOUND, Row
from stages.video.ffmpeg import DeadlinePassed, Limits, MemoryExhausted, media_input, run
from stages.video.localize import local_path


@dataclass(frozen=True)
class Container:
    """How a container takes its soundtrack: ffmpeg's name of it, the audio encoder and its options."""

    muxer: str
    encoder: str
    options: dict[str, Any] = field(default_factory=dict)


_ISO = {"audio_bitrate": "192k", "movflags": "+faststart"}
CONTAINERS = {
    ".mp4": Container("mp4", "aac", _ISO),
    ".m4v": Container("mp4", "aac", _ISO),
    ".mov": Container("mov", "aac", _ISO),
    ".webm": Container("webm", "libopus", {"audio_bitrate": "160k"}),
    ".mkv": Container("matroska", "libopus", {"audio_bitrate": "160k"}),
}


@dataclass(frozen=True)
class MuxSettings:
    """`directory` takes the files; `facts` go into every sidecar (seed, fingerprint, steps and the like)."""

    directory: Path
    sample_rate: int = 44100
    facts: dict[str, Any] = field(default_factory=dict, hash=False)
    deadline: float = 300.0
    memory: int = 4 << 30


class Mux(Stage):
    """Adds `outputs`: the scored video, its `.wav` and its `.json`, below the settings' directory."""

    name = "mux"
    reads, writes = SOUND, MUXED
    num_cpus = 0.5

    def __init__(
        self, settings: MuxSettings, localize: Callable[[str], AbstractContextManager[Path]] = local_path
    ) -> None:
        self.settings = settings
        self.localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [self._written(row) for row in rows]

    def _written(self, row: Row) -> Row | Exception:
        import soundfile

        try:
            return self._files(row)
        except (OSError, soundfile.LibsndfileError) as fault:
            if shutil.disk_usage(self.settings.directory).free > row["waveform"].nbytes:
                raise
            raise self._no_room() from fault

    def _no_room(self) -> ItemError:
        place = self.settings.directory.parent
        return ItemError("DiskFull", f"no room for a scored video in {place}: free some space, or set TMPDIR elsewhere")

    def _files(self, row: Row) -> Row:
        import soundfile

        name = Path(row["output"])
        folder = self.settings.directory / row["item_id"]
        folder.mkdir(parents=True, exist_ok=True)
        video, sound, sidecar = (folder / f"scored{suffix}" for suffix in (name.suffix, ".wav", ".json"))
        soundfile.write(sound, row["waveform"], self.settings.sample_rate, subtype="PCM_16")
        with self.localize(row["uri"]) as source:
            self._mux(source, sound, video, row["duration"])
        lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in self._facts(row).items())
        sidecar.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", errors="surrogateescape")
        files = ((video, name), (sound, name.with_suffix(".wav")), (sidecar, name.with_suffix(".json")))
        return {"outputs": [_output(path, relative.as_posix()) for path, relative in files]}

    def _mux(self, source: Path, sound: Path, video: Path, duration: float) -> None:
        """Copy the picture, untouched, and encode the soundtrack beside it."""
        import ffmpeg

        container = CONTAINERS[video.suffix]
        picture, music = media_input(source, fflags="+genpts")["V:0"], ffmpeg.input(f"file:{sound}").audio
        command = ffmpeg.output(
            picture,
            music,
            f"file:{video}",
            vcodec="copy",
            acodec=container.encoder,
            f=container.muxer,
            map_metadata=0,
            **container.options,
        )
        limits = Limits(self.settings.deadline + duration, self.settings.memory)
        try:
            outcome = run(command.get_args(), limits)
        except (DeadlinePassed, MemoryExhausted) as fault:
            raise ItemError("MuxFailed", f"writing the scored video failed: {fault}") from fault
        if outcome.code != 0 and "No space left on device" in outcome.log:
            raise self._no_room()
        if outcome.code != 0:
            reason = outcome.errors[-1] if outcome.errors else f"ffmpeg ended with {outcome.code}"
            raise ItemError("MuxFailed", f"the picture does not fit a {video.suffix} file: {reason}")

    def _facts(self, row: Row) -> dict[str, Any]:
        """The sidecar, an entry a line. Cuts in seconds; rhythm one value (or 16) a second; `levels`."""
        odf = row["rhythm"].shape[2] == 1
        return self.settings.facts | {
            "item_id": row["item_id"],
            "source": Path(row["uri"]).name,
            "duration": row["duration"],
            "sample_rate": self.settings.sample_rate,
            "samples": len(row["waveform"]),
            "cuts": [round(float(cut), 3) for cut in row["cuts"]],
            "rhythm": joined_curve(row["rhythm"], row["duration"]).round(5).squeeze(1 if odf else ()).tolist(),
            "levels": levels(row["waveform"]),
            "seconds": {stage: round(seconds, 3) for stage, seconds in row["seconds"].items()},
        }


def levels(waveform: Any, parts: int = 240) -> list[int]:
    """The peak of each of so many equal parts of a waveform [samples, channels] of 16 bit, in percent of full scale."""
    import numpy as np

    peaks = np.abs(waveform.astype(np.int32)).max(1)
    edges = np.linspace(0, len(peaks), min(parts, len(peaks)) + 1).astype(int)
    return [round(100 * int(peak) / 32768) for peak in np.maximum.reduceat(peaks, edges[:-1])]


def joined_curve(rhythm: Any, duration: float) -> Any:
    """The windows' curves [windows, steps, 1 or 16] as one, a step a second: [seconds, 1 or 16], means at overlaps."""
    import numpy as np

    from models.lengths import Lengths

    steps = rhythm.shape[1]
    windows = Lengths(1, 1, 1, window_seconds=steps).windows(duration)
    total, count = np.zeros((windows[-1].stop, rhythm.shape[2])), np.zeros((windows[-1].stop, 1))
    for window, curve in zip(windows, rhythm, strict=True):
        total[window.start : window.stop] += curve[: window.seconds]
        count[window.start : window.stop] += 1
    return total / count


def _output(path: Path, name: str) -> Row:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": name, "path": str(path), "size": path.stat().st_size, "sha256": digest}
