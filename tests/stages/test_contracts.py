"""Tables keep their contracts, and arrays come back as they went in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from stages.contracts import FEATURES, LATENTS, MANIFEST, Contract, ContractError, rows_of, table_of, tensor
from tests.support.rows import common

BOX = Contract("box", {"x": tensor(pa.float32())}, budget=10_000)
shapes = arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
some_arrays = arrays_of.arrays(np.float32, shapes, elements=st.floats(-9, 9, width=32))


@given(st.lists(st.none() | some_arrays, max_size=5))
def test_arrays_of_any_shape_come_back(arrays: list[np.ndarray | None]) -> None:
    table = table_of([common(str(i), x=a) for i, a in enumerate(arrays)], BOX)
    back = [row["x"] for row in rows_of(BOX.check(table))]
    for before, after in zip(arrays, back, strict=True):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            assert after.dtype == before.dtype
            assert np.array_equal(after, before)


def test_arrays_come_back_from_slices_and_joined_tables() -> None:
    tables = [table_of([common(f"{i}{j}", x=np.full((i, 2), j)) for j in range(3)], BOX) for i in (1, 2)]
    rows = rows_of(pa.concat_tables([tables[0].slice(1), tables[1].slice(2)]))
    assert [row["x"].tolist() for row in rows] == [[[1, 1]], [[2, 2]], [[2, 2], [2, 2]]]


def test_views_are_not_copies() -> None:
    table = table_of([common("a", x=np.zeros((1000, 2)))], BOX)
    assert not rows_of(table)[0]["x"].flags.writeable


def test_plain_columns_come_back() -> None:
    row = common("a", 2.5, seconds={"decode": 0.25}, error={"stage": "decode", "type": "X", "message": "y"})
    back = rows_of(table_of([row], MANIFEST))[0]
    assert back == row


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: t.drop_columns(["latents"]), r"latents: missing columns \['latents'\], surplus columns \[\]"),
        (lambda t: t.append_column("extra", pa.nulls(len(t))), r"surplus columns \['extra'\]"),
        (lambda t: t.set_column(0, "item_id", pa.array([1])), "latents.item_id: expected string, got int64"),
    ],
)
def test_broken_contracts_are_named(change, line: str) -> None:
    table = table_of([common("a")], LATENTS)
    with pytest.raises(ContractError, match=line):
        LATENTS.check(change(table))


def test_rows_over_the_budget_are_refused() -> None:
    with pytest.raises(ContractError, match="is over the budget"):
        BOX.check(table_of([common("a", x=np.zeros(3000))], BOX))


def test_columns_are_put_in_order() -> None:
    table = table_of([common("a")], FEATURES)
    shuffled = table.select(sorted(table.column_names))
    assert FEATURES.check(shuffled).column_names == FEATURES.schema.names
