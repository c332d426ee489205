"""Captions of films: mood, color, pace, energy and motion in several wordings. They tell nothing about the music."""

from __future__ import annotations

import numpy as np

from models.synthetic.film.palette import color_name
from models.synthetic.film.plan import Film, Scene
from models.synthetic.rng import stream

# Each table has (upper limit of the value, wordings) in rising order.
_WARMTH = (
    (0.33, ("dark cold colors", "cold dark tones", "a dark and cold palette", "dim, cool colors")),
    (0.67, ("mixed muted colors", "colors of medium brightness", "a mild palette", "muted colors")),
    (9.0, ("bright warm colors", "warm bright tones", "a light and warm palette", "sunny colors")),
)
_MOODS = {
    ("cold", "calm"): ("sad", "melancholic", "gloomy", "somber"),
    ("cold", "wild"): ("tense", "dramatic", "dark and driving", "restless"),
    ("mild", "calm"): ("calm", "thoughtful", "relaxed", "dreamy"),
    ("mild", "wild"): ("lively", "busy", "determined", "urgent"),
    ("warm", "calm"): ("peaceful", "tender", "content", "gentle"),
    ("warm", "wild"): ("happy", "joyful", "cheerful", "exciting"),
}
_MOTION = (
    (0.32, ("hardly any motion", "slow motion", "slow and still")),
    (0.75, ("moderate motion", "steady motion", "flowing motion")),
    (9.0, ("strong motion", "fast motion", "rapid movement")),
)
_PACE = (
    (0.22, ("slow cutting", "long shots", "few cuts")),
    (0.36, ("moderate cutting", "a steady rhythm of cuts", "shots of medium length")),
    (9.0, ("fast cutting", "short shots", "many quick cuts")),
)
_KINDS = {
    "circles": ("circles", "floating balls", "round shapes"),
    "star": ("a turning star", "a rotating polygon", "a spinning shape"),
    "particles": ("drifting particles", "many small dots", "sparks"),
    "skyline": ("a city skyline", "houses under the sky", "a town with a sun or moon"),
    "waves": ("rolling waves", "wavy layers", "waves"),
    "bars": ("rising and falling bars", "moving columns", "bars"),
    "stripes": ("moving stripes", "stripes", "parallel bands"),
    "checker": ("a checkerboard", "a checker pattern", "squares in a grid"),
    "plasma": ("clouds of color", "flowing colors", "a soft gradient"),
    "rings": ("rings or a spiral", "concentric rings", "a swirling spiral"),
    "rays": ("rays of light", "a fan of rays", "rotating rays"),
    "tiles": ("a mosaic of tiles", "glowing tiles", "colored squares"),
    "surface": ("a rough surface", "stone or wood close up", "a natural texture"),
    "landscape": ("hills under a cloudy sky", "a mountain landscape", "a wide valley"),
    "road": ("a road to the horizon", "a drive along a road", "a street rushing by"),
    "lights": ("city lights out of focus", "blurred lights at night", "glowing lights"),
    "face": ("a face", "a person who speaks", "a portrait"),
    "title": ("a title", "large letters", "words on the screen"),
    "dance": ("a dance", "people who dance", "dancing"),
    "conductor": ("a conductor", "someone who conducts", "a person with a baton"),
    "sport": ("sport", "an athlete", "somebody who runs and jumps"),
    "talk": ("someone who talks", "an interview", "a talking person"),
}


def scene_caption(film: Film, scene: Scene, rng: np.random.Generator) -> str:
    """Returns a line about a scene, in a random wording."""
    colors = _wording(_WARMTH, scene.warmth, rng)
    mood = _mood(scene.warmth, film.energy, rng)
    kind = _choice(_KINDS[_subject(scene)], rng)
    motion = _wording(_MOTION, scene.speed, rng)
    names = list(dict.fromkeys(color_name(color) for color in (scene.palette[0], scene.palette[2])))
    shades = " and ".join(names)
    camera = "" if scene.motion == "still" or rng.random() < 0.5 else f", {_camera(scene.motion)}"
    lines = (
        f"{colors}, {motion}, {kind}, {mood}{camera}",
        f"{kind} in {shades}, {colors}, {mood}, {motion}{camera}",
        f"a {mood} scene with {kind}, {colors} and {motion}{camera}",
        f"{mood}: {kind}, {shades}, {motion}{camera}",
    )
    return _choice(lines, rng)


def caption(film: Film) -> str:
    """Returns a line about a whole film, always the same one for the same film."""
    rng = stream(film.seed, "caption")
    pace = _wording(_PACE, len(film.cuts) / film.duration, rng)
    colors = _wording(_WARMTH, film.warmth, rng)
    motion = _wording(_MOTION, float(np.mean([scene.speed for scene in film.scenes])), rng)
    mood = _mood(film.warmth, film.energy, rng)
    kinds = ", ".join(_choice(_KINDS[kind], rng) for kind in dict.fromkeys(map(_subject, film.scenes[:3])))
    lines = (
        f"{colors}, {pace}, {motion}, {kinds}, {mood}",
        f"a {mood} video with {colors}, {pace} and {motion}: {kinds}",
        f"{mood}, {pace}, {motion}, {colors}",
    )
    return _choice(lines, rng)


def scene_captions(film: Film) -> tuple[str, ...]:
    """Returns a line for each scene, always the same ones for the same film."""
    rng = stream(film.seed, "scene captions")
    return tuple(scene_caption(film, scene, rng) for scene in film.scenes)


def _subject(scene: Scene) -> str:
    """Returns what a scene shows: its people, or else its pattern."""
    return scene.people.kind if scene.people else scene.kind


def _choice(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _wording(table: tuple[tuple[float, tuple[str, ...]], ...], value: float, rng: np.random.Generator) -> str:
    """Returns a wording of the first range whose limit is above the value."""
    return _choice(next(words for limit, words in table if value < limit), rng)


def _mood(warmth: float, energy: float, rng: np.random.Generator) -> str:
    temperature = "cold" if warmth < 0.33 else "mild" if warmth < 0.67 else "warm"
    return _choice(_MOODS[temperature, "calm" if energy < 0.5 else "wild"], rng)


def _camera(motion: str) -> str:
    if motion == "handheld":
        return "the camera is held by hand"
    verb, direction = motion.split()
    if verb == "push":
        return "the camera pushes in"
    return f"the camera {'pans' if verb == 'pan' else 'zooms'} {direction}"
