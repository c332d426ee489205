"""The cost of reading a video, against bare decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.studies.decode_cost import DecodeCost, measure
from tests.support.videos import ffmpeg


def test_the_ratio_is_the_median_of_pairs():
    cost = DecodeCost(ours=[2.0, 30.0, 3.0], without_flow=[1.0, 20.0, 2.0], bare=[1.0, 3.0, 2.0], cold=8.0)
    assert cost.ratio == 2.0
    assert cost.cold_ratio == 4.0
    assert str(cost) == (
        "decode and features: 3.00 s, bare decode: 2.00 s (medians of 3)\n"
        "ratio 2.00 (1.50 to 10.00), imports included 4.00\n"
        "with flow over without: 1.50"
    )


@pytest.mark.slow
def test_flow_costs_less_than_the_rest_of_reading(tmp_path: Path):
    """On 20 s of 854 x 480 moving noise with sound, coded as films are."""
    scene = "testsrc2=size=854x480:rate=24:duration=20,noise=alls=12:allf=t"
    coding = ("-c:v", "libx264", "-preset", "fast", "-b:v", "900k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "6")
    ffmpeg("-f", "lavfi", "-i", scene, "-f", "lavfi", "-i", "sine=duration=20", *coding, tmp_path / "film.mp4")
    cost = measure(tmp_path / "film.mp4", repeats=5)
    assert np.isfinite(cost.ours).all()
    assert cost.flow_ratio <= 2.0
