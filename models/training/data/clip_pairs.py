"""Training data of the image encoder: pictures of composed films, resized as in decoding, and words about them."""

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
from models.progress import ProgressCallback
from models.synthetic import compose, edit, frames, held_out, scene_caption, stream
from models.training.checkpoints import TrainingError
from models.training.seeding import seeded_generator

VOCABULARY = 4096
"""Number of tokens: 0 fills a line after its end, the last token is the end itself, and words are those between."""
CONTEXT = 32
"""Number of tokens in a line, including its end."""
SECONDS = 12
"""Duration of a clip, and so the greatest number of pictures that are taken from it."""
MAX_SHIFT, MAX_BRIGHTNESS_CHANGE = 3, 4.0
"""Greatest shift of a picture in pixels, and greatest change of its brightness in levels of 255."""
PICTURES_VERSION = 1
"""Version of the pictures, raised whenever the same seeds would give other pictures or words."""


@dataclass(frozen=True)
class PictureConfig:
    """The choice of pictures that are composed.

    Attributes:
        first: seed of the first clip; the others have the next seeds.
        clips: number of clips.
        shots: pictures per clip, spread over it.
        draws: lines per picture, in different wordings.

    Raises:
        TrainingError: a number is out of its range.
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
    """Pictures, words about them, and the true values that the words describe.

    Attributes:
        config: the choice of pictures.
        pixels: RGB, uint8, [clips, shots, size, size, 3].
        words: tokens, int16, [clips, shots, draws, CONTEXT], see `tokenize`.
        scene_warmth, speed: warmth and speed of the scene of each picture, float32, [clips, shots].
        energy: energy of the film, float32, [clips].
    """

    config: PictureConfig
    pixels: npt.NDArray[np.uint8]
    words: npt.NDArray[np.int16]
    scene_warmth: npt.NDArray[np.float32]
    speed: npt.NDArray[np.float32]
    energy: npt.NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Writes everything to a file `.npz`; there is never an incomplete file at the path.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.writing")
        arrays = {name: array for name, array in vars(self).items() if name != "config"}
        with temporary.open("wb") as file:
            np.savez(file, config=np.array((PICTURES_VERSION, *astuple(self.config))), **arrays)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Pictures:
        """Reads a file that `save` wrote.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no such file, or a file of another version.
        """
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            version, *config = (int(number) for number in arrays.pop("config"))
            if version != PICTURES_VERSION:
                raise ValueError(f"{path} holds pictures of version {version}, expected {PICTURES_VERSION}")
            return cls(PictureConfig(*config), **arrays)
        except OSError:
            raise
        except Exception as error:  # a truncated file raises many types of errors
            raise ValueError(f"{path} holds no pictures: {error}") from error


def tokenize(line: str) -> list[int]:
    """Returns the CONTEXT tokens of a line: its words, the end, then zeros. Punctuation and capitals are ignored.

    The token of a word is a hash of it, so no list of words has to be kept.
    """
    words = re.findall(r"\w+", line.lower())[: CONTEXT - 1]
    tokens = [*map(_token, words), VOCABULARY - 1]
    return tokens + [0] * (CONTEXT - len(tokens))


def have_same_words(words: Tensor) -> Tensor:
    """Returns which lines [lines, CONTEXT] have the same words, in any order: [lines, lines], 1 or 0, float32."""
    ordered = words.sort(dim=1).values
    return (ordered[:, None] == ordered[None]).all(-1).float()


def _token(word: str) -> int:
    digest = hashlib.sha256(word.encode()).digest()
    return int.from_bytes(digest[:8], "big") % (VOCABULARY - 2) + 1


def resize_and_crop(pictures: Tensor) -> Tensor:
    """Returns pictures as decoding prepares them for the image encoder: [pictures, size, size, 3], uint8.

    The shorter side is resized to the size of the encoder by cubic interpolation, then the middle is cut out.

    Args:
        pictures: RGB, uint8, [pictures, height, width, 3].
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


