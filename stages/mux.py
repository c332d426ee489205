"""Mux: writes the video with its soundtrack, the soundtrack alone, and a sidecar file that says how it was made."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.audio.formats import FORMATS, OutputSettings, write_sound
from stages.audio.result_files import at_rate, write_music, write_parts
from stages.base import ItemError, Stage
from stages.contracts import MIXED, MUXED, Row
from stages.video.child_process import DeadlinePassed, Limits, MemoryExhausted
from stages.video.containers import CONTAINERS
from stages.video.edit_list import end_picture_at
from stages.video.ffmpeg import media_input, run_ffmpeg
from stages.video.probe import read_media_info
from stages.video.source_file import Localize, local_path

REORDERED = ("h264", "hevc")
"""Codecs whose packets tell the order in which frames are shown only to ffmpeg's filter `dts2pts`."""


@dataclass(frozen=True)
class MuxSettings:
    """Settings for writing the files.

    Attributes:
        directory: folder that takes the files.
        outputs: the files that are written beside the video, and the rate of all sound.
        kept_music: folder below the destination that keeps the music of a row which has `music`.
        run_info: entries of every sidecar that describe the run: seed, fingerprint, steps and the like.
        deadline: seconds of wall time that ffmpeg may take beyond the length of the video.
        memory: bytes of address space that ffmpeg may take.
    """

    directory: Path
    outputs: OutputSettings = field(default_factory=OutputSettings)
    kept_music: str = ""
    run_info: dict[str, Any] = field(default_factory=dict, hash=False)
    deadline: float = 300.0
    memory: int = 4 << 30


class Mux(Stage):
    """Adds `outputs`: the scored video, the music alone as `.wav` and its `.json`, below the settings' directory."""

    name = "mux"
    reads, writes = MIXED, MUXED

    def __init__(self, settings: MuxSettings, localize: Localize = local_path) -> None:
        self.settings = settings
        self.localize = localize

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        return [self._write(row) for row in rows]

    def _write(self, row: Row) -> Row:
        """Writes the files of a row; if the disk is full, the error says so."""
        import soundfile

        try:
            return self._write_files(row)
        except (OSError, soundfile.LibsndfileError) as error:
            if shutil.disk_usage(self.settings.directory).free > row["waveform"].nbytes:
                raise
            raise self._no_room() from error

    def _no_room(self) -> ItemError:
        place = self.settings.directory.parent
        return ItemError("DiskFull", f"no room for a scored video in {place}: free some space, or set TMPDIR elsewhere")

    def _write_files(self, row: Row) -> Row:
        wanted, row = self.settings.outputs, at_rate(row, self.settings.outputs.sample_rate)
        name = Path(row["output"])
        stem = row["stem"] or name.with_suffix("").as_posix()
        folder = self.settings.directory / row["item_id"]
        folder.mkdir(parents=True, exist_ok=True)
        video, sidecar, heard = folder / f"scored{name.suffix}", folder / "scored.json", folder / "heard.wav"
        sounds = write_music(row, folder, stem, wanted)
        write_sound(heard, row["waveform"] if row["mix"] is None else row["mix"], row["sample_rate"], FORMATS["wav"])
        with self.localize(row["uri"]) as source:
            tracks = self._tracks_before(source)
            self._mux(source, heard, video, row, tracks)
        heard.unlink()
        lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in self._sidecar(row, tracks).items())
        sidecar.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", errors="surrogateescape")
        files = [(video, name.as_posix()), *sounds, (sidecar, f"{stem}.json")]
        if row["music"] is not None:
            files += write_parts(row, folder, stem, self.settings.kept_music)
        return {"outputs": [_output(path, name) for path, name in files]}

    def _mux(self, source: Path, sound: Path, video: Path, row: Row, tracks: int) -> None:
        """Copies the video stream as it is, and encodes the soundtrack beside it, behind some of the video's own.

        Those are copied, too, and encoded only where the container cannot hold them as they are.
        """
        limits = Limits(self.settings.deadline + row["duration"], self.settings.memory)
        copies = dict.fromkeys((f"c:a:{track}" for track in range(tracks)), "copy")
        try:
            result = run_ffmpeg(self._command(source, sound, video, row, tracks, copies), limits)
            if tracks and result.code != 0:
                result = run_ffmpeg(self._command(source, sound, video, row, tracks, {}), limits)
        except (DeadlinePassed, MemoryExhausted) as error:
            raise ItemError("MuxFailed", f"writing the scored video failed: {error}") from error
        if result.code != 0 and "No space left on device" in result.log:
            raise self._no_room()
        if result.code != 0:
            reason = result.errors[0] if result.errors else f"ffmpeg ended with {result.code}"
            raise ItemError("MuxFailed", f"the pictures cannot be written to a {video.suffix} file: {reason}")
        if (row["media"] or {}).get("hides_frames") and CONTAINERS[video.suffix.lower()].has_edit_lists:
            end_picture_at(video, row["duration"])

    def _command(
        self, source: Path, sound: Path, video: Path, row: Row, tracks: int, codecs: dict[str, str]
    ) -> list[str]:
        """Returns ffmpeg's arguments; `codecs` are options for the codecs of the video's own tracks."""
        import ffmpeg

        container = CONTAINERS[video.suffix.lower()]
        # ffmpeg leaves the date of creation out of copies unless it is told.
        media = row["media"] or {}
        date = media.get("created")
        created = {"metadata": f"creation_time={date}", "metadata:s:v:0": f"creation_time={date}"} if date else {}
        own, music = media_input(source, fflags="+genpts"), ffmpeg.input(f"file:{sound}").audio
        command = ffmpeg.output(
            own["V:0"],
            *(own[f"a:{track}"] for track in range(tracks)),
            music,
            f"file:{video}",
            vcodec="copy",
            **{"c:a": container.encoder} | codecs,
            f=container.muxer,
            map_metadata=0,
            **created,
            **_names_of_track(row, tracks),
            **({} if media.get("stores_times", True) else _times_of_frames(media["codec"], row["duration"])),
            **container.options,
        )
        return [*map(str, command.get_args())]

    def _tracks_before(self, source: Path) -> int:
        """Returns the number of the video's own audio tracks that stay before the new one."""
        return len(read_media_info(source).tracks) if self.settings.outputs.music_track == "add" else 0

    def _sidecar(self, row: Row, tracks: int) -> dict[str, Any]:
        """Returns the sidecar's entries: times in seconds, 1 or 16 rhythm values per second, levels in percent.

        Loudness is in LUFS, the true peak in dBTP, gain and limiting are in decibels. `tracks` is the number of the
        video's own audio tracks that stay.
        """
        odf, media = row["rhythm"].shape[2] == 1, row["media"] or {}
        return self.settings.run_info | {
            "item_id": row["item_id"],
            "source": Path(row["uri"]).name,
            "duration": row["duration"],
            "frames_lost": media.get("frames_lost") or 0,
            "seconds_held": round(media.get("seconds_held") or 0.0, 3),
            "left_behind": media.get("left_behind") or [],
            "sample_rate": row["sample_rate"],
            "samples": len(row["waveform"]),
            "cuts": [round(float(cut), 3) for cut in row["cuts"]],
            "kinematic_beats": [] if row["kinematic_beats"] is None else row["kinematic_beats"].round(3).tolist(),
            "transitions": [_transition(transition) for transition in row["transitions"] or []],
            "rhythm": joined_curve(row["rhythm"], row["duration"]).round(5).squeeze(1 if odf else ()).tolist(),
            "levels": peak_levels(row["waveform"]),
            "original": row["original"],
            "own_tracks": tracks,
            "speech": [] if row["speech"] is None else row["speech"].round(3).tolist(),
            "own_music": [] if row["own_music"] is None else row["own_music"].round(3).tolist(),
            **{name: value and round(value, 2) for name, value in row["loudness"].items()},
            "seconds": {stage: round(seconds, 3) for stage, seconds in row["seconds"].items()},
        }


