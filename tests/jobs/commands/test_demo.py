"""The command `demo`: its videos are what they claim to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.commands.demo import VIDEOS, cuts_of, make_videos
from stages.contracts import MANIFEST, rows_of, table_of
from stages.decode import Decode
from tests.support.command_line import invoke
from tests.support.rows import common


def test_demo_videos_have_the_cuts_that_they_claim(tmp_path: Path) -> None:
    videos = make_videos(tmp_path)
    rows = rows_of(Decode()(table_of([common(v.name, uri=str(v), size=v.stat().st_size) for v in videos], MANIFEST)))
    for row, (name, scenes) in zip(rows, VIDEOS.items(), strict=True):
        assert row["error"] is None
        assert row["duration"] == pytest.approx(sum(scene.seconds for scene in scenes))
        assert row["cuts"].tolist() == pytest.approx(cuts_of(scenes), abs=1 / 25), name


@pytest.mark.parametrize(
    ("out", "line"), [("s3://bucket/demo", "score takes buckets"), ("{tmp}/file/demo", "cannot make")]
)
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, out: str, line: str) -> None:
    (tmp_path / "file").write_text("")
    result = invoke("demo", "--out", out.format(tmp=tmp_path))
    assert (result.exit_code, line in result.stderr, result.stderr.count("\n")) == (2, True, 1)
