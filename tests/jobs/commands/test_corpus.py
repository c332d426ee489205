"""The command `corpus make`: clips are made once."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command_line import invoke


def test_a_corpus_is_made_once(tmp_path: Path) -> None:
    arguments = ["corpus", "make", tmp_path / "corpus", "--clips", "2", "--seconds", "2", "--workers", "1", "--json"]
    first, again = (json.loads(invoke(*arguments).stdout) for _ in range(2))
    assert (first["clips"], first["made"], first["in_folder"]) == (2, 2, 2)
    assert (again["made"], again["times_real_time"]) == (0, 0)


def test_a_corpus_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "truth.parquet").write_text("no table")
    for folder, line in (("file", "cannot make the folder"), (".", "is no table of composed clips")):
        result = invoke("corpus", "make", tmp_path / folder, "--clips", "1")
        assert (result.exit_code, line in result.output) == (2, True)
    result = invoke("corpus", "make", tmp_path / "new", "--clips", "2", "--seed", "9999")
    assert (result.exit_code, "straddle" in result.output) == (2, True)
