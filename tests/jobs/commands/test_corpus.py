"""The command `corpus make`: clips are made once, by the soundfonts that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.command_line import invoke
from tests.support.soundfonts import write_soundfont


def test_a_corpus_is_made_once(tmp_path: Path) -> None:
    arguments = ["corpus", "make", tmp_path / "corpus", "--clips", "2", "--seconds", "2", "--workers", "1", "--json"]
    first, again = (json.loads(invoke(*arguments, "--oscillators").stdout) for _ in range(2))
    assert (first["clips"], first["made"], first["in_folder"]) == (2, 2, 2)
    assert (again["made"], again["times_real_time"], again["soundfonts"]) == (0, 0, [])


def test_the_command_says_who_plays(tmp_path: Path) -> None:
    arguments = ["corpus", "make", tmp_path / "corpus", "--clips", "1", "--seconds", "2", "--workers", "1"]
    assert "music played by oscillators" in invoke(*arguments, "--oscillators").stdout
    font = write_soundfont(tmp_path / "tiny.sf2")
    result = invoke(*arguments, "--soundfont", font)
    assert "1 clip of 2 s made" in result.stdout
    assert "music played by tiny.sf2" in result.stdout


def test_films_have_the_people_that_are_asked_for(tmp_path: Path) -> None:
    arguments = ["corpus", "make", tmp_path, "--clips", "2", "--seconds", "2", "--workers", "1", "--oscillators"]
    assert invoke(*arguments, "--people", "sport").exit_code == 0
    assert pq.read_table(tmp_path / "truth.parquet")["people"].to_pylist() == ["sport", "sport"]
    assert invoke(*arguments, "--people", "robots").exit_code == 2


def test_a_corpus_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "truth.parquet").write_text("no table")
    for folder, line in (("file", "cannot make the folder"), (".", "is no table of composed clips")):
        result = invoke("corpus", "make", tmp_path / folder, "--clips", "1", "--oscillators")
        assert (result.exit_code, line in result.output) == (2, True)
    result = invoke("corpus", "make", tmp_path / "new", "--clips", "2", "--seed", "9999")
    assert (result.exit_code, "straddle" in result.output) == (2, True)
    result = invoke("corpus", "make", tmp_path / "new", "--soundfont", tmp_path / "truth.parquet")
    assert (result.exit_code, "error: expected a soundfont" in result.output) == (2, True)
    result = invoke("corpus", "make", tmp_path / "new", "--soundfont", tmp_path / "file", "--oscillators")
    assert (result.exit_code, "choose --soundfont or --oscillators" in result.output) == (2, True)
