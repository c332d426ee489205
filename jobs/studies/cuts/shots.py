"""Shots for composed films: photographs before which figures move, composed clips, drawings, titles and screens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jobs.options import SettingsError
from models.synthetic import compose, edit, frames

Pixels = npt.NDArray[np.uint8]
Shot = Pixels
"""Frames of one shot, BGR, [frames, 180, 320, 3]."""

WIDE, HIGH = 320, 180  # size of a shot in pixels
LENGTH = 70  # frames of a shot


def photographs(folder: Path) -> list[Pixels]:
    """Returns the pictures of a folder, BGR, [height, width, 3], in the order of their names.

    Raises:
        SettingsError: the folder has no picture.
    """
    import cv2

    found = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in sorted(folder.glob("*")) if path.is_file()]
    pictures = [np.asarray(picture, np.uint8) for picture in found if picture is not None]
    if not pictures:
        raise SettingsError(f"{folder} has no picture: name a folder with photographs (png, jpg)")
    return [_at_least(picture) for picture in pictures]


def _at_least(picture: Pixels) -> Pixels:
    """Returns the picture enlarged until a shot fits into it, and a little more."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(1.0, 1.3 * WIDE / width, 1.3 * HIGH / height)
    return np.asarray(cv2.resize(picture, (round(width * scale), round(height * scale))), np.uint8)


def shot_of(kind: str, rng: np.random.Generator, photos: Sequence[Pixels]) -> Shot:
    """Returns a random shot for a kind of film (`jobs.studies.cuts.films.KINDS`)."""
    if kind == "titles" and rng.random() < 0.6:
        return _title(rng)
    if kind == "screen":
        return _screen(rng)
    if kind == "animation":
        return _animation(rng)
    choice = rng.random()
    if photos and choice < 0.6:
        return _photographed(rng, photos)
    if choice < 0.85:
        return _textured(rng)
    return _animation(rng)


def _photographed(rng: np.random.Generator, photos: Sequence[Pixels]) -> Shot:
    """Returns a part of a photograph, before which figures cut out of photographs move."""
    ground = _part(rng, photos, WIDE, HIGH)
    figures = [_Figure(rng, photos) for _ in range(int(rng.integers(0, 4)))]
    pictures = []
    for number in range(LENGTH):
        picture = ground.astype(np.float32)
        for figure in figures:
            figure.paint(picture, number)
        pictures.append(np.rint(picture).astype(np.uint8))
    return np.stack(pictures)


def _part(rng: np.random.Generator, photos: Sequence[Pixels], width: int, height: int) -> Pixels:
    """Returns a random part of a random photograph, of any color mood, in a size."""
    import cv2

    photo = photos[int(rng.integers(len(photos)))]
    wide = rng.uniform(0.5, 1.0) * min(photo.shape[1], photo.shape[0] * width / height)
    tall = wide * height / width
    left, top = rng.uniform(0, photo.shape[1] - wide), rng.uniform(0, photo.shape[0] - tall)
    part = photo[int(top) : int(top + tall), int(left) : int(left + wide)]
    sized = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    moved = sized * rng.uniform(0.6, 1.2) * rng.uniform(0.85, 1.15, 3) + rng.uniform(-15, 15)
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


class _Figure:
    """A soft ellipse of a photograph that goes its way, sways, and comes nearer or goes off."""

    def __init__(self, rng: np.random.Generator, photos: Sequence[Pixels]) -> None:
        import cv2

        tall = int(rng.uniform(0.2, 1.1) * HIGH)
        wide = max(8, int(tall * rng.uniform(0.3, 0.9)))
        self.picture = _part(rng, photos, wide, tall)
        mask = np.zeros((tall, wide), np.float32)
        cv2.ellipse(mask, ((wide / 2, tall / 2), (wide * 0.9, tall * 0.95), 0), (1.0,), -1)
        self.mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.5), np.float32)[..., None]
        self.at = rng.uniform(-0.1, 1.1, 2) * (WIDE, HIGH)
        self.speed = rng.normal(0, 1, 2) * (3.5, 1.0)
        self.sway, self.turn, self.phase = rng.uniform(0, 9), rng.uniform(0.05, 0.5), rng.uniform(0, 6.3)
        self.growth = float(rng.choice((0, 0, 0.006, -0.006)))

    def paint(self, picture: npt.NDArray[np.float32], number: int) -> None:
        """Paints the figure of one frame over a picture, in place."""
        import cv2

        scale = max(0.2, 1 + self.growth * number)
        size = max(4, int(self.mask.shape[1] * scale)), max(4, int(self.mask.shape[0] * scale))
        own, mask = cv2.resize(self.picture, size), cv2.resize(self.mask, size)[..., None]
        sway = self.sway * np.sin(self.turn * number + self.phase)
        left, top = (int(v) for v in self.at + self.speed * number + (sway, 0.4 * sway) - np.array(size) / 2)
        x0, y0, x1, y1 = max(0, left), max(0, top), min(WIDE, left + size[0]), min(HIGH, top + size[1])
        if x0 < x1 and y0 < y1:
            own, mask = (
                own[y0 - top : y1 - top, x0 - left : x1 - left],
                mask[y0 - top : y1 - top, x0 - left : x1 - left],
            )
            picture[y0:y1, x0:x1] += (own - picture[y0:y1, x0:x1]) * mask


