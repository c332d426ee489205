"""The training of the small CLIP: its pictures and words, its loss, and the file of its image encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.clip.checkpoint import clip_config
from models.clip.config import TINY
from models.clip.image_encoder import load_image_encoder
from models.synthetic import HELD_OUT, compose, edit, frames, scene_captions
from models.training.checkpoints import TrainingError
from models.training.data.clip_pairs import (
    CONTEXT,
    VOCABULARY,
    PictureConfig,
    Pictures,
    compose_pictures,
    have_same_words,
    picture_batches,
    resize_and_crop,
    tokenize,
)
from models.training.seeding import build_seeded
from models.training.tasks.clip import (
    ClipTask,
    ClipTrainingSettings,
    save_image_encoder,
    train_clip,
)
from models.training.tasks.clip_metrics import measure_clip
from models.training.trainer import LoopConfig

SETTINGS = ClipTrainingSettings(
    PictureConfig(clips=12, shots=2, draws=2), loop=LoopConfig(steps=6, batch=12, warmup=2, ema=0.5, checkpoint_every=3)
)


pytestmark = pytest.mark.usefixtures("one_thread")


def untrained_task() -> ClipTask:
    return build_seeded(SETTINGS.loop.seed, ClipTask)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return compose_pictures(SETTINGS.pictures)


def test_words_always_become_the_same_tokens():
    one = tokenize("A sad scene with waves: dim, cool colors")
    assert one == tokenize("a sad scene with waves dim cool colors")
    assert one[:3] == [2049, 1066, 2391]
    assert len(one) == CONTEXT
    assert max(one) == one[8] == VOCABULARY - 1
    assert not any(one[9:])
    assert len(tokenize("word " * 99)) == CONTEXT


def test_few_words_of_the_captions_share_a_token():
    lines = [line for seed in range(20) for line in scene_captions(edit(compose(seed, 12), seed))]
    words = {word for line in lines for word in line.replace(",", " ").replace(":", " ").split()}
    assert max(len(line.split()) for line in lines) < CONTEXT
    assert len({tokenize(word)[0] for word in words}) >= 0.95 * len(words)


def test_captions_of_the_same_words_are_no_negatives():
    lines = ("sad, slow motion, waves", "waves: slow motion, sad", "happy, slow motion, waves", "sad, slow motion")
    same = have_same_words(torch.tensor([tokenize(line) for line in lines]))
    expected = torch.eye(4)
    expected[0, 1] = expected[1, 0] = 1
    torch.testing.assert_close(same, expected)


def test_pictures_of_the_same_caption_share_the_target():
    """Two pictures with the same caption cannot be told apart, so the least loss is log 2."""
    task = untrained_task().eval()
    pixels = torch.zeros(2, 64, 64, 3)
    words = torch.tensor([tokenize("sad, waves"), tokenize("waves, sad")])
    words[1] = words[0]
    with torch.no_grad():
        losses = task((pixels, words), 0)
    assert losses["loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert losses["accuracy"] == 1


def test_pictures_are_resized_as_in_decoding():
    film = edit(compose(3, 4), 3)
    batch = torch.from_numpy(np.stack(list(frames(film, fps=1))))
    shown = resize_and_crop(batch)
    assert shown.shape == (4, 64, 64, 3)
    assert shown.dtype == torch.uint8
    middle = batch[:, :, 56:200].float().mean((1, 2))  # the middle square of 256 by 144
    torch.testing.assert_close(shown.float().mean((1, 2)), middle, atol=2.0, rtol=0)


def test_pictures_depend_on_the_seeds_alone(pictures: Pictures, tmp_path: Path):
    again = compose_pictures(PictureConfig(first=5, clips=1, shots=2, draws=2))
    assert np.array_equal(again.pixels[0], pictures.pixels[5])
    assert np.array_equal(again.words[0], pictures.words[5])
    pictures.save(tmp_path / "table.npz")
    back = Pictures.load(tmp_path / "table.npz")
    assert np.array_equal(back.pixels, pictures.pixels)
    assert np.array_equal(back.energy, pictures.energy)


def test_batches_depend_on_the_step_alone(pictures: Pictures):
    batches = picture_batches(pictures, 8, 1)
    (one, words), (again, same) = batches(4), picture_batches(pictures, 8, 1)(4)
    assert torch.equal(one, again)
    assert torch.equal(words, same)
    assert not torch.equal(one, batches(5)[0])
    assert one.shape == (8, 64, 64, 3)
    assert 0 <= one.min() < one.max() <= 255


def test_held_out_clips_are_not_trained_on(tmp_path: Path):
    with pytest.raises(TrainingError, match="held out"):
        train_clip(ClipTrainingSettings(PictureConfig(HELD_OUT - 1, 2)), tmp_path, tmp_path / "clip.safetensors")
    with pytest.raises(ValueError, match="both"):
        compose_pictures(PictureConfig(HELD_OUT - 1, 2))


def test_the_loss_falls_within_twenty_steps(pictures: Pictures):
    task = untrained_task()
    optimizer = torch.optim.AdamW(task.parameters(), 1e-3)
    batches = picture_batches(pictures, 12, 0)
    losses = []
    for step in range(20):
        loss = task(batches(step), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:4])


def test_a_saved_image_encoder_is_one_of_open_clip(tmp_path: Path, pictures: Pictures):
    """The file gives the same embeddings, except for float16 and their scale, which has a variance of 1."""
    task = untrained_task()
    path = tmp_path / "clip.safetensors"
    save_image_encoder(task.tower, pictures, path)
    encoder = load_image_encoder(str(path))
    assert clip_config(str(path)) == encoder.config == TINY
    some = torch.from_numpy(pictures.pixels[:, 0])
    with torch.inference_mode():
        before, after = task.tower(some), encoder(some)
    scale = before.var(0).mean().rsqrt()
    torch.testing.assert_close(after, before * scale, rtol=1e-2, atol=2e-2)
    assert after.var(0).mean().sqrt() == pytest.approx(1, abs=0.01)


def test_a_resumed_training_writes_the_same_file(tmp_path: Path):
    """The second training has two calls, of which the first one reaches its time limit at once."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train_clip(SETTINGS, whole, whole / "clip.safetensors") == 6
    measures = json.loads((whole / "measured.json").read_text())
    assert 0 <= measures["colors"] <= 1
    for seconds, done in ((1e-9, False), (0.0, True)):
        loop = LoopConfig(**{**vars(SETTINGS.loop), "seconds": seconds})
        settings = ClipTrainingSettings(SETTINGS.pictures, loop=loop)
        assert (train_clip(settings, parts, parts / "clip.safetensors") == 6) == done
        assert (parts / "clip.safetensors").exists() == done
    assert (whole / "clip.safetensors").read_bytes() == (parts / "clip.safetensors").read_bytes()


