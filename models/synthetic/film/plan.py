"""The plan of a film. All times are in seconds and lie on the boundaries of frames at 25 frames per second."""

from __future__ import annotations

from dataclasses import dataclass

from models.synthetic.film.palette import Color

FPS = 25.0
MOTIONS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")


@dataclass(frozen=True)
class Scene:
    """A scene between two cuts.

    Attributes:
        start, stop: times in seconds.
        kind: what is drawn, a key of `models.synthetic.film.picture.KINDS`.
        palette: five colors from background to highlight.
        warmth: warmth of the colors, 0..1.
        motion: motion of the camera, one of `MOTIONS`.
        speed: factor of all motion.
        seed: seed of the pattern.
    """

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
    """A film.

    Attributes:
        seed: seed of the film.
        duration: duration in seconds.
        related: whether the film is edited to the piece that it goes with.
        energy, warmth: mood of the film, 0..1 each.
        scenes: scenes without gaps.
        flashes, pulses: (time, strength) of moments at which the picture brightens, or brightens and swells.
    """

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
        """Times at which the first frame of a new scene is shown."""
        return tuple(scene.start for scene in self.scenes[1:])

    def scene_at(self, time: float) -> Scene:
        """Returns the scene at a time."""
        return next((s for s in reversed(self.scenes) if s.start <= time), self.scenes[0])
