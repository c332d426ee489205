"""Crops: they depend on the step alone, workers share them completely, and they stay in time with the music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.synthetic import HELD_OUT
from models.training.checkpoints import TrainingError
from models.training.data.batches import DiffusionCrops, SoundCrops, excerpt_from
from models.training.data.packed import PackedSegments, pack
from models.training.data.sounds import ComposedSounds, compose_sounds, durations_of
from models.training.sharding import SINGLE_WORKER, TrainingWorker
from models.training.tasks.diffusion import StepDraws
from models.training.tasks.diffusion_settings import Timesteps
from tests.support.training_parts import RandomSegments, config


def crops(
    worker: TrainingWorker = SINGLE_WORKER, segments: RandomSegments | None = None, **options: object
) -> DiffusionCrops:
    segments = segments or RandomSegments()
    chosen = {"shortest": 2, "longest": 6, "seed": 3} | options
    return DiffusionCrops(segments, segments.seconds, config(), 2, share=worker.share, **chosen)  # type: ignore[arg-type]


@given(st.integers(1, 64), st.integers(1, 9))
def test_shares_partition_the_batch(items: int, workers: int):
    shares = [list(range(items))[TrainingWorker(number, workers).share(items)] for number in range(workers)]
    assert [item for share in shares for item in share] == list(range(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 4), st.sampled_from(list(Timesteps)))
def test_random_numbers_of_shares_are_those_of_the_whole_batch(step: int, total: int, workers: int, kind: Timesteps):
    whole = StepDraws(1, step, total, slice(0, total))
    parts = [
        StepDraws(1, step, total, share)
        for n in range(min(workers, total))
        if (share := TrainingWorker(n, min(workers, total)).share(total))
    ]
    assert torch.equal(torch.cat([part.uniform("x") for part in parts]), whole.uniform("x"))
    assert torch.equal(torch.cat([part.timesteps(kind) for part in parts]), whole.timesteps(kind))
    assert torch.equal(torch.cat([part.normal("x", (2, 3)) for part in parts]), whole.normal("x", (2, 3)))


def test_a_step_always_has_the_same_batch_and_steps_differ():
    one, again, other = crops()(4), crops()(4), crops()(5)
    assert torch.equal(one.latents, again.latents)
    assert one.latents.shape != other.latents.shape or not torch.equal(one.latents, other.latents)


def test_the_shares_of_workers_make_the_batch():
    for step in range(6):
        whole = crops()(step)
        parts = [crops(TrainingWorker(number, 2))(step) for number in range(2)]
        assert torch.equal(torch.cat([part.latents for part in parts]), whole.latents)
        assert torch.equal(torch.cat([part.mask for part in parts]), whole.mask)
        assert [part.total for part in parts] == [whole.total] * 2


def test_batches_of_shorter_crops_have_more_items():
    for step in range(12):
        batch = crops(ending=0.0)(step)
        seconds = batch.latents.shape[-1] * 2048 / 44100
        assert len(batch.latents) == batch.total == pytest.approx(2 * 6 / seconds, abs=0.6)


def test_the_curve_stays_in_time_with_the_latents():
    """The latents of `RandomSegments` equal the curve; they must also do so after cropping, where there is music."""
    for step in range(6):
        batch = crops()(step)
        sounding = (batch.mask[:, None] > 0).expand(-1, 3, -1)
        curve = torch.stack(batch.rhythm)
        torch.testing.assert_close(batch.latents[:, :3][sounding], (curve * 2 - 1)[sounding])


def test_latents_are_zero_after_the_end():
    batch = crops(segments=RandomSegments([2]), shortest=6, longest=6)(0)
    frames = int(batch.mask[0].sum())
    assert frames == 44  # 2 s
    assert not batch.latents[:, :, frames:].any()


def test_datasets_that_cannot_be_cropped_are_refused():
    with pytest.raises(TrainingError, match="do not fit a window of 30 s"):
        crops(longest=31)
    with pytest.raises(TrainingError, match="has no segments"):
        DiffusionCrops(RandomSegments([]), [], config(), 1, shortest=1, longest=2)

    class Silent(RandomSegments):
        def segment(self, index: int, columns: object = None) -> dict:  # type: ignore[override,type-arg]
            return dict(super().segment(index, columns)) | {"latents": None}  # type: ignore[arg-type]

    with pytest.raises(TrainingError, match="no latents: prepare it with a codec"):
        crops(segments=Silent())(0)


def test_excerpts_begin_anywhere_and_are_filled_with_zeros():
    sound = np.arange(20, dtype=np.int16).reshape(10, 2)
    assert excerpt_from(sound, 0.0, 4)[0, 0] == 0
    assert excerpt_from(sound, 0.999, 4)[-1, 1] == 19
    assert excerpt_from(sound, 0.5, 12).tolist()[9:] == [[18, 19], [0, 0], [0, 0]]


def test_the_shares_of_sound_crops_make_the_batch():
    sounds = ComposedSounds(np.random.default_rng(0).integers(-9, 9, (3, 400, 2)).astype(np.int16))
    whole = SoundCrops(sounds, durations_of(sounds, 100), 64, 5, seed=1)(7)
    parts = [SoundCrops(sounds, [4.0] * 3, 64, 5, seed=1, share=TrainingWorker(n, 2).share)(7) for n in range(2)]
    assert whole.audio.shape == (5, 2, 64)
    assert torch.equal(torch.cat([part.audio for part in parts]), whole.audio)
    with pytest.raises(TrainingError, match="has no sound"):
        SoundCrops(sounds, [], 64, 5)


def test_corpus_is_composed_once(tmp_path: Path):
    first = compose_sounds(2, tmp_path, 8000, seconds=2.0, processes=1)
    assert first.sounds.shape == (2, 16000, 2)
    assert np.abs(first.sounds).max() > 20000
    written = (tmp_path / "sounds.int16").stat().st_mtime_ns
    again = compose_sounds(2, tmp_path, 8000, seconds=2.0, processes=1)
    assert np.array_equal(first.sounds, again.sounds)
    assert (tmp_path / "sounds.int16").stat().st_mtime_ns == written
    with pytest.raises(TrainingError, match="held out"):
        compose_sounds(HELD_OUT + 1, tmp_path, 8000)


def test_composing_continues_where_it_was_interrupted(tmp_path: Path):
    class Ended(Exception):
        pass

    def ended(done: int, total: int) -> None:
        if done == 2:
            raise Ended

    whole = compose_sounds(4, tmp_path / "whole", 8000, seconds=2.0, processes=1)
    with pytest.raises(Ended):
        compose_sounds(4, tmp_path / "parts", 8000, seconds=2.0, processes=1, on_progress=ended)
    with (tmp_path / "parts" / "sounds.int16.writing").open("ab") as half:
        half.write(b"half a sound")
    done: list[int] = []
    parts = compose_sounds(
        4, tmp_path / "parts", 8000, seconds=2.0, processes=1, on_progress=lambda n, _: done.append(n)
    )
    assert done == [3, 4]
    assert np.array_equal(whole.sounds, parts.sounds)


def test_packed_segments_equal_the_segments(tmp_path: Path):
    made = RandomSegments()
    pack((made.segment(i) for i in range(len(made))), made.seconds, {"codec": "x"}, "which", tmp_path)
    packed = PackedSegments(tmp_path)
    assert (len(packed), packed.settings, packed.seconds) == (3, {"codec": "x"}, made.seconds)
    assert packed.contents == "which"
    there, here = crops(segments=packed)(2), crops()(2)  # type: ignore[arg-type]
    assert torch.equal(there.latents, here.latents)
    assert torch.equal(there.features[0].semantic, here.features[0].semantic)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="no column 'sound'"):
        packed.segment(0, ("sound",))
    (tmp_path / "00000001.npz").write_bytes(b"PK")
    with pytest.raises(TrainingError, match="damaged: pack the dataset again"):
        PackedSegments(tmp_path).segment(1)
    with pytest.raises(TrainingError, match="holds no packed segments"):
        PackedSegments(tmp_path / "none")
