"""The child process that plays a soundfont. It alone loads native code that reads files of strangers."""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_SILENCE = 0.1  # seconds after which a voice that was stopped is silent
_VOICES = 256
_USUAL = 4 << 30  # bytes of address space of a Python process with numpy


def perform(link: Connection, path: str, sample_rate: int, memory: int) -> None:
    """Loads a soundfont and answers requests until the link is closed.

    A request is a list of parts, each `(bank, program, notes)`, and a number of samples. `notes` is an array
    [notes, 4] of onset and duration in seconds, pitch, and velocity 0..1. The answer to each part is one message of
    stereo samples, float32, [samples, 2]. The first message is empty if the file was loaded, else it says what failed.

    Args:
        link: one end of a pipe.
        path: the soundfont.
        sample_rate: rate of the sound in Hz.
        memory: bytes of address space that the soundfont may take.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who stops the run closes the link
    try:
        import tinysoundfont

        _limit(memory)
        synth = tinysoundfont.Synth(samplerate=sample_rate)
        font = synth.sfload(path, max_voices=_VOICES)
    except BaseException as error:
        link.send_bytes((repr(error) or "failed").encode()[:500])
        return
    link.send_bytes(b"")
    try:
        while True:
            parts, count = link.recv()
            for bank, program, notes in parts:
                link.send_bytes(_play(synth, font, bank, program, notes, count).data)
    except (EOFError, OSError):  # the other end has gone
        return


def _limit(memory: int) -> None:
    """Lets this process take some more address space and write no files, where the system can limit that."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        taken = pages * resource.getpagesize()
    except OSError:  # the system does not tell
        taken = _USUAL
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _play(
    synth: Any, font: int, bank: int, program: int, notes: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.float32]:
    """Returns the sound of one part, [count, 2]."""
    rate = synth.samplerate
    synth.sounds_off(0)
    synth.generate(int(_SILENCE * rate))
    synth.program_select(0, font, bank, program, bank == 128)
    sound = np.zeros((count, 2), np.float32)
    place = sound.data.cast("B")
    now = 0
    for time, is_onset, pitch, velocity in _events(notes, rate):
        if time >= count:
            break
        if time > now:
            synth.generate_simple(time - now, place[8 * now : 8 * time])
            now = time
        if is_onset:
            synth.noteon(0, pitch, velocity)
        else:
            synth.noteoff(0, pitch)
    if count > now:
        synth.generate_simple(count - now, place[8 * now :])
    return sound


def _events(notes: npt.NDArray[np.float64], rate: int) -> list[tuple[int, bool, int, int]]:
    """Returns (sample, whether it begins, pitch, velocity 1..127) of the ends and onsets of notes, in order.

    A note ends before the next one of its pitch, because the end of a note would end both.
    """
    events: list[tuple[int, bool, int, int]] = []
    following: dict[int, int] = {}
    for onset, duration, pitch, velocity in sorted(map(tuple, notes), reverse=True):
        start, key = round(onset * rate), int(pitch)
        stop = min(round((onset + duration) * rate), following.get(key, 1 << 62))
        following[key] = start
        if stop > start:
            events.append((start, True, key, int(np.clip(round(127 * velocity), 1, 127))))
            events.append((stop, False, key, 0))
    return sorted(events)