def test_measures_of_untrained_encoders(pictures: Pictures):
    task, held_out = untrained_task(), compose_pictures(PictureConfig(HELD_OUT, 32, 2, 1))
    measured = measure_clip(task.tower, task.words, held_out, pictures)
    assert set(measured) >= {"colors", "energy", "motion", "retrieval", "warmth_r2", "energy_r2", "deviation"}
    assert all(0 <= measured[name] <= 1 for name in ("colors", "energy", "motion"))
    assert measured["retrieval"] < 0.3


def test_the_shipped_encoder_orders_held_out_clips_by_warmth(pictures: Pictures):
    """A direction in the raw embeddings, fitted on a few clips, orders other films by warmth."""
    held_out, encoder = compose_pictures(PictureConfig(HELD_OUT, 12, 2, 1)), load_image_encoder("tiny")
    with torch.inference_mode():
        fitted, tested = (
            encoder(torch.from_numpy(p.pixels).flatten(0, 1)).view(12, 2, -1) for p in (pictures, held_out)
        )
    warm, cold = (fitted[torch.from_numpy(side)].mean(0) for side in (_side(pictures, True), _side(pictures, False)))
    order = (tested.mean(1) @ (warm - cold)).numpy()
    assert np.corrcoef(order, held_out.scene_warmth.mean(1))[0, 1] > 0.8


def _side(pictures: Pictures, warm: bool) -> np.ndarray:
    middle = float(np.median(pictures.scene_warmth))
    return (pictures.scene_warmth > middle) if warm else (pictures.scene_warmth < middle)
