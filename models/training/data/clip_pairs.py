"""What the image tower learns from: pictures of composed films, as decoding presents them, and words about them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from models.clip.config import TINY
from models.synthetic import compose, edit, frames, held_out, scene_caption, stream
from models.training.checkpoints import TrainingError
from models.training.trainer import generator

VOCABULARY = 4096
"""Numbers of words: 0 stands behind the end of a line, the last one for the end itself, words are between."""
CONTEXT = 32
"""Words of a line, its end among them."""
SECONDS = 12
"""Of a clip, and so the most pictures that it can give."""
SHIFT, LEVEL = 3, 4.0
"""Pixels that a picture may be moved by, and levels of 255 that it may be brighter or darker by."""
VERSION = 1
"""Raised whenever the same seeds would look or read otherwise."""


@dataclass(frozen=True)
class PictureConfig:
    """Which pictures are composed.

    Attributes:
        first, clips: seeds of the clips: the first, and how many.
        shots: pictures of a clip, spread over it.
        draws: lines about a picture, in different wordings.

    Raises:
        TrainingError: there would be no pictures.
    """

    first: int = 0
    clips: int = 1000
    shots: int = 8
    draws: int = 4

    def __post_init__(self) -> None:
        if self.first < 0:
            raise TrainingError(f"first must be at least 0, got {self.first}")
        for name in ("clips", "shots", "draws"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.shots > SECONDS:
            raise TrainingError(f"shots must be at most {SECONDS}, the seconds of a clip, got {self.shots}")


@dataclass(frozen=True)
class Pictures:
    """Pictures, words about them, and the truth.

    Attributes:
        pixels: [clips, shots, size, size, 3] RGB, uint8.
        words: [clips, shots, draws, CONTEXT] int16, see `tokens`.
        scene_warmth, speed: [clips, shots] float32, of the scene that each picture is of.
        energy: [clips] float32, of the film.
    """

    config: PictureConfig
    pixels: npt.NDArray[np.uint8]
    words: npt.NDArray[np.int16]
    scene_warmth: npt.NDArray[np.float32]
    speed: npt.NDArray[np.float32]
    energy: npt.NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write all to a file `.npz`, which is whole or not there.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        writing = path.with_name(f"{path.name}.writing")
        arrays = {name: array for name, array in vars(self).items() if name != "config"}
        with writing.open("wb") as file:
            np.savez(file, config=np.array((VERSION, *astuple(self.config))), **arrays)
        os.replace(writing, path)

    @classmethod
    def load(cls, path: Path) -> Pictures:
        """Read what `save` wrote.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no such file, or one of another version.
        """
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            version, *config = (int(number) for number in arrays.pop("config"))
            if version != VERSION:
                raise ValueError(f"{path} holds pictures of version {version}, expected {VERSION}")
            return cls(PictureConfig(*config), **arrays)
        except OSError:
            raise
        except Exception as fault:  # a file that is cut off fails in many ways
            raise ValueError(f"{path} holds no pictures: {fault}") from fault


def tokens(line: str) -> list[int]:
    """Numbers of a line's words, CONTEXT of them: its words, the end, then zeros. Marks and capitals count for nothing.

    A word's number is a hash of it, so there is no list of words to keep.
    """
    words = re.findall(r"\w+", line.lower())[: CONTEXT - 1]
    numbers = [*map(_number, words), VOCABULARY - 1]
    return numbers + [0] * (CONTEXT - len(numbers))


def _number(word: str) -> int:
    digest = hashlib.sha256(word.encode()).digest()
    return int.from_bytes(digest[:8], "big") % (VOCABULARY - 2) + 1


def present(pictures: Tensor) -> Tensor:
    """Pictures as decoding presents them to the tower: the shorter side to its size by cubics, then the middle.

    Args:
        pictures: [pictures, height, width, 3] RGB, uint8.

    Returns:
        [pictures, size, size, 3] uint8.
    """
    side = TINY.image_size
    height, width = pictures.shape[1:3]
    shorter = min(height, width)
    size = [side * height // shorter, side * width // shorter]
    values = pictures.permute(0, 3, 1, 2).float()
    values = F.interpolate(values, size, mode="bicubic", antialias=True, align_corners=False)
    top, left = ((length - side) // 2 for length in size)
    values = values[:, :, top : top + side, left : left + side]
    return values.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def compose_pictures(config: PictureConfig, progress: Callable[[int, int], None] | None = None) -> Pictures:
    """Draw the pictures of clips and word lines about them; each clip's depend on its seed alone.

    Args:
        progress: told how many clips are done, and of how many.

    Raises:
        ValueError: clips that train and clips that are held out would be both among them.
    """
    seeds = range(config.first, config.first + config.clips)
    if held_out(seeds[0]) != held_out(seeds[-1]):
        raise ValueError(f"seeds {seeds[0]} to {seeds[-1]} are both for training and for evaluation: choose one kind")
    found = []
    for done, seed in enumerate(seeds, 1):
        found.append(_clip(seed, config))
        if progress is not None:
            progress(done, config.clips)
    pixels, words, warmth, speed, energy = (np.stack(column) for column in zip(*found, strict=True))
    return Pictures(config, pixels, words, warmth, speed, energy)


def _clip(seed: int, config: PictureConfig) -> Sequence[npt.NDArray[np.generic]]:
    """Pixels, words, warmth, speed and energy of one clip."""
    film = edit(compose(seed, SECONDS), seed)
    draws = stream(seed, "clip pictures")
    seconds = ((np.arange(config.shots) + draws.random(config.shots)) * SECONDS / config.shots).astype(int)
    seen = list(frames(film, fps=1))
    scenes = [film.scene_at(float(second)) for second in seconds]
    lines = [[tokens(scene_caption(film, scene, draws)) for _ in range(config.draws)] for scene in scenes]
    return (
        present(torch.from_numpy(np.stack([seen[second] for second in seconds]))).numpy(),
        np.array(lines, np.int16),
        np.array([scene.warmth for scene in scenes], np.float32),
        np.array([scene.speed for scene in scenes], np.float32),
        np.array(film.energy, np.float32),
    )


def picture_batches(pictures: Pictures, items: int, seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Batches by step: each clip at most once more often than another, a picture of it and a line about that.

    Pictures are mirrored, moved a little and made a little brighter or darker.

    Returns:
        Of a step: pixels [items, size, size, 3], 0..255, float32, and words [items, CONTEXT], int64.
    """
    clips, shots, draws = pictures.words.shape[:3]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        random = generator("pictures", seed, step)
        rounds = -(-items // clips)
        clip = torch.cat([torch.randperm(clips, generator=random) for _ in range(rounds)])[:items].numpy()
        shot, draw = (torch.randint(n, (items,), generator=random).numpy() for n in (shots, draws))
        seen = torch.from_numpy(pictures.pixels[clip, shot]).float()
        words = torch.from_numpy(pictures.words[clip, shot, draw]).long()
        return _varied(seen, random), words

    return batch


def _varied(seen: Tensor, random: torch.Generator) -> Tensor:
    """Pictures [items, size, size, 3] as another camera might have seen them."""
    items, size = len(seen), seen.shape[1]
    mirrored = torch.rand(items, 1, 1, 1, generator=random) < 0.5
    seen = torch.where(mirrored, seen.flip(2), seen)
    wide = F.pad(seen.permute(0, 3, 1, 2), (SHIFT,) * 4, mode="replicate")
    moves = torch.randint(2 * SHIFT + 1, (items, 2), generator=random).tolist()
    moved = [one[:, y : y + size, x : x + size] for one, (y, x) in zip(wide, moves, strict=True)]
    level = LEVEL * (2 * torch.rand(items, 1, 1, 1, generator=random) - 1)
    return (torch.stack(moved).permute(0, 2, 3, 1) + level).clamp(0, 255)
