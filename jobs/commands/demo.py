"""Three short videos with known cuts, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.video.ffmpeg import Limits, run

SIZE, RATE = "320x180", 25


@dataclass(frozen=True)
class Scene:
    """A stretch of a demo video: an ffmpeg picture source, and how long it is shown, in seconds."""

    source: str
    seconds: float


VIDEOS = {
    "sunrise": (Scene("gradients=c0=orange:c1=yellow:c2=red:n=3:seed=1:speed=0.02", 4.0),
                Scene("gradients=c0=gold:c1=white:n=2:seed=2:speed=0.05", 4.0)),
    "city": (Scene("testsrc2", 2.0), Scene("cellauto=rule=110:seed=3", 1.5), Scene("testsrc2", 1.0),
             Scene("gradients=c0=blue:c1=black:n=2:seed=4:speed=0.2", 2.5), Scene("smptehdbars", 1.0)),
    "night": (Scene("gradients=c0=navy:c1=black:n=2:seed=5:speed=0.01", 6.0),
              Scene("life=ratio=0.1:seed=6:mold=20:life_color=white:death_color=blue", 6.0)),
}  # fmt: skip


def cuts_of(scenes: tuple[Scene, ...]) -> list[float]:
    """Seconds at which one scene gives way to the next."""
    times, at = [], 0.0
    for scene in scenes[:-1]:
        at += scene.seconds
        times.append(at)
    return times


class DemoError(ValueError):
    """The demo has no place to write to, in one line."""


def make_videos(folder: Path) -> list[Path]:
    """Write the demo videos into a folder and give their paths.

    Raises:
        DemoError: the folder cannot be made.
    """
    if str(folder).startswith(("s3:", "gs:")):
        raise DemoError("the demo writes to a local folder; score takes buckets")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DemoError(f"cannot make {folder}: {fault.strerror}") from fault
    return [_make(folder / f"{name}.mp4", scenes) for name, scenes in VIDEOS.items()]


def _make(path: Path, scenes: tuple[Scene, ...]) -> Path:
    import ffmpeg

    pictures = [_picture(ffmpeg, scene) for scene in scenes]
    joined = ffmpeg.concat(*pictures, v=1, a=0) if len(pictures) > 1 else pictures[0]
    command = ffmpeg.output(joined, f"file:{path}", vcodec="libx264", pix_fmt="yuv420p", preset="veryfast", threads=1)
    outcome = run(command.get_args(), Limits(deadline=120.0, memory=2 << 30))
    if outcome.code != 0:
        raise RuntimeError(f"ffmpeg could not make {path.name}: {outcome.errors[-1:]}")
    return path


def _picture(ffmpeg: Any, scene: Scene) -> Any:
    name, _, options = scene.source.partition("=")
    source = f"{name}={options}:size={SIZE}:rate={RATE}" if options else f"{name}=size={SIZE}:rate={RATE}"
    shown = ffmpeg.input(source, f="lavfi").filter("trim", end_frame=round(scene.seconds * RATE))
    return shown.filter("setsar", 1).filter("format", "yuv420p")
