"""Settings of the Decode stage: how videos are read, and which are refused."""

from __future__ import annotations

from dataclasses import dataclass

from models.clip.config import TINY


@dataclass(frozen=True)
class DecodeSettings:
    """Settings for reading videos, and bounds beyond which a video is refused.

    Attributes:
        clip_size: side of the square frames for the image encoder, in pixels; by default that of the shipped encoder.
        shortest, longest: bounds of a video's length, in seconds.
        max_pixels: largest number of pixels of a frame.
        deadline: seconds of wall time after which the decoding of a video is given up.
        memory: bytes of address space that the decoder may take.
        max_lost: largest share of a video's time whose frames may be unreadable, 0..1.
        settles_output: whether a scored video will be written, whose container must hold the pictures.
        threads: threads of the decoder. One costs the least processor time; a pool of workers keeps all cores busy.
    """

    clip_size: int = TINY.image_size
    shortest: float = 0.5
    longest: float = 1801.0
    max_pixels: int = 8192 * 4608
    deadline: float = 3600.0
    memory: int = 6 << 30
    max_lost: float = 0.1
    settles_output: bool = True
    threads: int = 1
