"""What an image tower knows of clips that it never saw: by the words of its text tower, and by linear probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.data.clip_pairs import Pictures, tokens

if TYPE_CHECKING:
    from models.training.tasks.clip import ClipTask

Values = npt.NDArray[np.float32]

GROUP = 32
"""Lines that a picture's own is found among."""
PICTURES = 256
"""Pictures that are embedded at a time."""
RIDGE = 1.0
"""Weight of a probe's squared coefficients, over features of variance 1."""

# Words of each class from low to high, and the values between the classes, as captions have them.
COLORS = (
    ("dark cold colors", "cold dark tones", "a dark and cold palette", "dim, cool colors"),
    ("mixed muted colors", "colors of medium brightness", "a mild palette", "muted colors"),
    ("bright warm colors", "warm bright tones", "a light and warm palette", "sunny colors"),
)
COLOR_BOUNDS = (0.33, 0.67)
ENERGY = (
    ("sad", "gloomy", "calm", "relaxed", "peaceful", "gentle"),
    ("tense", "restless", "lively", "urgent", "happy", "exciting"),
)
ENERGY_BOUNDS = (0.5,)
MOTION = (
    ("hardly any motion", "slow motion", "slow and still"),
    ("moderate motion", "steady motion", "flowing motion"),
    ("strong motion", "fast motion", "rapid movement"),
)
MOTION_BOUNDS = (0.32, 0.75)


def measure_clip(task: ClipTask, held: Pictures, pictures: Pictures) -> dict[str, float]:
    """Measure both towers on held-out pictures.

    Args:
        held: what is measured on.
        pictures: what the probes are fitted on.

    Returns:
        `colors`, `energy`, `motion`: share of the pictures whose class is found by words, without any fitting (by
        chance 1/3, 1/2, 1/3). `retrieval`: share of the pictures that find their own line, or one of the same words,
        among 32 of as many clips (by chance 0.03). `warmth_r2`, `energy_r2`: share of the variance that a linear probe
        explains, at most 1, below 0 if it is worse than the mean. `deviation`: root of the embeddings' mean variance.
    """
    shots = held.scene_warmth.shape[1]
    seen = embedded(task.tower, held.pixels.reshape(-1, *held.pixels.shape[2:]))
    known = embedded(task.tower, pictures.pixels.reshape(-1, *pictures.pixels.shape[2:]))
    energy = np.repeat(held.energy, shots)
    fitted_energy = np.repeat(pictures.energy, pictures.scene_warmth.shape[1])
    with torch.inference_mode():
        said = F.normalize(task.words(_words(held.words[:, :, 0])), dim=-1).view(len(held.energy), shots, -1)
    return {
        "colors": _found(task, seen, COLORS, COLOR_BOUNDS, held.scene_warmth.reshape(-1)),
        "energy": _found(task, seen, ENERGY, ENERGY_BOUNDS, energy),
        "motion": _found(task, seen, MOTION, MOTION_BOUNDS, held.speed.reshape(-1)),
        "retrieval": _retrieval(F.normalize(seen, dim=-1).view(said.shape), said, held),
        "warmth_r2": probe(known, pictures.scene_warmth.reshape(-1), seen, held.scene_warmth.reshape(-1)),
        "energy_r2": probe(known, fitted_energy, seen, energy),
        "deviation": float(seen.var(0).mean().sqrt()),
    }


def embedded(tower: nn.Module, pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Embeddings [pictures, embed_dim] of pictures [pictures, size, size, 3]."""
    device = next(tower.parameters()).device
    with torch.inference_mode():
        parts = [tower(part.to(device)) for part in torch.from_numpy(pixels).split(PICTURES)]
    return torch.cat(parts).cpu()


def probe(known: Tensor, truth: Values, asked: Tensor, wanted: Values) -> float:
    """R2 of a ridge regression: fitted on embeddings `known` and their `truth`, tried on `asked` and `wanted`."""
    middle, scale = known.double().mean(0), known.double().std(0).clamp(min=1e-9)
    x, y = (known.double() - middle) / scale, torch.from_numpy(truth).double()
    weights = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]).double(), x.T @ (y - y.mean()))
    target = torch.from_numpy(wanted).double()
    left = target - ((asked.double() - middle) / scale @ weights + y.mean())
    return float(1 - left.square().sum() / (target - target.mean()).square().sum().clamp(min=1e-12))


def _found(
    task: ClipTask, seen: Tensor, classes: Sequence[Sequence[str]], bounds: Sequence[float], truth: Values
) -> float:
    """Share of embeddings that are nearest to the words of their class."""
    with torch.inference_mode():
        lines = [task.words(_words(np.array([tokens(line) for line in words]))) for words in classes]
        centers = torch.stack([F.normalize(x, dim=-1).mean(0) for x in lines]).cpu()
    # From its mean: all words and all pictures have much in common that says nothing.
    centers = F.normalize(centers - centers.mean(0), dim=-1)
    directions = F.normalize(seen, dim=-1)
    chosen = ((directions - directions.mean(0)) @ centers.T).argmax(1).numpy()
    return float(np.mean(chosen == np.digitize(truth, bounds)))


def _retrieval(seen: Tensor, said: Tensor, held: Pictures) -> float:
    """Share of pictures [clips, shots, dim] that find their line [clips, shots, dim] among those of `GROUP` clips."""
    from models.training.tasks.clip import same_words

    right = []
    for shot in range(seen.shape[1]):
        same = same_words(_words(held.words[:, shot, 0]))
        for part in torch.arange(len(seen)).split(GROUP):
            chosen = part[(seen[part, shot] @ said[part, shot].T).argmax(1)]
            right.append(same[part, chosen])
    return float(torch.cat(right).mean())


def _words(words: npt.NDArray[np.integer]) -> Tensor:
    """[..., CONTEXT] -> [lines, CONTEXT] int64."""
    return torch.from_numpy(words.reshape(-1, words.shape[-1]).astype(np.int64))
