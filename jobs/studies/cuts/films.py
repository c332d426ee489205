"""Composed films with exact cuts: shots of several sources, seen by still and moving cameras, joined in every way.

A seed always gives the same film.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.studies.cuts.shots import HIGH, WIDE, Pixels, Shot, shot_of
from models.synthetic import compose, edit, frames
from stages.video.cuts.transitions import CUT, DISSOLVE, FADE_IN, FADE_OUT, FLASH
from stages.video.ffmpeg import ffmpeg_binary

WIDTH, HEIGHT = 160, 90  # size of the composed films in pixels, which is that of the frames for the detectors
RATES = (24.0, 25.0, 30.0, 50.0, 12.5)
FLASH_FRAMES = 4  # frames in which a flash of the composed corpus dies away

KINDS = (
    "plain", "dark grey", "letterbox", "flashes", "whip pans", "shake", "screen", "animation", "dissolves", "fades",
    "montage", "low rate", "angles", "titles",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """A transition that is known.

    Attributes:
        kind: one of the kinds of `stages.video.cuts.transitions`.
        start, end: numbers of frames: the first that differs from the shot before, and the first that shows the next
            shot alone. They are equal for a hard cut.
    """

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Material:
    """A film with its transitions.

    Attributes:
        name: a word for the table.
        frames: BGR, [frames, 90, 160, 3].
        rate: frames per second.
        truth: the transitions, in the order of their times.
    """

    name: str
    frames: Pixels
    rate: float
    truth: tuple[Truth, ...]


def composed_film(kind: str, seed: int, photos: Sequence[Pixels], shots: int = 8) -> Material:
    """Returns a film of one of `KINDS`, coded as films are; a seed always gives the same film.

    Args:
        kind: what is difficult about it.
        seed: seed of every choice.
        photos: photographs for the shots (`jobs.studies.cuts.shots.photographs`).
        shots: number of shots.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    rate = 10.0 if kind == "low rate" else float(rng.choice(RATES))
    parts, source = list[Pixels](), None
    for number in range(shots):
        length = int(rate * (rng.uniform(0.12, 0.6) if kind == "montage" else rng.uniform(0.8, 2.6)))
        before = source
        while source is before and not (kind == "angles" and number % 4):  # a cut within one shot may change nothing
            source = shot_of(kind, rng, photos)
        assert source is not None
        part = _seen(source, max(3, length), kind, rng, number)
        parts.append(_crossed(part, rng) if kind == "angles" and rng.random() < 0.3 else part)
    film, truth = _joined(parts, kind, rate, rng)
    if kind == "flashes":
        film, flashes = _flashed(film, [cut.start for cut in truth], rng, rate)
        truth = sorted([*truth, *flashes], key=lambda one: one.start)
    return Material(kind, _graded(film, kind, rng), rate, tuple(truth))


def _crossed(part: Pixels, rng: np.random.Generator) -> Pixels:
    """Lets something large and blurred pass before the camera, which is no cut."""
    lasting, wide = int(rng.integers(4, 12)), int(rng.integers(40, 150))
    part, when = part.copy(), int(rng.integers(len(part)))
    color = rng.integers(0, 256, 3)
    for number in range(when, min(len(part), when + lasting)):
        right = int((number - when + 1) / lasting * (WIDTH + wide))
        part[number, 10:, max(0, right - wide) : right] = color
    return part


