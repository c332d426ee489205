"""The plan of a film. All times are in seconds and lie on the boundaries of frames at 25 frames per second."""

from __future__ import annotations

from dataclasses import dataclass

from models.synthetic.film.palette import Color
from models.synthetic.film.people.choreography import Beats, People

FPS = 25.0
MOTIONS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")
MORE_MOTIONS = (*MOTIONS, "handheld", "push in")
_UNSEEN = 2 / FPS  # seconds after a cut in which no movement is seen yet
TRANSITIONS = ("cut", "jump", "dissolve", "fade")
"""How a scene begins: at once, at once with the same thing seen otherwise, out of the one before, or out of black."""


@dataclass(frozen=True)
class Scene:
    """A scene between two cuts.

    Attributes:
        start, stop: times in seconds.
        kind: what is drawn, a key of `models.synthetic.film.picture.PATTERNS`.
        palette: five colors from background to highlight.
        warmth: warmth of the colors, 0..1.
        motion: motion of the camera, one of `MORE_MOTIONS`.
        speed: factor of all motion.
        seed: seed of the pattern.
        transition: how the scene begins, one of `TRANSITIONS`.
        transition_seconds: how long that takes, from `start` on.
        skip: seconds of the pattern's motion that are left out before the scene, after a jump.
        zoom: size of what is seen beside the usual one; larger is nearer.
        beside: another scene that is shown in the right half of the picture.
        people: people before what is drawn; their moves have times of the film.
    """

    start: float
    stop: float
    kind: str
    palette: tuple[Color, ...]
    warmth: float
    motion: str
    speed: float
    seed: int
    transition: str = "cut"
    transition_seconds: float = 0.0
    skip: float = 0.0
    zoom: float = 1.0
    beside: Scene | None = None
    people: People | None = None


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
        opening, closing: seconds in which the film comes out of black and goes back.
        grain: deviation of the noise of the film stock, of 255.
    """

    seed: int
    duration: float
    related: bool
    energy: float
    warmth: float
    scenes: tuple[Scene, ...]
    flashes: tuple[tuple[float, float], ...]
    pulses: tuple[tuple[float, float], ...]
    opening: float = 0.0
    closing: float = 0.0
    grain: float = 0.0

    @property
    def cuts(self) -> tuple[float, ...]:
        """Times at which the first frame of a new scene is shown at once, without a dissolve or fade."""
        return tuple(scene.start for scene in self.scenes[1:] if scene.transition in ("cut", "jump"))

    @property
    def people(self) -> str:
        """Kind of the people in the film, or `none`."""
        return next((scene.people.kind for scene in self.scenes if scene.people), "none")

    @property
    def people_share(self) -> float:
        """Share of the film's time that has people."""
        return sum(scene.stop - scene.start for scene in self.scenes if scene.people) / self.duration

    @property
    def people_styles(self) -> tuple[str, ...]:
        """Styles of the movement of people, in alphabetical order."""
        return tuple(sorted({scene.people.style for scene in self.scenes if scene.people}))

    @property
    def people_follow(self) -> str:
        """What people move to: `music`, `other piece`, `own tempo` or `chance`; `none` if there are no people."""
        follows = next((scene.people.follows for scene in self.scenes if scene.people), "none")
        return "other piece" if follows == "music" and not self.related else follows

    @property
    def kinematic_beats(self) -> Beats:
        """Times and strengths of the moments at which the movement of people who are seen stops or turns.

        Those in the dark of opening and closing, and those right after a cut, are not seen.
        """
        light = 0.3 * self.opening, self.duration - 0.3 * self.closing
        return tuple(
            beat
            for scene in self.scenes
            if scene.people
            for beat in scene.people.kinematic_beats(max(scene.start + _UNSEEN, light[0]), min(scene.stop, light[1]))
        )

    def scene_at(self, time: float) -> Scene:
        """Returns the scene at a time."""
        return next((s for s in reversed(self.scenes) if s.start <= time), self.scenes[0])
