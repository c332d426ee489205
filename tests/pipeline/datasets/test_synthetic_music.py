"""Who plays the music of a clip: the soundfonts that are there, the last of them for held-out clips alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.synthetic import compose
from models.synthetic.music.band.form import style_of
from models.synthetic.music.soundfont.riff import SoundfontError
from pipeline.datasets import synthetic_music
from pipeline.datasets.synthetic_clip import clip_name, write_clip
from pipeline.datasets.synthetic_music import found_soundfonts, given_soundfonts, make_music, soundfont_of
from pipeline.datasets.synthetic_videos import make_corpus
from tests.support.soundfonts import write_soundfont


def test_the_last_soundfont_is_for_held_out_clips_alone(tmp_path: Path) -> None:
    fonts = given_soundfonts([write_soundfont(tmp_path / f"{i}.sf2", 0.2 + 0.1 * i) for i in range(3)])
    assert len({font.name for font in fonts}) == 3
    assert {soundfont_of(seed, fonts) for seed in range(30)} == set(fonts[:2])
    assert {soundfont_of(seed, fonts) for seed in range(10_000, 10_030)} == {fonts[2]}
    assert soundfont_of(3, fonts[:1]) == soundfont_of(10_003, fonts[:1]) == fonts[0]
    assert soundfont_of(3, ()) is None


def test_a_system_without_the_package_plays_oscillators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_soundfont(tmp_path / "good.sf2")
    (tmp_path / "bad.sf2").write_bytes(b"no soundfont, but long enough")
    monkeypatch.setattr(synthetic_music, "installed_soundfonts", lambda: [tmp_path / "bad.sf2", good])
    assert [font.path for font in found_soundfonts()] == [good]
    monkeypatch.setattr(synthetic_music, "PACKAGE", "no_such_package")
    assert found_soundfonts() == ()
    with pytest.raises(SoundfontError, match="install"):
        given_soundfonts([good])
    assert make_music(3, 2.0, None)[0] == compose(3, 2.0)


def test_clips_of_the_band_know_what_is_heard(tmp_path: Path) -> None:
    fonts = given_soundfonts([write_soundfont(tmp_path / "tiny.sf2")])
    folder = tmp_path / "corpus"
    make_corpus(folder, 2, 6, 4.0, workers=1, soundfonts=fonts)
    rows = pq.read_table(folder / "truth.parquet").to_pylist()
    for row in rows:
        assert row["soundfont"] == fonts[0].name
        assert row["style"] == style_of(row["seed"]).name
        assert row["instruments"]
        assert row["meter"] in ("4/4", "3/4", "6/8")
        assert [len(row[name]) for name in ("valence", "arousal", "intensity")] == [4, 4, 4]
        assert all(0 <= value <= 1 for name in ("valence", "arousal", "intensity") for value in row[name])
        for section in row["sections"]:
            assert section["mood"] in ("happy", "tense", "calm", "sad", "neutral")
            assert section["mode"] in ("major", "minor")
    write_clip(6, 4.0, tmp_path, fonts[0])
    assert (tmp_path / clip_name(6)).read_bytes() == (folder / clip_name(6)).read_bytes()
    again = make_corpus(folder, 1, 6, 4.0, workers=1)  # without soundfonts the clip is another one
    assert again.to_pylist()[0]["soundfont"] == ""
    assert (tmp_path / clip_name(6)).read_bytes() != (folder / clip_name(6)).read_bytes()
