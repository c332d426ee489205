"""Transitions of composed pictures whose times are known: at the right frames, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from stages.video.cuts.detector import CutDetector, strongest
from stages.video.cuts.transitions import CUT, DISSOLVE, FADE_IN, FADE_OUT, FLASH, Transition, hit_times

RATE = 25.0


def scene(seed: int) -> np.ndarray:
    """A still picture [90, 160, 3] of large smooth shapes."""
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (160, 90), interpolation=cv2.INTER_CUBIC))


def found(frames: list[np.ndarray], times: np.ndarray | None = None) -> list[Transition]:
    detector = CutDetector()
    for frame, time in zip(frames, np.arange(len(frames)) / RATE if times is None else times, strict=True):
        detector.add(frame, float(time))
    return detector.transitions()


@pytest.mark.parametrize(("gain", "base"), [(1.0, 0), (0.1, 20)])
def test_hard_cuts_of_bright_and_of_dark_grey_film(gain: float, base: int) -> None:
    frames = [np.rint(scene(i // 40) * gain + base).astype(np.uint8) for i in range(200)]
    transitions = found(frames)
    assert [transition.kind for transition in transitions] == [CUT] * 4
    assert hit_times(transitions) == pytest.approx([1.6, 3.2, 4.8, 6.4])
    assert min(transition.confidence for transition in transitions) > 0.5


def test_times_are_those_of_the_timestamps() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.4, 80))
    assert hit_times(found([scene(i // 40) for i in range(80)], times)) == pytest.approx([times[40]])


@pytest.mark.parametrize("shares", [(0.6,), (1.0, 1.0), (0.9, 0.7, 0.5, 0.35, 0.2)])
@pytest.mark.parametrize("color", [255, 0])
def test_a_flash_is_no_cut_and_has_its_time(shares: tuple[float, ...], color: int) -> None:
    frames = [scene(1)] * 60
    for number, share in enumerate(shares):
        frames[30 + number] = np.rint(scene(1) * (1 - share) + color * share).astype(np.uint8)
    (flash,) = found(frames)
    assert flash.kind == FLASH
    assert flash.start == pytest.approx(30 / RATE)
    assert 30 / RATE < flash.end <= (30 + len(shares)) / RATE + 1e-9
    assert hit_times([flash]) == []


def test_a_short_shot_of_another_picture_is_no_flash() -> None:
    frames = [scene(1)] * 30 + [scene(2)] * 5 + [scene(1)] * 30
    assert [transition.kind for transition in found(frames)] == [CUT, CUT]


def test_a_cut_in_a_flash_stays_a_cut() -> None:
    frames = [scene(1)] * 30 + [scene(2)] * 30
    for number in range(3):
        frames[30 + number] = np.rint(scene(2) * 0.3 + 178).astype(np.uint8)
    assert hit_times(found(frames)) == pytest.approx([30 / RATE])


def test_a_fade_out_and_in_is_an_end_and_no_hit() -> None:
    shares = np.concatenate([np.ones(40), np.linspace(1, 0, 20), np.zeros(10), np.linspace(0, 1, 20), np.ones(40)])
    frames = [np.rint(scene(int(i > 64)) * share).astype(np.uint8) for i, share in enumerate(shares)]
    out, into = found(frames)
    assert (out.kind, into.kind) == (FADE_OUT, FADE_IN)
    assert (out.start, into.end) == pytest.approx((40 / RATE, 90 / RATE), abs=0.15)
    assert hit_times([out, into]) == []


def test_the_middle_of_a_dissolve() -> None:
    shares = np.concatenate([np.zeros(40), np.linspace(0, 1, 26), np.ones(40)])
    (transition,) = found([np.rint(scene(1) * (1 - s) + scene(2) * s).astype(np.uint8) for s in shares])
    assert transition.kind == DISSOLVE
    assert transition.time == pytest.approx(52.5 / RATE, abs=0.12)


def test_a_video_of_one_frame_or_none_has_no_transitions() -> None:
    assert found([]) == []
    assert found([scene(1)]) == []


def test_the_strongest_of_near_frames_is_kept() -> None:
    assert strongest({3: 0.5, 4: 0.9, 5: 0.9, 9: 0.4}, 2) == [(4, 0.9), (9, 0.4)]
