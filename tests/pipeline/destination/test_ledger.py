"""The ledger: written rows stay, the latest row of an item is its state, and done means that its files exist."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.destination.ledger import SCHEMA, Ledger, LedgerError
from pipeline.storage.storage import Storage
from tests.support.ledger import START, failed, row


@pytest.fixture(params=["local", "s3"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    if request.param == "local":
        return Ledger(Storage.open(tmp_path / "out"))
    return Ledger(Storage.open(f"{request.getfixturevalue('bucket').url}/out"))


def test_rows_come_back_as_they_were_written(ledger: Ledger) -> None:
    assert ledger.table().equals(SCHEMA.empty_table())
    name = ledger.append([row("a"), failed("b")])
    table = ledger.table()
    assert table.schema.equals(SCHEMA)
    done, bad = table.to_pylist()
    assert done == row("a") | {
        "seconds": [("decode", 0.5), ("sample", 2.0)],
        "stage": None,
        "error_type": None,
        "error_message": None,
    }
    assert (bad["state"], bad["stage"], bad["error_type"], bad["outputs"]) == ("failed", "decode", "NotAVideo", None)
    assert re.fullmatch(r"\.diff-v2m/ledger/\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{12}\.parquet", str(name))


def test_parts_are_only_added_and_sort_by_time(ledger: Ledger) -> None:
    names = [ledger.append([row(f"{i}", i)]) for i in range(5)]
    before = [ledger.storage.read(str(name)) for name in names]
    names.append(ledger.append(ledger.table().slice(0, 1)))
    assert names == sorted(map(str, names)) == ledger.parts()
    assert [ledger.storage.read(str(name)) for name in names[:5]] == before
    assert ledger.table()["item_id"].to_pylist() == ["0", "1", "2", "3", "4", "0"]
    assert ledger.append([]) is None
    assert len(ledger.parts()) == 6


def test_many_writers_at_once_lose_nothing(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as writers:
        names = set(writers.map(lambda i: ledger.append([row(f"{i}")]), range(24)))
    assert len(names) == 24
    assert sorted(map(int, ledger.table()["item_id"].to_pylist())) == list(range(24))


def test_latest_is_the_row_that_finished_last(ledger: Ledger) -> None:
    ledger.append([row("a", 5, attempt=2), failed("b", 1), failed("c", 3, attempt=1)])
    ledger.append([failed("a", 2, attempt=1), row("b", 4, attempt=2), row("c", 3, attempt=2)])
    latest = {r["item_id"]: (r["state"], r["attempt"]) for r in ledger.latest().to_pylist()}
    assert latest == {"a": ("done", 2), "b": ("done", 2), "c": ("done", 2)}
    assert ledger.latest()["item_id"].to_pylist() == ["a", "b", "c"]


def test_parts_are_read_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([row("a")])
    first = str(ledger.append([row("b")]))
    assert ledger.table().num_rows == 2
    ledger.append([row("c")])
    read = list[str]()
    whole = Storage.read
    monkeypatch.setattr(Storage, "read", lambda self, name: (read.append(name), whole(self, name))[1])
    assert Ledger(ledger.storage).table()["item_id"].to_pylist() == ["a", "b", "c"]
    assert read == ledger.parts()[2:]
    ledger.storage.delete(first)
    assert ledger.table()["item_id"].to_pylist() == ["a", "c"]


def test_results_are_the_rows_whose_files_nobody_wrote_again(ledger: Ledger) -> None:
    sound = {"name": "a.wav", "path": "/out/a.wav", "size": 4, "sha256": "0" * 64}
    ledger.append([row("a", outputs=[*row("a")["outputs"], sound]), row("b"), failed("c")])
    ledger.append([row("b", 1, fingerprint="G"), failed("b", 2)])
    assert ledger.results()["item_id"].to_pylist() == ["a", "b"]
    ledger.append([row("x", 3, outputs=[*row("x")["outputs"], sound])])
    assert ledger.results()["item_id"].to_pylist() == ["b", "x"]  # a's sound is another video's now
    for name in ("a.mp4", "a.wav", "x.mp4"):
        ledger.storage.write(name, b"1234")
    assert ledger.done("F") == {"x"}


def test_done_needs_the_outputs_with_their_recorded_size(ledger: Ledger) -> None:
    both = [
        {"name": "sub/two.mp4", "path": "x", "size": 3, "sha256": ""},
        {"name": "sub/two.wav", "path": "x", "size": 5, "sha256": ""},
    ]
    ledger.append([row("whole"), row("gone"), row("short"), failed("bad"), row("other", fingerprint="G")])
    ledger.append([row("two", output="sub/two.mp4", outputs=both), row(".hidden")])
    for name, data in [("whole.mp4", b"1234"), ("short.mp4", b"123"), ("other.mp4", b"1234"), ("bad.mp4", b"1234")]:
        ledger.storage.write(name, data)
    ledger.storage.write(".hidden.mp4", b"1234")
    ledger.storage.write("sub/two.mp4", b"123")
    assert ledger.done("F") == {"whole", ".hidden"}
    ledger.storage.write("sub/two.wav", b"12345")
    assert ledger.done("F") == {"whole", "two", ".hidden"}
    assert ledger.done("G") == {"other"}
    assert ledger.done("H") == set()


def test_done_follows_what_lies_at_the_output_now(ledger: Ledger) -> None:
    for name in "abcd":
        ledger.storage.write(f"{name}.mp4", b"1234")
    ledger.append([row("a"), row("b"), row("c"), row("d")])
    ledger.append([failed("a", 1), failed("b", 1, fingerprint="G"), row("c", 1, fingerprint="G")])
    ledger.append([row("new", 2, output="d.mp4", outputs=row("d")["outputs"])])
    # a failed again under F; b failed under G, which wrote nothing; c and d were written over
    assert ledger.done("F") == {"b", "new"}
    assert ledger.done("G") == {"c"}


def test_the_other_fingerprints_are_named(ledger: Ledger) -> None:
    assert ledger.other_fingerprints("F") == []
    ledger.append([row("a"), row("b", fingerprint="Z"), failed("c", fingerprint="G")])
    assert ledger.other_fingerprints("F") == ["Z"]  # a failure leaves no music
    assert ledger.other_fingerprints("new") == ["F", "Z"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stat": 1}, "unknown columns ['stat']"),
        ({"item_id": None}, "column 'item_id' has 1 empty"),
        ({"fingerprint": None}, "column 'fingerprint' has 1 empty"),
        ({"finished": None}, "column 'finished' has 1 empty"),
        ({"state": "finished"}, "got 'finished'"),
        ({"outputs": []}, "a done row has outputs"),
        ({"error_type": "X"}, "and no error"),
        ({"state": "failed"}, "a failed row has an error_type"),
        ({"attempt": "first"}, "attempt is no int32"),
        ({"seconds": {"decode": "fast"}}, "seconds is no map"),
    ],
)
def test_a_wrong_row_writes_nothing(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    ledger = Ledger(Storage.open(tmp_path))
    with pytest.raises(LedgerError, match=re.escape(words)):
        ledger.append([row("fine"), row("a") | changed])
    assert ledger.parts() == []


def test_a_broken_or_foreign_part_is_named(ledger: Ledger) -> None:
    name = str(ledger.append([row("a")]))
    whole = ledger.storage.read(name)
    for broken in (whole[: len(whole) // 2], b"", b"text", whole[:-1], b"\0" * len(whole)):
        ledger.storage.write(name, broken)
        with pytest.raises(LedgerError, match=re.escape(ledger.storage.uri(name))) as caught:
            ledger.latest()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns(["seed"]), "no column 'seed'"),
        (lambda t: t.set_column(0, "item_id", pa.array([1])), "column 'item_id' is int64, expected string"),
    ],
)
def test_a_part_of_another_schema_is_named(tmp_path: Path, change: Any, words: str) -> None:
    import pyarrow.parquet as pq

    ledger = Ledger(Storage.open(tmp_path))
    name = str(ledger.append([row("a")]))
    pq.write_table(change(ledger.table()), tmp_path / name)
    with pytest.raises(LedgerError, match=re.escape(words)):
        ledger.table()


def test_columns_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ledger = Ledger(Storage.open(tmp_path))
    name = str(ledger.append([row("a")]))
    pq.write_table(ledger.table().append_column("gpu", pa.array(["x"])), tmp_path / name)
    assert ledger.table().schema.equals(SCHEMA)
    assert ledger.latest().num_rows == 1


def test_columns_that_an_earlier_version_lacks_are_null(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ledger = Ledger(Storage.open(tmp_path))
    ledger.append([row("a")])
    (part,) = (tmp_path / ".diff-v2m" / "ledger").glob("*.parquet")
    pq.write_table(pq.ParquetFile(part).read().drop_columns(["frames_lost", "seconds_held", "left_behind"]), part)
    found = ledger.table()
    assert found.schema.equals(SCHEMA)
    assert found.select(["item_id", "frames_lost", "seconds_held", "left_behind"]).to_pylist() == [
        {"item_id": "a", "frames_lost": None, "seconds_held": None, "left_behind": None}
    ]


def test_others_read_the_folder_as_it_stands(tmp_path: Path) -> None:
    import pandas as pd
    from pyarrow import dataset

    ledger = Ledger(Storage.open(tmp_path))
    ledger.append([row("a"), failed("b")])
    ledger.append([row("b", 1, attempt=2)])
    (tmp_path / ledger.folder / f".diff-v2m-{'0' * 32}.tmp").write_bytes(b"left by a run that was killed")
    frame = pd.read_parquet(tmp_path / ledger.folder)
    assert frame.groupby("state").size().to_dict() == {"done": 2, "failed": 1}
    assert frame["finished"].max() == START + timedelta(minutes=1, seconds=30, microseconds=5)
    assert dataset.dataset(str(tmp_path / ledger.folder)).to_table().num_rows == 3
    assert ledger.table().num_rows == 3


def test_duckdb_reads_the_folder_as_it_stands(tmp_path: Path) -> None:
    import duckdb

    ledger = Ledger(Storage.open(tmp_path))
    ledger.append([row("a"), failed("b"), failed("c")])
    ledger.append([row("b", 1, attempt=2)])
    last_of_each = """
        SELECT state, count(*), sum(len(outputs)), sum(seconds['decode'])
        FROM (FROM read_parquet(?) QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY finished DESC) = 1)
        GROUP BY state ORDER BY state
    """
    rows = duckdb.execute(last_of_each, [str(tmp_path / ledger.folder / "*.parquet")]).fetchall()
    assert rows == [("done", 2, 2, 1.0), ("failed", 1, None, 0.5)]


def test_a_table_of_another_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="the new rows: no column 'item_id'"):
        Ledger(Storage.open(tmp_path)).append(pa.table({"x": [1]}))