def _seen(shot: Shot, length: int, kind: str, rng: np.random.Generator, number: int) -> Pixels:
    """Returns `length` frames of a shot as a camera sees them: [length, 90, 160, 3].

    Each camera of "angles" has a view of its own, according to its number.
    """
    import cv2

    step = float(rng.choice((0.5, 1, 1, 1, 1.5, 2))) if kind != "low rate" else 2.5
    first = int(rng.integers(max(1, len(shot) - int(length * step))))
    turn = np.arange(first, first + length) * step
    # A shot that is too short runs back and forth.
    place = np.abs((turn + len(shot) - 1) % max(2 * len(shot) - 2, 1) - (len(shot) - 1)).astype(int)
    width = WIDE * rng.uniform(0.55, 1.0)
    if kind in ("whip pans", "shake"):
        width = WIDE * rng.uniform(0.45, 0.7)
    if kind == "angles":
        width = WIDE * (0.4, 0.85, 0.45, 0.6)[number % 4]
    if kind == "titles":
        width = WIDE * 1.0
    height, room = width * HIGH / WIDE, (WIDE - width, HIGH - width * HIGH / WIDE)
    start = rng.uniform(0, 1, 2) * room
    if kind == "angles":
        start = np.array(((0.1, 0.2), (0.5, 0.5), (0.9, 0.8), (0.9, 0.1))[number % 4]) * room
    path = np.repeat(start[None], length, 0)
    if kind == "whip pans":
        when, lasting = int(rng.integers(length)), int(rng.integers(3, 12))
        goal = rng.uniform(0, 1, 2) * room
        share = np.clip((np.arange(length) - when) / lasting, 0, 1)[:, None]
        path = start + (goal - start) * share
    elif kind == "shake":
        path = start + rng.normal(0, rng.uniform(2, 9), (length, 2))
    elif kind != "titles" and rng.random() < 0.5:
        path = start + np.arange(length)[:, None] * rng.normal(0, 1.0, 2)
    path = np.clip(path, 0, room)
    zoom = 1 - rng.choice((0, 0, 0 if kind == "titles" else 0.15)) * np.arange(length) / length
    seen: list[np.ndarray] = []
    before = path[0]
    mirrored = bool(rng.random() < 0.5)
    for turn_number, (x, y) in zip(place.tolist(), path, strict=True):
        scale = WIDTH / (width * zoom[len(seen)])
        matrix = np.array([[scale, 0, -x * scale], [0, HEIGHT / height / zoom[len(seen)], -y * scale]])
        picture = cv2.warpAffine(
            shot[turn_number], matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
        )
        blur = int(min(24, abs(x - before[0]) * scale * 0.6))
        if kind == "whip pans" and blur > 1:
            picture = cv2.blur(picture, (blur, 1))
        before = (x, y)
        seen.append(picture[:, ::-1] if mirrored else picture)
    return np.stack(seen)


