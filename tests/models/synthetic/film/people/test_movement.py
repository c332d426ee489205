"""People stop or turn at the arrivals of their moves, in the skeleton and in the drawn picture."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from models.synthetic.film.people.acting import burst, conduct, talk
from models.synthetic.film.people.body import FOREARM, JOINTS, UPPER_ARM, joints, reach
from models.synthetic.film.people.choreography import Figure, Move, People, Pose, arrivals
from models.synthetic.film.people.dance import STYLES
from models.synthetic.film.people.drawing import Drawing
from models.synthetic.film.people.movement import Movement
from models.synthetic.film.people.timing import Grid, every, music_grid, own_grid
from models.synthetic.film.picture import painter
from models.synthetic.film.plan import MORE_MOTIONS, Scene
from models.synthetic.music.compose import compose
from models.synthetic.rng import stream

FRAME = 0.04
BEATS = tuple(0.5 + 0.6 * i for i in range(16))
GRID = Grid(BEATS, tuple(i % 4 == 0 for i in range(16)), 100.0)
PIECE = compose(5, 20.0)
PALETTE = ((30, 30, 40), (60, 60, 80), (200, 60, 60), (220, 170, 140), (240, 240, 240))


def moves_of(style: str, seed: int = 1) -> tuple[Move, ...]:
    rng = stream(seed, style)
    if style == "conductor":
        return tuple(conduct(GRID, rng))
    if style == "sport":
        return tuple(burst(PIECE, False, rng))
    step = 2.0 if STYLES[style].slow else 1.0
    return tuple(STYLES[style].make(every(GRID, step, rng), rng))


def figure_of(style: str, moves: tuple[Move, ...]) -> Figure:
    return Figure(0.0, 0.88, 0.6, 7, moves, STYLES[style].lag if style in STYLES else 0.0)


def speeds(figure: Figure, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean speed of the joints between times, in heights of the body per second."""
    movement = Movement(figure)
    places = joints(np.array([movement.at(t) for t in times]))
    return np.sqrt((np.diff(places, axis=0) ** 2).sum(2)).mean(1) / np.diff(times)


@pytest.mark.parametrize("style", [*STYLES, "conductor", "sport"])
def test_joints_are_slowest_within_a_frame_of_an_arrival(style: str) -> None:
    figure = figure_of(style, moves_of(style))
    times = np.arange(0.2, 11, 0.01)
    middle, speed = times[:-1] + 0.005, speeds(figure, times)
    beats = [move.time for move in figure.moves if move.strength and 0.6 < move.time < 10]
    assert len(beats) >= (3 if style == "sport" else 6)
    for beat in beats:
        at = speed[np.abs(middle - beat) <= FRAME].min()
        before = speed[(middle > beat - 0.35) & (middle < beat)].max()
        assert at < (0.25 if style == "flow" else 0.15) * before


@pytest.mark.parametrize("style", ["strike", "sway", "bounce", "hop", "sport"])
def test_the_picture_is_stillest_within_a_frame_of_an_arrival(style: str) -> None:
    figure = figure_of(style, moves_of(style, 2))
    people = People("dance", style, "music", (figure,))
    draw = painter(replace(Scene(0, 12, "plain", PALETTE, 0.5, "still", 0.0, 3), people=people), 256, 144)
    ratios = []
    for beat in [move.time for move in figure.moves if move.strength and 0.8 < move.time < 9][:5]:
        number = round(beat / FRAME)
        pictures = [draw((number + i) * FRAME, 0, 0).astype(np.int16) for i in range(-7, 3)]
        changes = [np.abs(b - a).mean() for a, b in itertools.pairwise(pictures)]
        ratios.append(min(changes[6:8]) / max(changes[:7]))  # of the frames around the arrival
    assert np.median(ratios) < 0.25
    assert max(ratios) < 0.5


