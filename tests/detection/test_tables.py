from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.contract import CONTRACTS, encode
from detection.sessions import COLUMNS, Kind
from detection.tables import columns_of, inputs_of, session_table

PART = st.text("aÄ/\0", min_size=4, max_size=5)
LONG = st.builds(lambda part, end: part * 120 + end, PART, PART)  # around what a column is cut to; drawn in few choices
TEXT = st.none() | st.text(max_size=5) | LONG
NUMBER = st.none() | st.integers(-(2**50), 2**63 - 1)
VALUES = {Kind.TEXT: TEXT, Kind.INTEGER: NUMBER, Kind.TIME: st.none() | st.integers(0, 2**50), Kind.HITS: st.just([])}
ROW = st.fixed_dictionaries({column.name: VALUES[column.kind] for column in COLUMNS})


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
@settings(max_examples=50, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=6), first=st.integers(0, 3))
def test_the_buffers_of_a_table_become_the_same_arrays_as_its_plain_values(contract, rows, first):
    table = session_table({column.name: [row[column.name] for row in rows] for column in COLUMNS}).slice(first)
    told, plain = inputs_of(contract, table), encode(contract, columns_of(table))
    assert np.array_equal(told.numbers, plain.numbers, equal_nan=True)
    assert np.array_equal(told.feed()["text"], plain.feed()["text"])