def _joined(parts: Sequence[Pixels], kind: str, rate: float, rng: np.random.Generator) -> tuple[Pixels, list[Truth]]:
    """Joins shots by hard cuts, or by what the kind of film demands for three of four joints."""
    film, truth = parts[0].astype(np.float32), list[Truth]()
    for part in parts[1:]:
        other = part.astype(np.float32)
        gradual = rng.random() < 0.75
        most = min(len(film) - (truth[-1].end if truth else 0), len(other) // 2) - 3
        if kind == "dissolves" and gradual and most >= 3:
            count = int(np.clip(rate * rng.uniform(0.3, 2.0), 3, most))
            share = ((np.arange(count) + 1) / (count + 1))[:, None, None, None]
            truth.append(Truth(DISSOLVE, len(film) - count, len(film)))
            mixed = film[-count:] * (1 - share) + other[:count] * share
            film = np.concatenate([film[:-count], mixed, other[count:]])
        elif kind == "fades" and gradual and most >= 3:
            film, more = _faded(film, other, rate, rng, most)
            truth += more
        else:
            truth.append(Truth(CUT, len(film), len(film)))
            film = np.concatenate([film, other])
    return np.rint(film).astype(np.uint8), truth


def _faded(
    film: npt.NDArray[np.float32], other: npt.NDArray[np.float32], rate: float, rng: np.random.Generator, most: int
) -> tuple[npt.NDArray[np.float32], list[Truth]]:
    """Joins two shots through black, or white: out and in, or with a hard cut on one of the sides."""
    color = np.float32(255 if rng.random() < 0.25 else 0)
    form = int(rng.integers(4))  # 0, 1: out and in; 2: out alone; 3: in alone
    out, into = (int(np.clip(rate * rng.uniform(0.25, 1.5), 4, most)) for _ in range(2))
    hold = np.full((int(rate * rng.uniform(0.1, 0.6)) + 1, HEIGHT, WIDTH, 3), color, np.float32)
    film, other, truth = film.copy(), other.copy(), list[Truth]()
    if form != 3:
        share = ((np.arange(out) + 1) / out)[:, None, None, None].astype(np.float32)
        film[-out:] += (color - film[-out:]) * share
        truth.append(Truth(FADE_OUT, len(film) - out, len(film) - 1))
    else:
        truth.append(Truth(CUT, len(film), len(film)))
    begin = len(film) + len(hold)
    if form != 2:
        share = (np.arange(into) / into)[:, None, None, None].astype(np.float32)
        other[:into] = color + (other[:into] - color) * share
        truth.append(Truth(FADE_IN, begin + 1, begin + into))
    else:
        truth.append(Truth(CUT, begin, begin))
    return np.concatenate([film, hold, other]), truth


def _flashed(film: Pixels, cuts: Sequence[int], rng: np.random.Generator, rate: float) -> tuple[Pixels, list[Truth]]:
    """Brightens the whole picture, or a part of it, for one frame to a fifth of a second, about once a second.

    A flash over a cut is part of the film, but not of what must be found.
    """
    bright, truth = film.astype(np.float32), list[Truth]()
    for _ in range(int(len(film) / rate) + 2):
        when, count = int(rng.integers(len(film))), int(rng.integers(1, max(2, int(rate / 5))))
        strength, dark = rng.uniform(0.4, 1.0), bool(rng.random() < 0.2)
        left = int(rng.integers(0, WIDTH // 2)) if rng.random() < 0.3 else 0
        for number in range(when, min(len(film), when + count)):
            share = np.float32(strength * (1 - (number - when) / count))
            goal = np.float32(0 if dark else 255)
            bright[number, :, left:] += (goal - bright[number, :, left:]) * share
        end = min(len(film), when + count)
        if not any(when <= cut <= end for cut in cuts):
            truth.append(Truth(FLASH, when, end))
    return np.rint(bright).astype(np.uint8), truth


def _graded(film: Pixels, kind: str, rng: np.random.Generator) -> Pixels:
    """Gives a film its final look: exposure, grain, black bars, and the marks of lossy coding."""
    picture = film.astype(np.float32)
    if kind == "dark grey" or (kind not in ("screen", "fades") and rng.random() < 0.15):
        gray = picture @ np.array([0.114, 0.587, 0.299], np.float32)
        left = np.float32(rng.uniform(0.0, 0.3) if kind == "dark grey" else rng.uniform(0.3, 1))
        picture = gray[..., None] + (picture - gray[..., None]) * left
        picture = picture * np.float32(rng.uniform(0.07, 0.3)) + np.float32(rng.uniform(4, 30))
    grain = rng.choice((0.0, 2.0, 5.0)) if kind != "screen" else 0.0
    if grain:
        noise = rng.normal(0, grain, (8, HEIGHT, WIDTH, 1)).astype(np.float32)
        picture = picture + noise[rng.integers(0, 8, len(film))]
    whole = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    if kind == "letterbox" or rng.random() < 0.1:
        bar = int(rng.integers(6, 20))
        if rng.random() < 0.75:
            whole[:, :bar] = whole[:, -bar:] = 0
        else:
            whole[:, :, : bar * 2] = whole[:, :, -bar * 2 :] = 0
    return recoded(whole, int(rng.integers(18, 33)))


def recoded(film: Pixels, quality: int) -> Pixels:
    """Returns the frames after lossy coding by H.264 with a constant rate factor."""
    ffmpeg, size = [ffmpeg_binary(), "-v", "error"], ["-s", f"{WIDTH}x{HEIGHT}", "-pix_fmt", "bgr24"]
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(quality), "-pix_fmt", "yuv420p", "-threads", "1"]
    to_file = [*ffmpeg, "-f", "rawvideo", *size, "-i", "-", *coding, "-f", "matroska", "-"]
    coded = subprocess.run(to_file, input=film.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    back = [*ffmpeg, "-i", "-", "-f", "rawvideo", "-pix_fmt", "bgr24", "-fps_mode", "passthrough", "-"]
    raw = subprocess.run(back, input=coded, stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def corpus_film(seed: int, seconds: float = 24.0) -> Material:
    """Returns a film of the composed corpus, as its clips show it."""
    film, rate = edit(compose(seed, seconds), seed, "none"), 25.0
    pictures = np.stack([p[..., ::-1] for p in frames(film, WIDTH, HEIGHT)])
    cuts = [round(cut * rate) for cut in film.cuts]
    truth = [Truth(CUT, cut, cut) for cut in cuts]
    kinds = {"dissolve": DISSOLVE, "fade": FADE_IN}
    for scene in film.scenes[1:]:
        if scene.transition in kinds:
            first, last = round(scene.start * rate), round((scene.start + scene.transition_seconds) * rate)
            truth.append(Truth(kinds[scene.transition], first, last))
    for time, _ in film.flashes:
        first = round(time * rate)
        if not any(abs(first - cut) <= FLASH_FRAMES for cut in cuts):
            truth.append(Truth(FLASH, first, first + FLASH_FRAMES))
    truth.sort(key=lambda one: one.start)
    return Material("composed corpus", recoded(pictures, 20), rate, tuple(truth))
