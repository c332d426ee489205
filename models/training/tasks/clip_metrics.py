"""Measures of a CLIP on held-out clips: by classification with words, by retrieval, and by linear probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.data.clip_pairs import Pictures, have_same_words, tokenize

Floats = npt.NDArray[np.float32]

RETRIEVAL_LINES = 32
"""Number of lines among which a picture has to find its own."""
PICTURES_AT_ONCE = 256
"""Number of pictures that are embedded at a time."""
RIDGE = 1.0
"""Weight of a probe's squared coefficients, for features of variance 1."""

# Lines of each class from low to high, and the values between the classes, as in captions.
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


def measure_clip(
    image_encoder: nn.Module, text_encoder: nn.Module, held_out: Pictures, trained: Pictures
) -> dict[str, float]:
    """Measures both encoders on held-out pictures.

    Args:
        image_encoder: network that maps pixels [pictures, size, size, 3] to embeddings [pictures, embed_dim].
        text_encoder: network that maps tokens [lines, CONTEXT] to embeddings [lines, embed_dim].
        held_out: the pictures that are measured.
        trained: the pictures that linear probes are fitted on.

    Returns:
        `colors`, `energy`, `motion`: share of the pictures whose class is found with words, without any fitting (1/3,
        1/2 and 1/3 by chance). `retrieval`: share of the pictures that find their own line, or one of the same words,
        among those of 32 clips (0.03 by chance). `warmth_r2`, `energy_r2`: share of the variance that a linear probe
        explains, at most 1, below 0 if it is worse than the mean. `deviation`: root of the embeddings' mean variance.
    """
    shots = held_out.scene_warmth.shape[1]
    images = embed(image_encoder, held_out.pixels.reshape(-1, *held_out.pixels.shape[2:]))
    fitted = embed(image_encoder, trained.pixels.reshape(-1, *trained.pixels.shape[2:]))
    energy = np.repeat(held_out.energy, shots)
    fitted_energy = np.repeat(trained.energy, trained.scene_warmth.shape[1])
    with torch.inference_mode():
        texts = F.normalize(text_encoder(_lines(held_out.words[:, :, 0])), dim=-1).view(len(held_out.energy), shots, -1)
    return {
        "colors": _accuracy(text_encoder, images, COLORS, COLOR_BOUNDS, held_out.scene_warmth.reshape(-1)),
        "energy": _accuracy(text_encoder, images, ENERGY, ENERGY_BOUNDS, energy),
        "motion": _accuracy(text_encoder, images, MOTION, MOTION_BOUNDS, held_out.speed.reshape(-1)),
        "retrieval": _retrieval(F.normalize(images, dim=-1).view(texts.shape), texts, held_out),
        "warmth_r2": probe(fitted, trained.scene_warmth.reshape(-1), images, held_out.scene_warmth.reshape(-1)),
        "energy_r2": probe(fitted, fitted_energy, images, energy),
        "deviation": float(images.var(0).mean().sqrt()),
    }


def embed(image_encoder: nn.Module, pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Returns embeddings [pictures, embed_dim] of pictures [pictures, size, size, 3]."""
    device = next(image_encoder.parameters()).device
    with torch.inference_mode():
        parts = [image_encoder(part.to(device)) for part in torch.from_numpy(pixels).split(PICTURES_AT_ONCE)]
    return torch.cat(parts).cpu()


def probe(fitted: Tensor, fitted_truth: Floats, tested: Tensor, tested_truth: Floats) -> float:
    """Returns R2 of a ridge regression that is fitted on some embeddings and tested on others.

    Args:
        fitted, tested: embeddings, [pictures, embed_dim].
        fitted_truth, tested_truth: the values that are predicted, [pictures].
    """
    mean, scale = fitted.double().mean(0), fitted.double().std(0).clamp(min=1e-9)
    x, y = (fitted.double() - mean) / scale, torch.from_numpy(fitted_truth).double()
    weights = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]).double(), x.T @ (y - y.mean()))
    target = torch.from_numpy(tested_truth).double()
    residual = target - ((tested.double() - mean) / scale @ weights + y.mean())
    return float(1 - residual.square().sum() / (target - target.mean()).square().sum().clamp(min=1e-12))


def _accuracy(
    text_encoder: nn.Module, images: Tensor, classes: Sequence[Sequence[str]], bounds: Sequence[float], truth: Floats
) -> float:
    """Returns the share of image embeddings that are nearest to the words of their class."""
    with torch.inference_mode():
        lines = [text_encoder(_lines(np.array([tokenize(line) for line in words]))) for words in classes]
        centers = torch.stack([F.normalize(x, dim=-1).mean(0) for x in lines]).cpu()
    # The means are subtracted because all words, and all pictures, have much in common that tells no class.
    centers = F.normalize(centers - centers.mean(0), dim=-1)
    directions = F.normalize(images, dim=-1)
    chosen = ((directions - directions.mean(0)) @ centers.T).argmax(1).numpy()
    return float(np.mean(chosen == np.digitize(truth, bounds)))


def _retrieval(images: Tensor, texts: Tensor, held_out: Pictures) -> float:
    """Returns the share of pictures that find their line among those of `RETRIEVAL_LINES` clips.

    Args:
        images, texts: normalized embeddings, [clips, shots, embed_dim].
        held_out: the pictures and their lines.
    """
    right = []
    for shot in range(images.shape[1]):
        same = have_same_words(_lines(held_out.words[:, shot, 0]))
        for part in torch.arange(len(images)).split(RETRIEVAL_LINES):
            chosen = part[(images[part, shot] @ texts[part, shot].T).argmax(1)]
            right.append(same[part, chosen])
    return float(torch.cat(right).mean())


def _lines(words: npt.NDArray[np.integer]) -> Tensor:
    """Returns tokens [..., CONTEXT] as [lines, CONTEXT] int64."""
    return torch.from_numpy(words.reshape(-1, words.shape[-1]).astype(np.int64))