def _textured(rng: np.random.Generator) -> Shot:
    """Returns a shot of the composed corpus."""
    film = edit(compose(int(rng.integers(1 << 30)), 4.0), int(rng.integers(1 << 30)), "none")
    pictures = [p[..., ::-1] for _, p in zip(range(LENGTH), frames(film, WIDE, HIGH), strict=False)]
    bounds = [0, *(round(cut * 25) for cut in film.cuts if cut < 2.8), len(pictures)]
    longest = int(np.argmax(np.diff(bounds)))
    return np.stack(pictures[bounds[longest] : bounds[longest + 1]])


def _animation(rng: np.random.Generator) -> Shot:
    """Returns flat colored shapes that move before a flat ground."""
    import cv2

    ground, count = rng.integers(0, 256, 3), int(rng.integers(2, 9))
    places, speeds = rng.uniform(0, 1, (count, 2)) * (WIDE, HIGH), rng.normal(0, 3, (count, 2))
    sizes, colors, round_ = rng.integers(8, 60, count), rng.integers(0, 256, (count, 3)), rng.random(count) < 0.5
    hold = int(rng.integers(1, 3))
    pictures = []
    for number in range(LENGTH):
        picture = np.full((HIGH, WIDE, 3), ground, np.uint8)
        at = (places + speeds * (number // hold * hold)) % (WIDE, HIGH)
        for (x, y), size, color, is_round in zip(at.astype(int).tolist(), sizes.tolist(), colors, round_, strict=True):
            shade = color.tolist()
            if is_round:
                cv2.circle(picture, (x, y), size, shade, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(picture, (x - size, y - size // 2), (x + size, y + size // 2), shade, -1)
        pictures.append(picture)
    return np.stack(pictures)


def _title(rng: np.random.Generator) -> Shot:
    """Returns a card with a few lines of writing on black, or black alone."""
    picture = np.zeros((HIGH, WIDE, 3), np.uint8)
    size, lines = int(rng.integers(4, 30)), int(rng.integers(0, 4))
    y = (HIGH - lines * 2 * size) // 2
    for _ in range(lines):
        half = int(rng.integers(30, 110))
        x = WIDE // 2 - half
        while x < WIDE // 2 + half:
            wide = int(rng.integers(1, size))
            picture[max(y, 0) : y + size, x : x + wide] = rng.integers(150, 256)
            x += wide + max(2, size // 5)
        y += 2 * size
    return np.repeat(picture[None], 60, 0)


def _screen(rng: np.random.Generator) -> Shot:
    """Returns a page of text that is still, scrolls, or is written on, as a recording of a screen shows it."""
    import cv2

    light = bool(rng.random() < 0.6)
    paper = int(rng.integers(200, 256)) if light else int(rng.integers(0, 50))
    page = np.full((3 * HIGH, WIDE, 3), paper, np.uint8)
    left, y = int(rng.integers(8, 90)), 12
    while y < 3 * HIGH:
        x = left
        while x < WIDE - 20 and rng.random() < 0.92:
            wide = int(rng.integers(6, 36))
            ink = (255 - paper, 255 - paper, 255 - paper) if rng.random() < 0.9 else rng.integers(0, 256, 3).tolist()
            page[y : y + 5, x : x + wide : int(rng.integers(1, 3))] = ink
            x += wide + 6
        y += 12 if rng.random() < 0.85 else 30
    if rng.random() < 0.5:
        cv2.rectangle(page, (0, 0), (left - 6, 3 * HIGH), rng.integers(0, 256, 3).tolist(), -1)
    speed = float(rng.choice((0.0, 0.0, 2.0, 6.0, 14.0)))
    pictures = []
    for number in range(LENGTH):
        top = int(min(speed * number, 2 * HIGH - 1))
        picture = page[top : top + HIGH].copy()
        if speed == 0:
            cv2.rectangle(picture, (left, 100), (left + 3 * number, 106), (90, 160, 60), -1)
        pictures.append(picture)
    return np.stack(pictures)
