"""The study of precisions: fewer bits err more, and every stage is told."""

from __future__ import annotations

import pytest

from jobs.studies import precision as precision_study
from jobs.studies.precision import study, table
from tests.support.parity import COMMITTED


def test_errors_of_each_stage_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_study, "STEPS", 4)
    monkeypatch.setattr(precision_study, "SECONDS", 3.0)
    monkeypatch.setattr(precision_study, "TURNS", 1)
    bfloat16, float16 = study(str(COMMITTED / "mini"))
    for row in (bfloat16, float16):
        assert 0 < row.velocity < 0.1
        assert 0 < row.latents < 0.3
        assert 0 < row.sound < 0.3
        assert row.sampling > 0 < row.decoding
    assert float16.velocity < bfloat16.velocity
    assert float16.sound < bfloat16.sound
    assert table([bfloat16, float16]).count("| mini |") == 2
