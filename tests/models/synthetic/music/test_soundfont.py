"""Soundfonts: malformed ones are refused before native code sees them, and a bounded child plays the others in tune."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.synthetic.music.soundfont import player as player_module
from models.synthetic.music.soundfont.find import installed_soundfonts
from models.synthetic.music.soundfont.player import Request, SoundfontPlayer
from models.synthetic.music.soundfont.riff import SoundfontError, check_soundfont
from tests.support.soundfonts import riff, soundfont_tables, write_soundfont

RATE = 44100


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundfontPlayer]:
    made = SoundfontPlayer(check_soundfont(write_soundfont(tmp_path_factory.mktemp("font") / "tiny.sf2")), RATE)
    yield made
    made.close()


def strongest_hertz(sound: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * RATE / len(sound))


def test_a_part_is_played_in_tune_and_in_time(player: SoundfontPlayer) -> None:
    notes = np.array([[0.5, 0.4, 69, 0.8], [1.25, 0.5, 81, 0.4]])
    (sound,) = player.play([Request(0, 0, notes)], 2.0)
    assert sound.shape == (2, 2 * RATE)
    assert np.abs(sound[:, : int(0.499 * RATE)]).max() == 0.0
    assert np.abs(sound[:, int(0.5 * RATE) : int(0.52 * RATE)]).max() > 0.05
    assert strongest_hertz(sound[0, int(0.5 * RATE) : int(0.9 * RATE)]) == pytest.approx(441, abs=3)
    assert strongest_hertz(sound[0, int(1.25 * RATE) : int(1.75 * RATE)]) == pytest.approx(882, abs=3)
    loud, soft = (np.abs(sound[:, int(t * RATE) : int((t + 0.3) * RATE)]).max() for t in (0.55, 1.3))
    assert loud > 1.5 * soft


def test_parts_do_not_depend_on_each_other(player: SoundfontPlayer) -> None:
    one, drums = Request(0, 48, np.array([[0.1, 5.0, 60, 1.0]])), Request(128, 0, np.array([[0.0, 0.1, 60, 1.0]]))
    first, strokes = player.play([one, drums], 1.0)
    (again,) = player.play([one], 1.0)
    assert first.tobytes() == again.tobytes()
    assert np.abs(strokes).max() > 0.05
    assert not np.array_equal(first, strokes)


def test_the_end_of_a_note_leaves_the_next_one_of_its_pitch_alone(player: SoundfontPlayer) -> None:
    (sound,) = player.play([Request(0, 0, np.array([[0.0, 0.7, 69, 0.9], [0.5, 0.9, 69, 0.9]]))], 1.5)
    assert np.abs(sound[:, int(0.8 * RATE) : int(1.3 * RATE)]).max() > 0.05


def test_programs_that_are_missing_are_played_by_their_neighbors(player: SoundfontPlayer) -> None:
    assert player.font.presets == {(0, 0), (0, 48), (128, 0)}
    assert [player.font.preset(*p) for p in ((0, 48), (0, 50), (0, 3), (128, 40), (8, 5))] == [
        (0, 48),
        (0, 48),
        (0, 0),
        (128, 0),
        (0, 0),
    ]


def broken_files() -> dict[str, bytes]:
    """Files that are wrong in one place each, by what is said of them."""
    sine = [(0.5 * np.sin(np.arange(400) / 5), 69, True)]
    samples, tables = soundfont_tables(sine, ((0, 0, 0),))
    good = riff(samples, tables)

    def changed(name: str, place: int, layout: str, value: int) -> bytes:
        table = bytearray(tables[name])
        struct.pack_into(layout, table, place, value)
        return riff(samples, tables | {name: bytes(table)})

    many = soundfont_tables(sine * 600, tuple((0, i % 128, 0) for i in range(600)))
    bags = b"".join(struct.pack("<HH", 0, 0) for _ in range(600)) + many[1]["ibag"]
    crowded = many[1] | {"ibag": bags, "inst": struct.pack("<20sH20sH", b"a", 0, b"EOI", 601)}
    crowded["pgen"] = struct.pack("<HH", 41, 0) * 600 + bytes(4)
    return {
        "has 3 bytes": b"RIF",
        "does not begin as one": b"RIFX" + good[4:],
        "shorter than it says": good[:-40],
        "longer than the file says": good.replace(b"smpl" + struct.pack("<I", len(samples)), b"smpl\xff\xff\xff\x7f"),
        "no samples": good.replace(b"smpl", b"smpx"),
        "no table igen": riff(samples, {k: v for k, v in tables.items() if k != "igen"}),
        "ends within a record": riff(samples, tables | {"shdr": tables["shdr"][:-1]}),
        "table inst is empty": riff(samples, tables | {"inst": tables["inst"][:22]}),
        "table phdr refers": changed("phdr", 38 + 24, "<H", 900),
        "table pbag refers": changed("pbag", 4, "<H", 77),
        "table pgen refers": changed("pgen", 2, "<H", 5),
        "table igen refers": changed("igen", 6, "<H", 5),
        "lies outside its data": changed("shdr", 24, "<I", 1 << 31),
        "loop of a sample": changed("shdr", 32, "<I", 1 << 30),
        "has no rate": changed("shdr", 36, "<I", 0),
        "too many zones": riff(many[0], crowded),
    }


def test_malformed_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    for reason, data in broken_files().items():
        (tmp_path / "odd.sf2").write_bytes(data)
        with pytest.raises(SoundfontError, match=reason):
            check_soundfont(tmp_path / "odd.sf2")
    with pytest.raises(SoundfontError, match="No such file"):
        check_soundfont(tmp_path / "none.sf2")
    with pytest.raises(SoundfontError, match="is no file"):
        check_soundfont(tmp_path)


def test_damaged_files_are_refused_or_read_and_nothing_else(tmp_path: Path) -> None:
    good = write_soundfont(tmp_path / "tiny.sf2").read_bytes()
    tables, rng = good.index(b"phdr"), np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        data = bytearray(good)
        for place in rng.integers(tables, len(data), int(rng.integers(1, 6))):
            data[place] = int(rng.integers(256))
        (tmp_path / "odd.sf2").write_bytes(data)
        try:
            check_soundfont(tmp_path / "odd.sf2")
        except SoundfontError:
            refused += 1
    assert 100 < refused < 380


def test_a_file_that_passes_the_checks_but_not_the_loader_is_one_line(tmp_path: Path) -> None:
    """Samples that begin as Vorbis and do not go on so."""
    samples, tables = soundfont_tables([(np.zeros(400), 69, False)], ((0, 0, 0),))
    samples = b"OggS" + samples[4:]
    header = bytearray(tables["shdr"])
    struct.pack_into("<H", header, 44, 0x11)
    (tmp_path / "odd.sf3").write_bytes(riff(samples, tables | {"shdr": bytes(header)}))
    with pytest.raises(SoundfontError, match=r"odd\.sf3 .*choose another"):
        SoundfontPlayer(check_soundfont(tmp_path / "odd.sf3"))


def test_a_player_that_breaks_or_hangs_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    font = check_soundfont(write_soundfont(tmp_path / "tiny.sf2"))
    request = Request(0, 0, np.array([[0.0, 1.0, 69, 1.0]]))
    broken = SoundfontPlayer(font)
    broken._child.kill()
    with pytest.raises(SoundfontError, match="broke the player"):
        broken.play([request], 1.0)
    slow = SoundfontPlayer(font)
    monkeypatch.setattr(player_module, "_PLAYING", -2000.0)
    with pytest.raises(SoundfontError, match="takes more than"):
        slow.play([request], 600.0)
    assert not slow._child.is_alive()


def test_without_the_extra_package_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SoundfontError, match=r"diff-v2m\[soundfont\]"):
        SoundfontPlayer(check_soundfont(write_soundfont(tmp_path / "tiny.sf2")))


def test_installed_soundfonts_are_found_once_the_largest_first(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    small, large = tmp_path / "a.sf2", tmp_path / "two" / "b.SF3"
    small.write_bytes(b"1")
    large.write_bytes(b"123")
    (tmp_path / "notes.txt").write_text("no soundfont")
    (tmp_path / "two" / "link.sf3").symlink_to(large)
    assert installed_soundfonts([tmp_path, tmp_path / "two", tmp_path / "missing"]) == [large, small]
