"""Playing parts by a soundfont, in a child process with limits of memory and time."""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.synthetic.music.soundfont.performer import perform
from models.synthetic.music.soundfont.riff import Soundfont, SoundfontError

_LEAST_MEMORY, _MOST_MEMORY = 512 << 20, 6 << 30  # bytes that a soundfont may take
_EXPANSION = 40  # times the size of the file, as Vorbis does at most
_LOADING = 120.0  # seconds that a soundfont may take to load
_PLAYING = 60.0  # seconds that a part may take, and as many again as it is long


@dataclass(frozen=True)
class Request:
    """A part to be played.

    Attributes:
        bank, program: the instrument, as in General MIDI; bank 128 has the drum kits.
        notes: onset and duration in seconds, pitch, and velocity 0..1 of each note, [notes, 4].
    """

    bank: int
    program: int
    notes: npt.NDArray[np.float64]


class SoundfontPlayer:
    """Plays parts by one soundfont. Its child process is started by the first part and keeps the soundfont loaded."""

    def __init__(self, font: Soundfont, sample_rate: int = 44100) -> None:
        if importlib.util.find_spec("tinysoundfont") is None:
            raise SoundfontError("soundfonts need the extra package: install diff-v2m[soundfont], or leave them out")
        self.font = font
        self.sample_rate = sample_rate
        memory = min(_LEAST_MEMORY + _EXPANSION * font.path.stat().st_size, _MOST_MEMORY)
        context = multiprocessing.get_context("spawn")
        self._link, other = context.Pipe()
        self._child = context.Process(
            target=perform, args=(other, str(font.path), sample_rate, memory), daemon=True, name="soundfont"
        )
        self._child.start()
        other.close()
        said = self._receive(_LOADING).decode(errors="replace")
        if said:
            self.close()
            raise SoundfontError(f"the soundfont {font.path} cannot be loaded ({said}): choose another")

    def play(self, requests: Sequence[Request], seconds: float) -> list[npt.NDArray[np.float32]]:
        """Returns the sound of each part in stereo, [2, round(seconds * sample_rate)].

        Raises:
            SoundfontError: the soundfont broke the player, or took too long.
        """
        count = round(seconds * self.sample_rate)
        parts = [(*self.font.preset(r.bank, r.program), r.notes) for r in requests]
        try:
            self._link.send((parts, count))
        except OSError as error:
            raise self._broken() from error
        sounds = []
        for _ in parts:
            data = self._receive(_PLAYING + seconds)
            sounds.append(np.ascontiguousarray(np.frombuffer(data, np.float32).reshape(-1, 2).T))
            if not np.isfinite(sounds[-1]).all():
                raise SoundfontError(f"the soundfont {self.font.path} plays no sound that can be heard: choose another")
        return sounds

    def close(self) -> None:
        """Ends the child process."""
        self._link.close()
        self._child.kill()
        self._child.join()

    def _receive(self, deadline: float) -> bytes:
        """Returns the next message of the child, which is ended if it sends none in time."""
        try:
            if self._link.poll(deadline):
                return self._link.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._broken() from error
        self.close()
        raise SoundfontError(f"the soundfont {self.font.path} takes more than {deadline:.0f} s: choose another")

    def _broken(self) -> SoundfontError:
        self._child.join(5)
        code = self._child.exitcode
        self.close()
        return SoundfontError(f"the soundfont {self.font.path} broke the player (exit code {code}): choose another")
