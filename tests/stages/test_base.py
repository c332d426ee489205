"""A failing row never touches another."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pytest

from stages.base import ItemError, Stage
from stages.contracts import MANIFEST, Contract, ContractError, Row, rows_of, table_of, tensor
from tests.support.rows import common

SQUARED = Contract("squared", {"square": tensor(pa.float32())}, 1 << 20)


class Squaring(Stage):
    """Squares the size of each row; a batch with a bad row fails as a whole."""

    name = "squaring"
    reads, writes = MANIFEST, SQUARED

    def __init__(self) -> None:
        self.calls: list[int] = []

    def process(self, rows: list[Row]) -> list[Row | Exception]:
        self.calls.append(len(rows))
        if any(row["size"] == 13 for row in rows):
            raise ZeroDivisionError("thirteen\nis unlucky")
        return [
            ItemError("Odd", "an odd size: take an even one")
            if row["size"] % 2
            else {"square": np.array([row["size"] ** 2])}
            for row in rows
        ]


def run(sizes: list[int | None]) -> tuple[Squaring, list[Row]]:
    stage = Squaring()
    gone = {"stage": "source", "type": "Unreadable", "message": "gone"}
    rows = [common(str(i), size=size or 0, error=None if size else gone) for i, size in enumerate(sizes)]
    return stage, rows_of(SQUARED.check(stage(table_of(rows, MANIFEST))))


def test_rows_keep_their_order_and_errors_become_columns() -> None:
    _, rows = run([2, 3, 4])
    assert [row["square"] and row["square"].tolist() for row in (rows[0], rows[2])] == [[4.0], [16.0]]
    assert rows[1]["error"] == {"stage": "squaring", "type": "Odd", "message": "an odd size: take an even one"}
    assert rows[1]["square"] is None


def test_an_exception_costs_one_row_and_its_line_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        stage, rows = run([2, 13, 4])
    assert stage.calls == [3, 1, 1, 1]
    assert [row["error"] for row in (rows[0], rows[2])] == [None, None]
    assert rows[1]["error"] == {"stage": "squaring", "type": "ZeroDivisionError", "message": "thirteen is unlucky"}
    assert "ZeroDivisionError" in caplog.text


def test_rows_with_an_error_pass_untouched() -> None:
    stage, rows = run([None, 2, None])
    assert stage.calls == [1]
    assert [row["error"] and row["error"]["type"] for row in rows] == ["Unreadable", None, "Unreadable"]
    assert rows[0]["seconds"] == {}
    assert rows[1]["seconds"]["squaring"] > 0


def test_a_table_of_errors_computes_nothing() -> None:
    stage, rows = run([None])
    assert (stage.calls, len(rows)) == ([], 1)


def test_a_broken_contract_is_our_fault_and_stops_the_run() -> None:
    with pytest.raises(ContractError):
        Squaring()(pa.table({"item_id": ["a"]}))


def test_what_a_row_carries_on_counts_for_its_budget() -> None:
    """Columns that an earlier stage made may be too much for the next contract: the row's fault, not the run's."""
    both = {"square": tensor(pa.float32()), "carried": tensor(pa.float64())}

    class Carrying(Squaring):
        reads = Contract("carrying", {"carried": tensor(pa.float64())}, 4 << 20)
        writes = Contract("both", both, 1 << 20)

    rows = [common(str(n)) | {"size": 2, "carried": np.zeros(length)} for n, length in enumerate((10, 400_000))]
    good, bad = rows_of(Carrying()(table_of(rows, Carrying.reads)))
    assert good["error"] is None
    assert (bad["error"]["type"], bad["square"]) == ("TooLarge", None)
