"""Every kind of error that a row of a ledger can have, with its meaning and how a run treats it.

A kind is a stable word on disk, in a ledger's column `error_type`. An exception that nobody foresaw has the name of
its class as its kind; such a name is in this table only if a run treats it in a special way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

WORKER_DIED = "WorkerDied"
FINISHED = "Finished"
NOT_FOUND = "NotFound"
UNREADABLE = "Unreadable"
BAD_NAME = "BadName"


class Treatment(Enum):
    """The way in which a run treats a video that failed."""

    PERMANENT = "the same file would fail again, so it is not tried again unless a person asks for it"
    RETRYABLE = "it may pass, so the same run tries it again"
    NEXT_RUN = "the next run into the destination tries it again"
    FATAL = "every other video would fail too, so the run stops"
    FATAL_AT_DESTINATION = "the run stops if the destination raises it; a source's video is tried by the next run"


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error: its meaning in a few words, and how it is treated."""

    meaning: str
    treatment: Treatment


_PERMANENT = {
    "EmptyFile": "the file has no bytes",
    "NotAVideo": "the file is something else than a video",
    "NoVideoStream": "the file has no stream of pictures",
    "UnsupportedCodec": "no decoder knows the codec",
    "Truncated": "the file is cut off or damaged",
    "NoContainer": "no container can hold the pictures so that a player shows what it shows of the source",
    "FramesLost": "more of the frames cannot be read than is allowed",
    "NoFrames": "the video stream has no frame that can be shown",
    "TooShort": "the video is shorter than the shortest that is scored",
    "TooLong": "the video is longer than the longest that is scored",
    "TooLarge": "the video has too many pixels or frames, or its row too many bytes",
    "NoAudio": "the video has no sound to learn from",
    "NoTrack": "the video has fewer audio tracks than the one that was chosen",
    "SilentAudio": "the video's sound is silent",
    "AudioFailed": "the sound cannot be decoded",
    WORKER_DIED: "several workers died while they computed this video",
}
_RETRYABLE = {
    "Killed": "somebody, or a system short of memory, killed the child process",
    "OutOfMemory": "the GPU had too little memory for the smallest batch",
    "OutOfMemoryError": "PyTorch's own error where the GPU had too little memory",
    "Unreachable": "the storage cannot be reached over the network",
    "Unavailable": "the storage is overloaded or failing",
    "CutShort": "fewer or more bytes came or arrived than the file has",
    "MusicLost": "the music that was kept for another mix is gone or damaged; the second try makes it again",
    "Damaged": "other bytes arrived at the destination than were sent",
}
_NEXT_RUN = {
    UNREADABLE: "the file cannot be opened or read",
    "DecodeFailed": "the decoder gave up or crashed",
    "DecodeTimeout": "decoding took longer than its deadline",
    "DecodeMemory": "decoding needs more memory than it may take",
    "AudioTimeout": "decoding the sound took longer than its deadline",
    "AudioMemory": "decoding the sound needs more memory than it may take",
    "NoFeatures": "an imported clip lacks features",
    "BadFeatures": "an imported clip's features cannot be used",
    "NotFinite": "a network gave values that are not numbers",
    "MuxFailed": "the scored video cannot be written",
    NOT_FOUND: "there is no such file",
    "NotAFile": "a folder, or a part of the path, stands where a file is needed",
    "NotAFolder": "a file stands where a folder is needed",
    BAD_NAME: "the storage cannot hold such a name",
    "Failed": "the storage failed for another reason",
    FINISHED: "the result was recorded before, only the message about it was lost",
}
_FATAL = {"DiskFull": "a disk, a quota or a bucket is full"}
_FATAL_AT_DESTINATION = {
    "Credentials": "the storage's credentials are missing, wrong or expired",
    "AccessDenied": "the storage refuses to read or write",
    "NoBucket": "there is no such bucket",
}

ERROR_KINDS = {
    kind: ErrorKind(meaning, treatment)
    for treatment, kinds in (
        (Treatment.PERMANENT, _PERMANENT),
        (Treatment.RETRYABLE, _RETRYABLE),
        (Treatment.NEXT_RUN, _NEXT_RUN),
        (Treatment.FATAL, _FATAL),
        (Treatment.FATAL_AT_DESTINATION, _FATAL_AT_DESTINATION),
    )
    for kind, meaning in kinds.items()
}
"""The table: error kinds by their names on disk."""


def treatment_of(kind: str | None) -> Treatment | None:
    """The treatment of a row's error kind; None for a row without an error.

    A kind that the table does not know is an exception that nobody foresaw: the next run tries the video again.
    """
    if kind is None:
        return None
    return ERROR_KINDS[kind].treatment if kind in ERROR_KINDS else Treatment.NEXT_RUN


def is_permanent(kind: str | None) -> bool:
    """Whether the same file would fail again with this kind of error."""
    return treatment_of(kind) is Treatment.PERMANENT


def is_retryable(kind: str | None) -> bool:
    """Whether a second try in the same run may well succeed after this kind of error."""
    return treatment_of(kind) is Treatment.RETRYABLE
