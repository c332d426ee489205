"""Training of a small CLIP (arXiv 2103.00020), of which only the image encoder is kept afterwards."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.clip.checkpoint import CONFIG_NAME
from models.clip.config import TINY, ClipConfig
from models.clip.image_encoder import ImageEncoder
from models.progress import ProgressCallback
from models.synthetic import HELD_OUT
from models.training.checkpoints import TrainingError
from models.training.data.clip_pairs import (
    CONTEXT,
    PICTURES_VERSION,
    VOCABULARY,
    PictureConfig,
    Pictures,
    compose_pictures,
    have_same_words,
    picture_batches,
)
from models.training.seeding import build_seeded
from models.training.tasks.clip_metrics import embed, measure_clip
from models.training.trainer import LoopConfig, Trainer, TrainingListener

PICTURES_FILE = "pictures.npz"
"""File in the folder of a training that keeps the composed pictures."""
MEASURES_FILE = "measured.json"
"""File in the folder of a training with the measures on held-out clips, see `measure_clip`."""
HELD_OUT_CLIPS = 64
"""The greatest number of held-out clips that are measured."""
MAX_LOGIT_SCALE = 100.0
"""The greatest factor of similarities, as in CLIP."""


@dataclass(frozen=True)
class ClipTrainingSettings:
    """Settings of the training of an image encoder of the shape `TINY`."""

    pictures: PictureConfig = field(default_factory=PictureConfig)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(500, batch=128, rate=1e-3, warmup=50, weight_decay=0.1, ema=0.99)
    )


class TextEncoder(nn.Module):
    """Maps lines of words to embeddings: a causal transformer that is read where the line ends. It is not kept.

    Args:
        embed_dim: size of an embedding.
        width, layers, heads: sizes of the transformer.
    """

    def __init__(self, embed_dim: int, width: int = 64, layers: int = 2, heads: int = 2) -> None:
        super().__init__()
        from open_clip.transformer import TextTransformer

        self.text = TextTransformer(CONTEXT, VOCABULARY, width, heads, layers, output_dim=embed_dim)

    def forward(self, words: Tensor) -> Tensor:
        """Returns embeddings [lines, embed_dim], float32, not normalized, of tokens [lines, CONTEXT]."""
        embeddings: Tensor = self.text(words)
        return embeddings.float()


class ClipTask(nn.Module):
    """Image encoder, text encoder and their contrastive loss: a picture is matched with the words about it."""

    def __init__(self, config: ClipConfig = TINY) -> None:
        super().__init__()
        # Checkpoints of trainings contain the attributes' names.
        self.tower = ImageEncoder(config).train().requires_grad_(True)
        self.words = TextEncoder(config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """Returns scalars of a batch of pixels [items, size, size, 3], 0..255, and words [items, CONTEXT].

        Returns:
            `loss`: cross-entropy in both directions, in nats; lines of the same words share the target equally.
            `accuracy`: share of the pictures whose most similar line has the same words as their own.
            `logit_scale`: the factor of similarities.
        """
        pixels, words = batch
        images, texts = (F.normalize(x, dim=-1) for x in (self.tower(pixels), self.words(words)))
        scale = self.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        logits = scale * images.float() @ texts.float().T
        same = have_same_words(words)
        targets = same / same.sum(1, keepdim=True)
        loss = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
        chosen = same.gather(1, logits.argmax(1, keepdim=True))
        return {"loss": loss, "accuracy": chosen.mean(), "logit_scale": scale}


def train_clip(
    settings: ClipTrainingSettings,
    folder: Path,
    path: Path,
    listener: TrainingListener | None = None,
    on_progress: ProgressCallback | None = None,
    device: torch.device | str = "cpu",
) -> int:
    """Trains an image encoder or resumes its training; writes it, and its measures, when its last step is done.

    Args:
        settings: pictures and training loop.
        folder: folder of pictures, checkpoints, losses and measures.
        path: path of the image encoder, `.safetensors`, see `save_image_encoder`.
        listener: receives the losses.
        on_progress: receives how many clips are composed, and of how many.
        device: device of the networks.

    Returns:
        The number of steps that are done.

    Raises:
        TrainingError: there would be held-out clips among the pictures, or the training cannot go on.
        OSError: pictures or image encoder cannot be written.
    """
    config, loop = settings.pictures, settings.loop
    if config.first + config.clips > HELD_OUT:
        raise TrainingError(
            f"clips of seeds {config.first} to {config.first + config.clips - 1} do not all train: from {HELD_OUT} on "
            "they are held out for evaluation"
        )
    pictures = _load_or_compose(config, folder / PICTURES_FILE, on_progress)
    task = build_seeded(loop.seed, ClipTask)
    batches = picture_batches(pictures, loop.batch, loop.seed)
    identity = {"pictures": asdict(config), "version": PICTURES_VERSION}
    trainer = Trainer(task, batches, loop, folder, identity=identity, listener=listener, device=device)
    if trainer.run():
        held_out = compose_pictures(replace(config, first=HELD_OUT, clips=min(config.clips, HELD_OUT_CLIPS)))
        with trainer.average_in_place():
            save_image_encoder(task.tower, pictures, path)
            measures = measure_clip(task.tower, task.words, held_out, pictures)
        (folder / MEASURES_FILE).write_text(json.dumps(measures, indent=1) + "\n", encoding="utf-8")
    return trainer.step


def _load_or_compose(config: PictureConfig, path: Path, on_progress: ProgressCallback | None) -> Pictures:
    """Loads the pictures from a file, or composes them and saves them there."""
    if path.is_file():
        try:
            pictures = Pictures.load(path)
        except ValueError:  # the file is of an older version or incomplete
            pass
        else:
            if pictures.config == config:
                return pictures
    pictures = compose_pictures(config, on_progress)
    pictures.save(path)
    return pictures


def save_image_encoder(encoder: ImageEncoder, pictures: Pictures, path: Path) -> None:
    """Writes an image encoder as a checkpoint of open_clip in half precision, with `open_clip_config.json` beside it.

    Its last projection is scaled so that the values of embeddings have a variance of about 1, over one picture of each
    clip: the networks that read them shall not depend on how long the encoder was trained.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors.torch import save

    variance = embed(encoder, pictures.pixels[:, 0]).var(0).mean()
    tensors = {name: value.detach().clone() for name, value in encoder.visual.state_dict().items()}
    tensors["proj"] *= variance.rsqrt()
    content = save({f"visual.{name}": value.cpu().half().contiguous() for name, value in tensors.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    # The weights are written last: where they exist, the configuration exists too.
    _write(path.with_name(CONFIG_NAME), (json.dumps(_raw_config(encoder.config), indent=1) + "\n").encode())
    _write(path, content)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.writing")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _raw_config(config: ClipConfig) -> dict[str, object]:
    """Returns the configuration of an image encoder in the format of open_clip."""
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
