"""Names of files: what leaves the root is refused, and temporary ones are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.storage.errors import StorageError
from pipeline.storage.paths import check_name, is_hidden, is_temporary, split_scheme, temporary_name


def test_a_good_name_is_given_back() -> None:
    assert check_name("a/b c.mp4") == "a/b c.mp4"


@given(st.lists(st.sampled_from(["", ".", "..", "a", "b\0", "...", ".c"]), min_size=1, max_size=4))
def test_no_name_leaves_the_root(parts: list[str]) -> None:
    name = "/".join(parts)
    if {"", ".", "..", "b\0"} & set(parts):
        with pytest.raises(StorageError, match="no name below a folder"):
            check_name(name)
    else:
        assert check_name(name) == name


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(StorageError, match="not valid UTF-8"):
        check_name("clip\udcff.mp4")


def test_temporary_and_hidden_names_are_known() -> None:
    assert is_temporary(temporary_name())
    assert is_temporary(f"a/{temporary_name()}")
    assert not is_temporary("a/.diff-v2m-mine.tmp")
    assert is_hidden("a/.b/c")
    assert not is_hidden("a.b/c")


def test_schemes() -> None:
    assert split_scheme("clips/a%20b") == ("file", "clips/a%20b")
    assert split_scheme("file:///clips/a%20b") == ("file", "/clips/a b")
    assert split_scheme("S3://bucket/a%20b") == ("s3", "bucket/a%20b")
    with pytest.raises(StorageError, match="ftp:// is not supported"):
        split_scheme("ftp://host/a")
