"""Checking a soundfont before native code reads it. The layout is that of the SoundFont 2.04 specification, and of SF3.

Only what a reader uses as an index or as a length is checked: chunks, records, and the references between them.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import UserError

_LARGEST = 1 << 30  # bytes of a file
_MOST_ZONES = 300_000  # regions of all presets, as a player makes them
_ADDRESSED = {"pgen": 41, "igen": 53}  # generators that name an instrument, or a sample
_VORBIS = 0x10  # bit of a sample's type in SF3

_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_MODULATOR = np.dtype("V10")
_GENERATOR = np.dtype([("kind", "<u2"), ("amount", "<u2")])
_RECORDS = {
    "phdr": np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")]),
    "pbag": _BAG,
    "pmod": _MODULATOR,
    "pgen": _GENERATOR,
    "inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    "ibag": _BAG,
    "imod": _MODULATOR,
    "igen": _GENERATOR,
    "shdr": np.dtype(
        [
            ("name", "S20"),
            ("start", "<u4"),
            ("stop", "<u4"),
            ("loop", "<u4", 2),
            ("rate", "<u4"),
            ("pitch", "V4"),
            ("type", "<u2"),
        ]
    ),
}
Records = npt.NDArray[np.void]


class SoundfontError(UserError):
    """A soundfont cannot be used; the message is one line that says why."""


@dataclass(frozen=True)
class Soundfont:
    """A soundfont that was checked.

    Attributes:
        path: the file.
        name: its file name and the beginning of its hash, which identify what it sounds like.
        presets: (bank, program) of every preset; bank 128 has the drum kits.
    """

    path: Path
    name: str
    presets: frozenset[tuple[int, int]]

    def preset(self, bank: int, program: int) -> tuple[int, int]:
        """Returns the preset that plays a program: the program itself, or the nearest of its bank or of bank 0."""
        if (bank, program) in self.presets:
            return bank, program
        for kind in dict.fromkeys((bank, 0)):
            others = [p for b, p in self.presets if b == kind]
            if others:
                return kind, min(others, key=lambda p: (p // 8 != program // 8, abs(p - program), p))
        return min(self.presets)


def check_soundfont(path: str | os.PathLike[str]) -> Soundfont:
    """Reads the tables of a soundfont.

    Raises:
        SoundfontError: the file cannot be read, is no soundfont, or refers to what it does not hold.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise SoundfontError(f"expected a soundfont (.sf2 or .sf3): {file} is no file")
        if not 12 <= size <= _LARGEST:
            raise SoundfontError(f"expected a soundfont of at most {_LARGEST >> 20} MiB: {file} has {size} bytes")
        with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
            name = f"{file.name} {hashlib.sha256(data).hexdigest()[:12]}"
            presets = _check(data, size)
    except OSError as error:
        raise SoundfontError(f"cannot read the soundfont {file}: {error.strerror}") from error
    except _Malformed as error:
        raise SoundfontError(
            f"expected a soundfont (.sf2 or .sf3), got {file}, which is none or is damaged ({error}): choose another"
        ) from error
    return Soundfont(file, name, presets)


class _Malformed(Exception):
    """What is wrong with a file."""


def _require(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise _Malformed(what)


def _chunks(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Yields name, start and stop of the chunks in a range. Odd chunks are not padded, as players read them."""
    while start + 8 <= stop:
        name, size = struct.unpack_from("<4sI", data, start)
        _require(start + 8 + size <= stop, f"the chunk {name!r} is longer than the file says")
        yield name.decode("latin-1"), start + 8, start + 8 + size
        start += 8 + size


def _check(data: mmap.mmap, size: int) -> frozenset[tuple[int, int]]:
    """Returns the presets of a file, if all is well."""
    form, length, kind = struct.unpack_from("<4sI4s", data, 0)
    _require(form == b"RIFF" and kind == b"sfbk", "it does not begin as one")
    _require(8 + length <= size + 1, "it is shorter than it says")
    spans: dict[str, tuple[int, int]] = {}
    for name, start, stop in _chunks(data, 12, min(8 + length, size)):
        if name == "LIST" and data[start : start + 4] in (b"sdta", b"pdta"):
            for part, first, last in _chunks(data, start + 4, stop):
                _require(part not in spans, f"it has two chunks {part!r}")
                spans[part] = first, last
    _require("smpl" in spans, "it has no samples")
    tables: dict[str, Records] = {}
    for name, layout in _RECORDS.items():
        _require(name in spans, f"it has no table {name}")
        start, stop = spans[name]
        _require((stop - start) % layout.itemsize == 0 and stop > start, f"its table {name} ends within a record")
        tables[name] = np.frombuffer(data[start:stop], layout)
    _check_references(tables)
    _check_samples(tables["shdr"], spans["smpl"][1] - spans["smpl"][0])
    heads = tables["phdr"][:-1]
    return frozenset((int(bank), int(program)) for bank, program in zip(heads["bank"], heads["program"], strict=True))


def _check_references(tables: dict[str, Records]) -> None:
    """Checks that every index of one table lies within the other."""
    for heads, bags, generators, modulators in (("phdr", "pbag", "pgen", "pmod"), ("inst", "ibag", "igen", "imod")):
        _require(len(tables[heads]) >= 2, f"its table {heads} is empty")
        rising = (
            (heads, tables[heads]["bag"], len(tables[bags]) - 1),
            (bags, tables[bags]["generator"], len(tables[generators])),
            (bags, tables[bags]["modulator"], len(tables[modulators])),
        )
        for name, indices, most in rising:
            fits = np.all(np.diff(indices.astype(np.int64)) >= 0) and indices[-1] <= most
            _require(fits, f"its table {name} refers to records that are not there")
    for name, target in (("pgen", "inst"), ("igen", "shdr")):
        table = tables[name]
        named = table["amount"][table["kind"] == _ADDRESSED[name]]
        _require(np.all(named < len(tables[target]) - 1), f"its table {name} refers to records that are not there")
    presets = tables["pgen"]
    used = presets["amount"][presets["kind"] == _ADDRESSED["pgen"]]
    zones = np.diff(tables["inst"]["bag"].astype(np.int64))
    _require(int(zones[used].sum()) <= _MOST_ZONES, "its presets have too many zones")


def _check_samples(headers: Records, size: int) -> None:
    """Checks that samples lie within the `size` bytes of all samples; Vorbis samples are addressed by bytes."""
    headers = headers[:-1]
    coded = (headers["type"] & _VORBIS) != 0
    most = np.where(coded, size, size // 2)
    inside = (headers["start"] <= headers["stop"]) & (headers["stop"] <= most)
    _require(np.all(inside), "a sample lies outside its data")
    used = headers["stop"] > headers["start"]
    _require(np.all(headers["rate"][used] > 0), "a sample has no rate")
    loops = headers["loop"].astype(np.int64).max(1)
    _require(np.all(loops[used & ~coded] <= size // 2), "the loop of a sample lies outside its data")
