"""Names of results where several videos would write the same file."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.clashes import EarlierResult, NamedSource, assign_names
from pipeline.sources.identity import item_id
from pipeline.sources.naming import ResultNames, folded, folders_of, usual_names
from pipeline.storage.storage import Storage

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..")
)
CLASHING = st.lists(
    st.tuples(
        st.sampled_from(["a", "A", "a.mkv", "a.mp4", "b/a", "a.mov/a", "a.avi.2", "\u00e9", "e\u0301", "a.mp4.2"]),
        st.sampled_from(["", ".mp4", ".MP4", ".mov", ".avi", ".mkv", ".wav", ".json"]),
    ).map("".join),
    min_size=1,
    max_size=12,
)
"""Names that are in each other's way in every manner; the same name may come from several folders."""


def sources(names: list[str], start: int = 0) -> list[NamedSource]:
    return [NamedSource(name, f"/{start + i}/{name}", f"content of {start + i}") for i, name in enumerate(names)]


def done(videos: list[NamedSource], names: list[ResultNames], *, fallback: bool = False) -> list[EarlierResult]:
    """The results of a run that scored the videos; with `fallback` no container held its picture."""
    return [
        EarlierResult(
            item_id(video.content_id or "", name.output),
            video.content_id or "",
            video.uri,
            (name.fallback if fallback else name.output, f"{name.stem}.wav", f"{name.stem}.json"),
        )
        for video, name in zip(videos, names, strict=True)
        if name.blocked_by is None
    ]


def assert_apart(names: list[ResultNames], others: Sequence[EarlierResult] = ()) -> None:
    """Whatever is written, no file is written twice, nor where a folder is needed."""
    files = [folded(file) for name in names if not name.blocked_by for file in dict.fromkeys(name.possible)]
    files += [folded(file) for result in others for file in result.files]
    assert len(files) == len(set(files))
    assert not set(files) & {folder for file in files for folder in folders_of(file)}


@settings(max_examples=300)
@given(CLASHING)
def test_no_two_videos_share_a_file(names: list[str]) -> None:
    found = assign_names(sources(names))
    assert_apart(found)
    assert len({name.output for name in found}) == len(names)
    assert all(name.fallback.endswith(".mkv") for name in found)
    assert found == assign_names(sources(names))


@settings(max_examples=300)
@given(CLASHING, CLASHING, st.booleans(), st.randoms())
def test_what_is_done_keeps_its_names_whatever_is_added(
    names: list[str], more: list[str], fallback: bool, draws: random.Random
) -> None:
    videos = sources(names)
    first = assign_names(videos)
    earlier = done(videos, first, fallback=fallback)
    both = videos + sources(more, start=len(names))
    order = list(range(len(both)))
    draws.shuffle(order)
    again = dict(zip(order, assign_names([both[i] for i in order], earlier), strict=True))
    for i, name in enumerate(first):
        assert (again[i].output, again[i].stem) == (name.output, name.stem)
        if fallback:
            assert again[i].fallback == name.fallback
    if fallback:  # what was meant is not what was written
        again |= {i: replace(again[i], output=again[i].fallback) for i in range(len(names))}
    assert_apart(list(again.values()))


@settings(max_examples=200)
@given(CLASHING, CLASHING)
def test_results_of_videos_that_are_gone_are_not_written_over(names: list[str], more: list[str]) -> None:
    videos = sources(names)
    earlier = done(videos, assign_names(videos))
    assert_apart(assign_names(sources(more, start=len(names)), earlier), earlier)


def test_a_video_that_was_moved_or_replaced_keeps_its_names() -> None:
    earlier = done(sources(["a.mp4"]), assign_names(sources(["a.mp4"])))
    moved, replaced = (
        NamedSource("a.mp4", "/new/a.mp4", "content of 0"),
        NamedSource("a.mp4", "/0/a.mp4", "new content"),
    )
    for video in (moved, replaced):
        assert assign_names([video], earlier)[0].written == ("a.mp4", "a.wav", "a.json")
    assert [names.stem for names in assign_names([replaced, moved], earlier)] == ["a.mp4", "a"]
    other = NamedSource("a.mp4", "/new/a.mp4", "new content")
    assert assign_names([other], earlier)[0].written == ("a.mp4.mp4", "a.mp4.wav", "a.mp4.json")


def test_many_videos_of_one_name_are_numbered() -> None:
    found = assign_names(sources(["a.mp4"] * 2000))
    assert [name.output for name in found[:4]] == ["a.mp4", "a.mp4.mp4", "a.mp4.2.mp4", "a.mp4.3.mp4"]
    assert found[-1].written == ("a.mp4.1999.mp4", "a.mp4.1999.wav", "a.mp4.1999.json")


@settings(max_examples=200)
@given(NAMES, NAMES)
def test_every_file_written_for_a_name_stays_below_the_destination(folder: str, name: str) -> None:
    for destination in (Storage.open("/out"), Storage.open("s3://bucket/out")):
        names = usual_names(destination.spelling(f"{folder}/{name}"))
        written = [destination.uri(file) for file in names.written]
        assert all(uri.startswith(f"{destination.url}/") for uri in written)
        assert len(set(written)) == 3
        assert os.path.dirname(written[1]) == os.path.dirname(written[0])
        assert names.output.rpartition(".")[2] in ("mp4", "m4v", "mov", "webm", "mkv")
