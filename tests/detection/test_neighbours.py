"""Nearest labelled sessions: a distance that is the sum of its reasons."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.contract import HTTP_1, TLS_1
from detection.features import feature_names
from detection.neighbours import make_index, read_index, write_index

NAMES = feature_names(HTTP_1)
LENGTH, STATUS = "uri_length", "status"
GAINS = {LENGTH: 3.0, STATUS: 1.0}


def table(*rows, contract=HTTP_1):
    """Return features of some sessions: zero but for those named."""
    names = feature_names(contract)
    values = np.zeros((len(rows), len(names)), np.float32)
    for number, row in enumerate(rows):
        for name, value in row.items():
            values[number, names.index(name)] = value
    return values


def test_features_that_the_trees_read_most_decide():
    index = make_index(HTTP_1, GAINS, [1, 2], table({LENGTH: 12, STATUS: 404}, {LENGTH: 340, STATUS: 200}))
    first, second = index.nearest({LENGTH: 12, STATUS: 200}, 5)
    assert (first.key, second.key) == (1, 2)
    assert first.distance == pytest.approx(0.25 * 0.5)  # a quarter of the gain, half of the ranks apart
    assert [(one.feature, one.own, one.other) for one in second.differences] == [(LENGTH, 12, 340)]


def test_alike_in_all_that_weighs_is_no_distance():
    index = make_index(HTTP_1, GAINS, [7], table({LENGTH: 12, STATUS: 200, "response_bytes": 9_999}))
    [found] = index.nearest({LENGTH: 12, STATUS: 200, "response_bytes": 1}, 5)
    assert (found.distance, found.differences) == (0, ())


def test_a_long_tail_does_not_stretch_the_rest():
    rows = [{LENGTH: length} for length in (10, 20, 30, 40, 1_000_000)]
    index = make_index(HTTP_1, {LENGTH: 1.0}, range(5), table(*rows))
    assert [one.distance for one in index.nearest({LENGTH: 10}, 5)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_a_value_against_none_is_as_far_as_can_be_and_none_against_none_alike():
    index = make_index(HTTP_1, {LENGTH: 1.0}, [1, 2], table({LENGTH: math.nan}, {LENGTH: 10}))
    assert [(one.key, one.distance) for one in index.nearest({LENGTH: 10}, 2)] == [(2, 0), (1, 1)]
    assert [(one.key, one.distance) for one in index.nearest({LENGTH: math.nan}, 2)] == [(1, 0), (2, 1)]


def test_codes_are_equal_or_not():
    rows = table({"ja3_code": 5}, {"ja3_code": 6}, {"ja3_code": 9_000}, contract=TLS_1)
    index = make_index(TLS_1, {"ja3_code": 1.0}, [1, 2, 3], rows)
    assert [one.distance for one in index.nearest({"ja3_code": 5}, 3)] == [0, 1, 1]


def test_without_gains_all_features_weigh_the_same():
    index = make_index(HTTP_1, {}, [1], table({}))
    assert len(index.names) == len(NAMES)
    assert index.weights.sum() == pytest.approx(1)


numbers = st.one_of(st.just(math.nan), st.floats(0, 1e6, width=32))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12), st.tuples(numbers, numbers))
def test_the_parts_add_up_and_a_stored_index_is_the_same(rows, own):
    values = table(*[dict(zip((LENGTH, STATUS), row, strict=True)) for row in rows])
    index = make_index(HTTP_1, GAINS, range(len(rows)), values)
    asked = dict(zip((LENGTH, STATUS), own, strict=True))
    found = index.nearest(asked, 5)
    for one in found:
        assert sum(part.part for part in one.differences) == pytest.approx(one.distance, abs=1e-5)
        assert 0 <= one.distance <= 1.0001
    again = read_index(HTTP_1, write_index(index)).nearest(asked, 5)
    assert [(one.key, one.distance) for one in again] == [(one.key, one.distance) for one in found]


def test_twenty_thousand_sessions_are_asked_in_milliseconds():
    rng = np.random.default_rng(1)
    values = rng.random((20_000, len(NAMES)), np.float32)
    index = make_index(HTTP_1, dict.fromkeys(NAMES[:40], 1.0), range(len(values)), values)
    asked = dict(zip(NAMES, values[7].tolist(), strict=True))
    assert index.nearest(asked, 1)[0].key == 7  # the ranks are worked out once
    began = time.process_time()
    for _turn in range(5):
        index.nearest(asked, 64)
    assert (time.process_time() - began) / 5 < 0.05
