"""The plan of a film: what is seen, and when. All times are seconds on boundaries of frames at 25 frames a second."""

from __future__ import annotations

from dataclasses import dataclass

from models.synthetic.film.palette import Color

FPS = 25.0
MOTIONS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")


@dataclass(frozen=True)
class Scene:
    """One shot: `kind` names what is drawn, `palette` its colors from ground to highlight, `speed` scales motion."""

    start: float
    stop: float
    kind: str
    palette: tuple[Color, ...]
    warmth: float
    motion: str
    speed: float
    seed: int


@dataclass(frozen=True)
class Film:
    """Scenes without gaps, `flashes` and `pulses` as (time, strength); `related`: edited to the piece it goes with."""

    seed: int
    duration: float
    related: bool
    energy: float
    warmth: float
    scenes: tuple[Scene, ...]
    flashes: tuple[tuple[float, float], ...]
    pulses: tuple[tuple[float, float], ...]

    @property
    def cuts(self) -> tuple[float, ...]:
        """Times at which a new scene's first frame is shown."""
        return tuple(scene.start for scene in self.scenes[1:])

    def scene_at(self, time: float) -> Scene:
        """The scene seen at `time`."""
        return next((s for s in reversed(self.scenes) if s.start <= time), self.scenes[0])