def compose_pictures(config: PictureConfig, on_progress: ProgressCallback | None = None) -> Pictures:
    """Draws the pictures of clips and writes lines about them; those of a clip depend on its seed alone.

    Args:
        config: the choice of pictures.
        on_progress: receives how many clips are done, and of how many.

    Raises:
        ValueError: there would be both clips for training and held-out clips among them.
    """
    seeds = range(config.first, config.first + config.clips)
    if held_out(seeds[0]) != held_out(seeds[-1]):
        raise ValueError(f"seeds {seeds[0]} to {seeds[-1]} are both for training and for evaluation: choose one kind")
    found = []
    for done, seed in enumerate(seeds, 1):
        found.append(_clip(seed, config))
        if on_progress is not None:
            on_progress(done, config.clips)
    pixels, words, warmth, speed, energy = (np.stack(column) for column in zip(*found, strict=True))
    return Pictures(config, pixels, words, warmth, speed, energy)


def _clip(seed: int, config: PictureConfig) -> Sequence[npt.NDArray[np.generic]]:
    """Returns pixels, words, warmth, speed and energy of one clip."""
    film = edit(compose(seed, SECONDS), seed, "none")
    draws = stream(seed, "clip pictures")
    seconds = ((np.arange(config.shots) + draws.random(config.shots)) * SECONDS / config.shots).astype(int)
    film_frames = list(frames(film, fps=1))
    scenes = [film.scene_at(float(second)) for second in seconds]
    lines = [[tokenize(scene_caption(film, scene, draws)) for _ in range(config.draws)] for scene in scenes]
    return (
        resize_and_crop(torch.from_numpy(np.stack([film_frames[second] for second in seconds]))).numpy(),
        np.array(lines, np.int16),
        np.array([scene.warmth for scene in scenes], np.float32),
        np.array([scene.speed for scene in scenes], np.float32),
        np.array(film.energy, np.float32),
    )


def picture_batches(pictures: Pictures, items: int, seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Returns a function that makes the batch of a step: a random picture and a line about it from each clip.

    A batch takes each clip at most once more often than another. Pictures are mirrored, shifted a little and made a
    little brighter or darker at random.

    Returns:
        Function of the step that returns pixels [items, size, size, 3], 0..255, float32, and words [items, CONTEXT],
        int64.
    """
    clips, shots, draws = pictures.words.shape[:3]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        random = seeded_generator("pictures", seed, step)
        rounds = -(-items // clips)
        clip = torch.cat([torch.randperm(clips, generator=random) for _ in range(rounds)])[:items].numpy()
        shot, draw = (torch.randint(n, (items,), generator=random).numpy() for n in (shots, draws))
        pixels = torch.from_numpy(pictures.pixels[clip, shot]).float()
        words = torch.from_numpy(pictures.words[clip, shot, draw]).long()
        return _augmented(pixels, random), words

    return batch


def _augmented(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Returns pictures [items, size, size, 3] mirrored, shifted and brightened at random."""
    items, size = len(pixels), pixels.shape[1]
    mirrored = torch.rand(items, 1, 1, 1, generator=random) < 0.5
    pixels = torch.where(mirrored, pixels.flip(2), pixels)
    padded = F.pad(pixels.permute(0, 3, 1, 2), (MAX_SHIFT,) * 4, mode="replicate")
    shifts = torch.randint(2 * MAX_SHIFT + 1, (items, 2), generator=random).tolist()
    shifted = [one[:, y : y + size, x : x + size] for one, (y, x) in zip(padded, shifts, strict=True)]
    change = MAX_BRIGHTNESS_CHANGE * (2 * torch.rand(items, 1, 1, 1, generator=random) - 1)
    return (torch.stack(shifted).permute(0, 2, 3, 1) + change).clamp(0, 255)
