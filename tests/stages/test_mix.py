"""The stage Mix: music as it was released, or at the loudness that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from models.mixing.settings import MixingSettings
from stages.contracts import SOUND, Row, rows_of, table_of
from stages.mix import Mix, MixSettings
from tests.support.rows import common, media, sound_columns


def mixed(mixing: MixingSettings, **values: object) -> Row:
    row = common("clip.mp4", 4.0, **(sound_columns(4.0) | {"media": media()} | values))
    (found,) = rows_of(Mix(MixSettings(mixing))(table_of([row], SOUND)))
    assert found["error"] is None, found["error"]
    return found


def test_by_default_the_music_stays_as_it_was_made() -> None:
    row = mixed(MixingSettings())
    np.testing.assert_array_equal(row["waveform"], sound_columns(4.0)["waveform"])
    assert row["sample_rate"] == 44100
    assert row["loudness"]["loudness"] == pytest.approx(-12.25 - 0.7 + 0.3, abs=0.5)  # a tone of 440 Hz at -12.25 dBFS
    assert row["loudness"]["true_peak"] == pytest.approx(-12.25, abs=0.1)
    assert (row["loudness"]["gain"], row["loudness"]["limited"]) == (0.0, 0.0)


def test_a_loudness_is_reached_by_one_gain() -> None:
    before, row = mixed(MixingSettings()), mixed(MixingSettings(loudness=-23.0))
    gain = -23.0 - before["loudness"]["loudness"]
    assert row["loudness"]["loudness"] == pytest.approx(-23.0, abs=0.01)
    assert row["loudness"]["gain"] == pytest.approx(gain, abs=0.01)
    np.testing.assert_allclose(row["waveform"], before["waveform"] * 10 ** (gain / 20), atol=1)
