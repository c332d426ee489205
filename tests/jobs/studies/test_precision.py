"""The study of precision: fewer bits give larger errors, at every stage."""

from __future__ import annotations

import pytest

from jobs.studies import precision as precision_study
from jobs.studies.precision import compare_precision, format_table
from tests.support.parity import COMMITTED


def test_every_stage_has_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_study, "STEPS", 4)
    monkeypatch.setattr(precision_study, "SECONDS", 3.0)
    monkeypatch.setattr(precision_study, "TURNS", 1)
    bfloat16, float16 = compare_precision(str(COMMITTED / "mini"))
    for row in (bfloat16, float16):
        assert 0 < row.velocity < 0.1
        assert 0 < row.latents < 0.3
        assert 0 < row.audio < 0.3
        assert row.sampling_speedup > 0 < row.decoding_speedup
    assert float16.velocity < bfloat16.velocity
    assert float16.audio < bfloat16.audio
    assert format_table([bfloat16, float16]).count("| mini |") == 2