def test_people_who_talk_never_stop_for_long_and_make_small_movements() -> None:
    moves = tuple(talk(20.0, stream(1, "talk")))
    assert all(move.strength == 0 for move in moves)
    assert People("talk", "talk", "chance", (figure_of("talk", moves),)).kinematic_beats(0, 20) == ()
    speed = speeds(figure_of("talk", moves), np.arange(1, 19, 0.04))
    assert 0.005 < np.median(speed) < np.median(speeds(figure_of("sway", moves_of("sway")), np.arange(1, 9, 0.04)))
    draw = Drawing(People("talk", "talk", "chance", (Figure(0.0, 2.2, 2.0, 7, moves),)), 144, 256)
    mouths = {draw.over(np.zeros((144, 256), np.uint8), t)[20:70].tobytes() for t in np.arange(2, 4, 0.1)}
    assert len(mouths) > 15


def test_arrivals_scatter_around_the_beats_and_some_are_missed() -> None:
    grid = Grid(tuple(0.5 * i for i in range(1, 800)), tuple(i % 4 == 0 for i in range(1, 800)), 120.0)
    found = every(grid, 1, stream(1, "test"))
    off = np.array([a.time - 0.5 * round(a.time / 0.5) for a in found])
    assert 0.015 < off.std() < 0.023
    assert 0.02 < 1 - len(found) / 799 < 0.09
    halves, seconds = every(grid, 0.5, stream(1, "test")), every(grid, 2, stream(1, "test"))
    assert len(halves) > 1.9 * len(found) > 3.6 * len(seconds)
    own = own_grid(PIECE, stream(1, "test"))
    assert all(abs(own.tempo / PIECE.tempo / ratio - 1) > 0.07 for ratio in (0.5, 1.0, 2.0))
    assert music_grid(PIECE).beats == PIECE.beats


def test_several_figures_make_one_beat() -> None:
    def dancer(*times: float) -> Figure:
        return figure_of("strike", tuple(Move(t - 0.2, t, Pose(), "strike", 1.0) for t in times))

    people = People("dance", "strike", "music", (dancer(1.0, 2.0, 3.0), dancer(1.02, 3.4)))
    assert people.kinematic_beats(0.5, 3.4) == ((1.01, 1.0), (2.0, 0.5), (3.0, 0.5))
    assert [m.time for m in arrivals(dancer(1.0, 2.0, 3.0, 4.0).moves, 2.2, 2.8)] == [2.0, 3.0]


def test_limbs_keep_their_lengths_and_hands_reach_their_places() -> None:
    poses = np.array([move.pose.values() for style in STYLES for move in moves_of(style)])
    places = dict(zip(JOINTS, joints(poses).transpose(1, 0, 2), strict=True))
    for side in ("left", "right"):
        upper = np.linalg.norm(places[f"{side}_elbow"] - places[f"{side}_shoulder"], axis=1)
        lower = np.linalg.norm(places[f"{side}_hand"] - places[f"{side}_elbow"], axis=1)
        assert upper == pytest.approx(UPPER_ARM)
        assert lower == pytest.approx(FOREARM)
        assert places[f"{side}_foot"][:, 1].max() < 0.001  # never under the floor
    arm, elbow = reach(0.1, 0.15)
    hand = joints(np.array([Pose(right_arm=arm, right_elbow=elbow).values()]))[0]
    assert hand[JOINTS.index("right_hand")] - hand[JOINTS.index("right_shoulder")] == pytest.approx([0.1, 0.15])


def test_a_mirrored_pose_is_the_other_way_round() -> None:
    pose = Pose(hip_x=0.1, lean=0.2, left_arm=1.0, right_elbow=0.7, left_foot=-0.3, right_raised=0.1)
    assert pose.mirrored().mirrored() == pose
    one, two = (joints(np.array([p.values()]))[0] for p in (pose, pose.mirrored()))
    assert two[JOINTS.index("right_hand")] == pytest.approx(one[JOINTS.index("left_hand")] * (-1, 1))
    assert pose.moved(0.5).right_foot == pose.right_foot + 0.5


@pytest.mark.parametrize("motion", MORE_MOTIONS)
def test_every_camera_sees_people(motion: str) -> None:
    people = People("dance", "strike", "music", (figure_of("strike", moves_of("strike")),))
    scene = Scene(0, 4, "plain", PALETTE, 0.5, motion, 0.5, 3)
    for time in (0.1, 2.0, 3.9):
        bare, shown = (painter(s, 256, 144)(time, 0, 0) for s in (scene, replace(scene, people=people)))
        assert 0.01 < (np.abs(shown.astype(int) - bare).max(2) > 60).mean() < 0.6
