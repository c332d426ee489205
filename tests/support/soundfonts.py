"""A soundfont that tests make themselves: some sines and a burst of noise, as the SoundFont 2.04 specification says."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE = 22050
_PRESETS = ((0, 0, 0), (0, 48, 0), (128, 0, 1))  # bank, program, instrument


def write_soundfont(path: Path, loudness: float = 0.5) -> Path:
    """Writes a soundfont with a sine in two programs of bank 0, and noise as a drum kit; returns its path."""
    time = np.arange(RATE // 2) / RATE
    sine = loudness * np.sin(2 * np.pi * 441 * time)  # whole periods of 50 samples, so that the loop is smooth
    noise = loudness * np.random.default_rng(0).standard_normal(RATE // 4) / 4 * np.exp(-12 * time[: RATE // 4])
    tables = soundfont_tables([(sine, 69, True), (noise, 60, False)], _PRESETS)
    path.write_bytes(riff(tables[0], tables[1]))
    return path


def soundfont_tables(
    sounds: list[tuple[np.ndarray, int, bool]], presets: tuple[tuple[int, int, int], ...]
) -> tuple[bytes, dict[str, bytes]]:
    """The samples, and the tables by name, of a soundfont with one instrument for each sound (sound, pitch, looped)."""
    samples, headers, zones, generators, instruments = b"", b"", b"", b"", b""
    for number, (sound, pitch, looped) in enumerate(sounds):
        start, stop = len(samples) // 2, len(samples) // 2 + len(sound)
        samples += np.round(32767 * sound).astype("<i2").tobytes() + bytes(2 * 46)
        loop = (start + 50, start + 50 * ((len(sound) - 50) // 50))
        headers += struct.pack("<20sIIIIIBbHH", b"sample", start, stop, *loop, RATE, pitch, 0, 0, 1)
        instruments += struct.pack("<20sH", b"instrument", number)
        zones += struct.pack("<HH", len(generators) // 4, 0)
        generators += struct.pack("<HHHH", 54, int(looped), 53, number)
    instruments += struct.pack("<20sH", b"EOI", len(sounds))
    zones += struct.pack("<HH", len(generators) // 4, 0)
    heads = b"".join(
        struct.pack("<20sHHHIII", b"preset", program, bank, i, 0, 0, 0) for i, (bank, program, _) in enumerate(presets)
    ) + struct.pack("<20sHHHIII", b"EOP", 0, 0, len(presets), 0, 0, 0)
    bags = b"".join(struct.pack("<HH", i, 0) for i in range(len(presets) + 1))
    choices = b"".join(struct.pack("<HH", 41, instrument) for _, _, instrument in presets)
    tables = {
        "phdr": heads,
        "pbag": bags,
        "pmod": bytes(10),
        "pgen": choices + bytes(4),
        "inst": instruments,
        "ibag": zones,
        "imod": bytes(10),
        "igen": generators + bytes(4),
        "shdr": headers + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    return samples, tables


def riff(samples: bytes, tables: dict[str, bytes]) -> bytes:
    """The file of some samples and tables."""

    def chunk(name: str, data: bytes) -> bytes:
        return name.encode() + struct.pack("<I", len(data)) + data

    info = b"INFO" + chunk("ifil", struct.pack("<HH", 2, 4)) + chunk("INAM", b"for tests\0")
    lists = [info, b"sdta" + chunk("smpl", samples), b"pdta" + b"".join(chunk(*item) for item in tables.items())]
    return chunk("RIFF", b"sfbk" + b"".join(chunk("LIST", data) for data in lists))