def _transition(transition: Row) -> Row:
    """Returns the sidecar's entry of a transition."""
    return {name: value if isinstance(value, str) else round(value, 3) for name, value in transition.items()}


def _names_of_track(row: Row, tracks: int) -> dict[str, str]:
    """Returns options of ffmpeg that name the soundtrack, and leave the first track the one that is played.

    A soundtrack that takes the place of an original one has its language and title.

    Args:
        tracks: number of audio tracks before it.
    """
    if tracks:
        kept = {} if row["mix"] is None else {f"map_metadata:s:a:{tracks}": f"0:s:a:{row['original_track'] - 1}"}
        title = "Music" if row["mix"] is None else "Original sound and music"
        # MP4 and MOV hold the name of a track as that of its handler.
        names = {f"metadata:s:a:{tracks}": f"title={title}", f"metadata:s:{1 + tracks}": f"handler_name={title}"}
        return kept | names | {f"disposition:a:{tracks}": "0"}
    return {} if row["mix"] is None else {"map_metadata:s:a:0": f"0:s:a:{row['original_track'] - 1}"}


def _times_of_frames(codec: str, duration: float) -> dict[str, str]:
    """Returns options of ffmpeg that give each packet the time at which its frame is shown, the first 0.

    ffmpeg's `dts2pts` does not find the time of the frame that is shown last, so it is computed from the end.
    """
    reorder = "setts=pts=NOPTS,dts2pts," if codec in REORDERED else ""
    times = rf"pts=if(eq(PTS\,NOPTS)\,{duration:.6f}/TB-DURATION\,PTS-STARTPTS):dts=DTS-STARTPTS"
    return {"bsf:v": f"{reorder}setts={times}"}


def peak_levels(waveform: Any, parts: int = 240) -> list[int]:
    """Returns the peaks of `parts` equal parts of a 16-bit waveform [samples, channels], in percent of full scale."""
    import numpy as np

    peaks = np.abs(waveform.astype(np.int32)).max(1)
    edges = np.linspace(0, len(peaks), min(parts, len(peaks)) + 1).astype(int)
    return [round(100 * int(peak) / 32768) for peak in np.maximum.reduceat(peaks, edges[:-1])]


def joined_curve(rhythm: Any, duration: float) -> Any:
    """Joins the curves of the windows, [windows, steps, 1 or 16], one step per second, averaged where windows overlap.

    Returns:
        [seconds, 1 or 16].
    """
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
    """Returns the entry of `outputs` for a written file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": name, "path": str(path), "size": path.stat().st_size, "sha256": digest}
