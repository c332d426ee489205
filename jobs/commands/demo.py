"""The command `demo`: three short videos with known cuts, made on the spot and scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.commands.score import score_sources
from jobs.exits import ALL_DONE, SOME_FAILED, exit_on_error
from jobs.options import Json, Seed, SettingsError, Verbosity, expand_options
from jobs.score_options import ScoreOptions

SIZE, FRAME_RATE = "320x180", 25


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


@expand_options
def demo_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the videos and results.")] = Path(
        "diff-v2m-demo"
    ),
    seed: Seed = 0,
    verbosity: Verbosity = Verbosity(),
    as_json: Json = False,
) -> None:
    """Make three short videos with known cuts, and score them."""
    with exit_on_error(verbosity=verbosity):
        videos = make_videos(out / "videos")
        options = ScoreOptions(sources=[str(video) for video in videos], out=str(out / "scored"), seed=seed)
        failed = bool(score_sources(options, as_json=as_json).failures)
    raise typer.Exit(SOME_FAILED if failed else ALL_DONE)


def cuts_of(scenes: tuple[Scene, ...]) -> list[float]:
    """Seconds at which one scene gives way to the next."""
    times, at = [], 0.0
    for scene in scenes[:-1]:
        at += scene.seconds
        times.append(at)
    return times


def make_videos(folder: Path) -> list[Path]:
    """Writes the demo videos into a folder and returns their paths.

    Raises:
        SettingsError: the folder cannot be made.
    """
    if str(folder).startswith(("s3:", "gs:")):
        raise SettingsError("the demo writes to a local folder; score takes buckets")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make {folder}: {error.strerror}") from error
    return [_make_video(folder / f"{name}.mp4", scenes) for name, scenes in VIDEOS.items()]


def _make_video(path: Path, scenes: tuple[Scene, ...]) -> Path:
    import ffmpeg

    from stages.video.child_process import Limits
    from stages.video.ffmpeg import run_ffmpeg

    pictures = [_scene_frames(ffmpeg, scene) for scene in scenes]
    joined = ffmpeg.concat(*pictures, v=1, a=0) if len(pictures) > 1 else pictures[0]
    command = ffmpeg.output(joined, f"file:{path}", vcodec="libx264", pix_fmt="yuv420p", preset="veryfast", threads=1)
    result = run_ffmpeg(command.get_args(), Limits(deadline=120.0, memory=2 << 30))
    if result.code != 0:
        raise RuntimeError(f"ffmpeg could not make {path.name}: {result.errors[-1:]}")
    return path


def _scene_frames(ffmpeg: Any, scene: Scene) -> Any:
    """The frames of a scene, as a node of ffmpeg-python's graph."""
    name, _, options = scene.source.partition("=")
    picture_format = f"size={SIZE}:rate={FRAME_RATE}"
    source = f"{name}={options}:{picture_format}" if options else f"{name}={picture_format}"
    shown = ffmpeg.input(source, f="lavfi").filter("trim", end_frame=round(scene.seconds * FRAME_RATE))
    return shown.filter("setsar", 1).filter("format", "yuv420p")
