"""Clashes of names: which videos keep the usual names where several would write the same file.

The one whose results stand at the destination keeps its names, else the first in order; every other one gets its full
name as the stem (`pipeline.sources.naming`). What an earlier run has written is never renamed, and never replaced by
the results of another video.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.sources.identity import item_id
from pipeline.sources.naming import (
    FALLBACK_SUFFIX,
    SUFFIXES_BESIDE,
    ResultNames,
    folded,
    folders_of,
    name_parts,
    names_with_full_stem,
    names_with_stem,
    numbered_names,
    usual_names,
)
from stages.contracts import Row


@dataclass(frozen=True)
class NamedSource:
    """A video that wants names.

    Attributes:
        name: its path below its source, as the destination can spell it.
        uri: its location.
        content_id: its content id; None if that was not read.
    """

    name: str
    uri: str
    content_id: str | None


@dataclass(frozen=True)
class EarlierResult:
    """A result that an earlier run has written.

    Attributes:
        item_id, content_id, uri: its ids and its source, as the ledger has them.
        files: names of its files, the scored video first.
    """

    item_id: str
    content_id: str
    uri: str
    files: tuple[str, ...]

    @classmethod
    def of_row(cls, row: Row) -> EarlierResult:
        """Returns the result that a ledger row records as done."""
        return cls(row["item_id"], row["content_id"], row["uri"], tuple(output["name"] for output in row["outputs"]))

    @property
    def stem(self) -> str:
        """The stem of the files beside the video."""
        for file in self.files:
            for suffix in SUFFIXES_BESIDE:
                if file.endswith(suffix):
                    return file.removesuffix(suffix)
        return usual_names(self.files[0]).stem

    def names_for(self, name: str) -> ResultNames | None:
        """Returns the result's names if they are names that a video of this name gets, else None.

        The output that was meant is recognized by the item id, because the file itself may be the fallback.
        """
        for names in names_with_stem(name, self.stem):
            if item_id(self.content_id, names.output) == self.item_id:
                return names
        return None


def contested(names: Sequence[str], earlier: Iterable[EarlierResult]) -> list[bool]:
    """Returns for each video's name whether another video, or an earlier result, has one of its usual names.

    Two videos have a usual name in common only if their stems are the same.
    """
    stems = [folded(usual_names(name).stem) for name in names]
    number = Counter(stems)
    written = {folded(file) for result in earlier for file in result.files}
    return [
        number[stem] > 1 or any(folded(file) in written for file in usual_names(name).written)
        for name, stem in zip(names, stems, strict=True)
    ]


def assign_names(videos: Sequence[NamedSource], earlier: Sequence[EarlierResult] = ()) -> list[ResultNames]:
    """Returns the names of all videos' results: no two write the same file, or one a file where another needs a folder.

    Names that differ only in case or in the Unicode form of their accents count as the same, because results may be
    copied to disks that cannot tell them apart.

    Args:
        videos: the videos, in the order in which they may choose.
        earlier: the results at the destination. A video keeps the names of its own: those of the same content, or else
            those that were made of the file at the same location.
    """
    own = _own_results(videos, earlier)
    chosen = {number: names for number, (_, names) in own.items()}
    taken = _TakenNames()
    for result in earlier:
        taken.add(result.files)
    files_before = dict(taken.files)
    for video in videos:
        taken.folders.update(folders_of(video.name))
    for names in chosen.values():
        taken.add([names.output])
    for number, video in enumerate(videos):
        if number not in chosen and taken.has_room_for(usual := usual_names(video.name)):
            chosen[number] = usual
            taken.add(usual.written)
    for number, video in enumerate(videos):
        if number not in chosen:
            chosen[number] = next(filter(taken.has_room_for, taken.names_after_a_clash(video.name)))
            taken.add(chosen[number].written)
    complete = []
    for number, video in enumerate(videos):
        names = chosen[number]
        before = own[number][0].files[0] if number in own else names.output
        fallback = before if before != names.output else taken.fallback_for(video.name, names)
        taken.add([fallback])
        blocked_by = next((files_before[f] for f in folders_of(video.name) if f in files_before), None)
        complete.append(replace(names, fallback=fallback, blocked_by=blocked_by))
    return complete


def _own_results(
    videos: Sequence[NamedSource], earlier: Sequence[EarlierResult]
) -> dict[int, tuple[EarlierResult, ResultNames]]:
    """Returns the results at the destination that the videos have, and their names, by the videos' numbers.

    The same content at the same location comes first, then the same content elsewhere, then another content at the
    same location: a file that was replaced. Each result belongs to one video at most.
    """
    by_content, by_uri = defaultdict[str, list[EarlierResult]](list), defaultdict[str, list[EarlierResult]](list)
    for result in earlier:
        by_content[result.content_id].append(result)
        by_uri[result.uri].append(result)
    same: list[Callable[[NamedSource], Iterable[EarlierResult]]] = [
        lambda video: (r for r in by_content.get(video.content_id or "", ()) if r.uri == video.uri),
        lambda video: by_content.get(video.content_id or "", ()),
        lambda video: by_uri.get(video.uri, ()),
    ]
    own, used = dict[int, tuple[EarlierResult, ResultNames]](), set[str]()
    for results_of in same:
        for number, video in enumerate(videos):
            for result in results_of(video) if number not in own else ():
                if result.item_id not in used and (names := result.names_for(video.name)):
                    own[number] = result, names
                    used.add(result.item_id)
                    break
    return own


class _TakenNames:
    """The files and folders below a destination that are taken, without differences that some disks cannot tell."""

    def __init__(self) -> None:
        self.files = dict[str, str]()  # each as it is written, by its folded name
        self.folders = set[str]()
        self._next_numbers = defaultdict[str, int](lambda: 2)

    def add(self, names: Iterable[str]) -> None:
        """Takes names of files, and the folders that they lie in."""
        for name in names:
            self.files[folded(name)] = name
            self.folders.update(folders_of(name))

    def has_room_for(self, names: ResultNames) -> bool:
        """Whether none of the files is taken, or is a folder."""
        return not any(map(self._holds, names.written))

    def names_after_a_clash(self, name: str) -> Iterator[ResultNames]:
        """Yields the names for a video whose usual names are taken: with its full name as the stem, then numbered."""
        yield from names_with_full_stem(name)
        key = folded(name)
        while True:
            yield numbered_names(name, self._next_numbers[key])
            self._next_numbers[key] += 1

    def fallback_for(self, name: str, names: ResultNames) -> str:
        """Returns a .mkv that nobody else writes: the output itself, the usual one, or one of the full name."""
        if names.output.endswith(FALLBACK_SUFFIX):
            return names.output
        fallback = names.fallback
        if self._holds(fallback):
            fallback = name_parts(name)[1] + FALLBACK_SUFFIX
        while self._holds(fallback):
            fallback += FALLBACK_SUFFIX
        return fallback

    def _holds(self, name: str) -> bool:
        return (plain := folded(name)) in self.files or plain in self.folders
