"""Fits the network that judges hard cuts (`stages.video.cuts.hard_cuts`) on composed films.

It is the command `diff-v2m experiment fit-cuts`. Films of even seeds are fitted; those of odd seeds are held out, and
their shots come from other photographs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from jobs.studies.cuts.films import KINDS, Material, composed_film, corpus_film
from jobs.studies.cuts.shots import Pixels, photographs
from stages.video.cuts.hard_cuts import CONTEXT, cut_features, judged_frames, mirrored
from stages.video.cuts.measures import Planes, Values, differences, signature
from stages.video.cuts.transitions import CUT

HIDDEN = 64  # units of the network
NOISE = 0.15  # standard deviation of what is added to the features, in theirs
BATCH = 512
CORPUS_SEED = 1 << 28  # of the first film of the composed corpus; clips of `corpus make` have smaller ones


@dataclass(frozen=True)
class Examples:
    """Possible cuts of one film.

    Attributes:
        features: [possible cuts, features] (`cut_features`).
        is_cut: [possible cuts] 0 or 1.
        missed: cuts of the film that differ so little that they are not even judged.
    """

    features: Values
    is_cut: Values
    missed: int


def half(photos: Sequence[Pixels], seed: int) -> list[Pixels]:
    """Returns the photographs for a seed: every second one for even seeds, and the others for odd ones."""
    return list(photos[seed % 2 :: 2])


def films(seeds: Sequence[int], photos: Sequence[Pixels]) -> Iterator[Material]:
    """Yields a film of each kind and one of the composed corpus for each seed."""
    for seed in seeds:
        for kind in KINDS:
            yield composed_film(kind, seed, half(photos, seed))
        yield corpus_film(CORPUS_SEED + seed)


def examples(film: Material) -> Examples:
    """Returns the possible cuts of a film with their truth."""
    small = np.stack([signature(frame) for frame in film.frames])
    planes = Planes(np.concatenate([small[:1].repeat(CONTEXT, 0), small, small[-1:].repeat(CONTEXT, 0)]))
    neighbors = np.zeros((len(small) + 2 * CONTEXT, 4), np.float32)
    numbers = np.arange(1, len(neighbors))
    neighbors[1:] = differences(planes, numbers - 1, numbers)
    at = judged_frames(neighbors)
    at = at[(at >= CONTEXT) & (at < CONTEXT + len(small))]
    cuts = {truth.start for truth in film.truth if truth.kind == CUT}
    is_cut = np.array([n - CONTEXT in cuts for n in at], np.float32)
    return Examples(cut_features(planes, neighbors, at), is_cut, len(cuts) - int(is_cut.sum()))


def fit(parts: Sequence[Examples], steps: int) -> dict[str, list[float] | list[list[float]]]:
    """Returns the weights of a network fitted to possible cuts, seen forward and backward.

    Args:
        parts: the possible cuts of many films.
        steps: steps of AdamW.
    """
    torch.manual_seed(0)
    features = np.concatenate([part.features for part in parts])
    is_cut = np.concatenate([part.is_cut for part in parts])
    mean, scale = features.mean(0), features.std(0) + 1e-3
    both = np.concatenate([features, mirrored(features)])
    inputs = torch.from_numpy(((both - mean) / scale).astype(np.float32))
    goals = torch.from_numpy(np.concatenate([is_cut, is_cut])) * 0.98 + 0.01
    inner, outer = nn.Linear(features.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    optimizer = torch.optim.AdamW([*inner.parameters(), *outer.parameters()], weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (BATCH,), generator=generator)
        seen = inputs[chosen] + NOISE * torch.randn(BATCH, inputs.shape[1], generator=generator)
        loss = nn.functional.binary_cross_entropy_with_logits(outer(torch.tanh(inner(seen)))[:, 0], goals[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    weights = {
        "mean": mean,
        "scale": scale,
        "inner": inner.weight.detach().numpy().T,
        "inner_bias": inner.bias.detach().numpy(),
        "outer": outer.weight.detach().numpy()[0],
        "outer_bias": outer.bias.detach().numpy()[0],
    }
    return {name: np.round(np.asarray(value, np.float64), 4).tolist() for name, value in weights.items()}


def fit_cuts(pictures: Path, out: Path, *, seeds: int = 40, steps: int = 20_000) -> str:
    """Composes films, fits the network, writes its weights, and returns a line about it.

    Args:
        pictures: folder of photographs.
        out: JSON file that takes the weights.
        seeds: number of seeds, each a film of every kind.
        steps: steps of the fit.

    Raises:
        SettingsError: the folder has no picture.
    """
    photos = photographs(pictures)
    parts = [examples(film) for film in films(range(0, 2 * seeds, 2), photos)]
    out.write_text(json.dumps(fit(parts, steps)) + "\n")
    judged, cuts = (sum(count) for count in zip(*((len(p.is_cut), int(p.is_cut.sum())) for p in parts), strict=True))
    missed = sum(part.missed for part in parts)
    return f"{len(parts)} films, {judged} possible cuts judged, {cuts} of them cuts; {missed} cuts are too faint"
