"""A small CLIP (arXiv 2103.00020): an image tower learns what words say of pictures, and is kept without the words."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.clip.checkpoint import CONFIG_NAME
from models.clip.config import TINY, ClipConfig
from models.clip.image_encoder import ImageTower
from models.synthetic import HELD_OUT
from models.training.checkpoints import TrainingError
from models.training.data.clip_pairs import (
    CONTEXT,
    VERSION,
    VOCABULARY,
    PictureConfig,
    Pictures,
    compose_pictures,
    picture_batches,
    tokens,
)
from models.training.tasks.clip_metrics import embedded, measure_clip
from models.training.trainer import LoopConfig, Trainer, Watcher

__all__ = [
    "ClipTask",
    "ClipTraining",
    "WordTower",
    "fresh_task",
    "measure_clip",
    "same_words",
    "save_tower",
    "tokens",
    "train_clip",
]

TABLE = "pictures.npz"
"""File of a training's folder that keeps the composed pictures."""
MEASURED = "measured.json"
"""File of a training's folder that says what the tower knows of clips that it never saw, see `measure_clip`."""
HELD = 64
"""Held-out clips that it is measured on, at most."""
SHARPEST = 100.0
"""Greatest factor of similarities, as in CLIP."""


@dataclass(frozen=True)
class ClipTraining:
    """How an image tower of the shape `TINY` is trained."""

    pictures: PictureConfig = field(default_factory=PictureConfig)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(500, batch=128, rate=1e-3, warmup=50, weight_decay=0.1, ema=0.99)
    )


class WordTower(nn.Module):
    """Lines of words to embeddings: a causal transformer, read where the line ends. It is not kept after the training.

    Args:
        width, layers, heads: of the transformer.
        embed_dim: numbers of one embedding.
    """

    def __init__(self, embed_dim: int, width: int = 64, layers: int = 2, heads: int = 2) -> None:
        super().__init__()
        from open_clip.transformer import TextTransformer

        self.text = TextTransformer(CONTEXT, VOCABULARY, width, heads, layers, output_dim=embed_dim)

    def forward(self, words: Tensor) -> Tensor:
        """[lines, CONTEXT] of `tokens` -> [lines, embed_dim] float32, not normalised."""
        embeddings: Tensor = self.text(words)
        return embeddings.float()


class ClipTask(nn.Module):
    """Both towers and their loss: of all pairs in a batch, a picture and the words about it belong together."""

    def __init__(self, config: ClipConfig = TINY) -> None:
        super().__init__()
        self.tower = ImageTower(config).train().requires_grad_(True)
        self.words = WordTower(config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Losses, scalars, of pixels [items, size, size, 3], 0..255, and words [items, CONTEXT].

        Returns:
            `loss`: cross-entropy of both directions, in nats; lines that say the same share the target equally.
            `accuracy`: share of the pictures that choose a line which says the same as theirs.
        """
        pixels, words = batch
        seen, said = (F.normalize(x, dim=-1) for x in (self.tower(pixels), self.words(words)))
        scale = self.logit_scale.exp().clamp(max=SHARPEST)
        logits = scale * seen.float() @ said.float().T
        same = same_words(words)
        targets = same / same.sum(1, keepdim=True)
        loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        chosen = same.gather(1, logits.argmax(1, keepdim=True))
        return {"loss": loss, "accuracy": chosen.mean(), "logit_scale": scale}


def same_words(words: Tensor) -> Tensor:
    """Which lines [lines, CONTEXT] have the same words, in any order: [lines, lines], 1 or 0, float32."""
    ordered = words.sort(dim=1).values
    return (ordered[:, None] == ordered[None]).all(-1).float()


def fresh_task(settings: ClipTraining) -> ClipTask:
    """Towers that know nothing, the same ones for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.loop.seed)
        return ClipTask()


def train_clip(
    settings: ClipTraining,
    folder: Path,
    path: Path,
    watcher: Watcher | None = None,
    progress: Callable[[int, int], None] | None = None,
    device: torch.device | str = "cpu",
) -> int:
    """Train an image tower, or go on; write it, and what it knows of held-out clips, when its last step is done.

    Args:
        folder: of pictures, checkpoints, losses and measures.
        path: of the tower, `.safetensors`, as `save_tower` writes it.
        watcher: told the losses.
        progress: told how many clips are composed, and of how many.

    Returns:
        How many steps are done.

    Raises:
        TrainingError: there would be held-out clips among the pictures, or the training cannot go on.
        OSError: pictures or tower cannot be written.
    """
    wanted = settings.pictures
    if wanted.first + wanted.clips > HELD_OUT:
        raise TrainingError(
            f"clips of seeds {wanted.first} to {wanted.first + wanted.clips - 1} do not all train: from {HELD_OUT} on "
            "they are held out for evaluation"
        )
    pictures = _pictures(wanted, folder / TABLE, progress)
    task = fresh_task(settings)
    loop = settings.loop
    batches = picture_batches(pictures, loop.batch, loop.seed)
    identity = {"pictures": asdict(wanted), "version": VERSION}
    trainer = Trainer(task, batches, loop, folder, identity=identity, watcher=watcher, device=device)
    if trainer.run():
        held = compose_pictures(replace(wanted, first=HELD_OUT, clips=min(wanted.clips, HELD)))
        with trainer.average_in_place():
            save_tower(task.tower, pictures, path)
            known = measure_clip(task, held, pictures)
        (folder / MEASURED).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return trainer.step


def _pictures(config: PictureConfig, path: Path, progress: Callable[[int, int], None] | None) -> Pictures:
    """The pictures from a file, or composed and kept there."""
    if path.is_file():
        try:
            pictures = Pictures.load(path)
        except ValueError:  # of an older version, or half written
            pass
        else:
            if pictures.config == config:
                return pictures
    pictures = compose_pictures(config, progress)
    pictures.save(path)
    return pictures


def save_tower(tower: ImageTower, pictures: Pictures, path: Path) -> None:
    """Write an image tower as a checkpoint of open_clip in half precision, `open_clip_config.json` beside it.

    Its embeddings are scaled such that a number of them has a variance of about 1, over one picture of each clip: the
    networks that read them are not to depend on how long the tower learned.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors.torch import save

    variance = embedded(tower, pictures.pixels[:, 0]).var(0).mean()
    tensors = {name: value.detach().clone() for name, value in tower.visual.state_dict().items()}
    tensors["proj"] *= variance.rsqrt()
    content = save({f"visual.{name}": value.cpu().half().contiguous() for name, value in tensors.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    # The weights last: where they are, all is there.
    _write(path.with_name(CONFIG_NAME), (json.dumps(_raw_config(tower.config), indent=1) + "\n").encode())
    _write(path, content)


def _write(path: Path, content: bytes) -> None:
    writing = path.with_name(f"{path.name}.writing")
    writing.write_bytes(content)
    os.replace(writing, path)


def _raw_config(config: ClipConfig) -> dict[str, object]:
    """A tower's shape as open_clip words it."""
    return {
        "model_cfg": {
            "embed_dim": config.embed_dim,
            "quick_gelu": config.quick_gelu,
            "vision_cfg": {
                "image_size": config.image_size,
                "patch_size": config.patch_size,
                "width": config.width,
                "layers": config.layers,
                "head_width": config.width // config.heads,
            },
        },
        "preprocess_cfg": {"mean": list(config.mean), "std": list(config.std)},
    }
