"""Labelled sessions for one training."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

from detection.reference import pack
from detection.training import TrainingRows, exclude, group_of, read_training_set, write_training_set
from tests.detection.make_training_rows import make_session, make_training_rows


def shuffled(rows: TrainingRows) -> TrainingRows:
    return rows.take(np.random.default_rng(3).permutation(len(rows)))


def test_a_training_set_reads_back_the_same() -> None:
    rows = make_training_rows(30)
    rows.rows["uri"][0] = "/\x00\ud800\u202e"  # type: ignore[index]
    rows.rows["hits"][1] = [{"sid": 1, "signature": "ET EXPLOIT x"}]  # type: ignore[index]
    again = read_training_set(write_training_set(rows))
    canonical = rows.canonical()
    assert again.rows == canonical.rows
    assert again.key == canonical.key
    assert (again.source, again.origin, again.group) == (canonical.source, canonical.origin, canonical.group)
    np.testing.assert_array_equal(again.label, canonical.label)
    np.testing.assert_array_equal(again.weight, canonical.weight)
    assert again.label.dtype == np.int8 and again.weight.dtype == np.float64


def test_the_order_of_the_rows_does_not_change_the_file() -> None:
    rows = make_training_rows(50)
    assert write_training_set(rows) == write_training_set(shuffled(rows))


def test_an_empty_training_set_is_a_file_too() -> None:
    rows = make_training_rows(10).take(np.array([], dtype=np.intp))
    assert len(read_training_set(write_training_set(rows))) == 0


def test_a_session_with_several_labels_keeps_the_strongest() -> None:
    rows = make_training_rows(
        4,
        key=["a", "a", "a", "b"],
        origin=["background", "expert", "rule", "rule"],
        label=np.array([0, 1, 0, 0], dtype=np.int8),
    )
    canonical = rows.canonical()
    assert canonical.key == ["a", "b"]
    assert canonical.origin == ["expert", "rule"]
    assert canonical.label.tolist() == [1, 0]


def test_exclude_drops_hold_out_sessions_and_their_look_alikes() -> None:
    rows = make_training_rows(6, group=[group_of(shape, host) for shape, host in zip("aabbcc", "121212", strict=True)])
    kept = exclude(rows, holdout_keys={rows.key[0]}, holdout_pairs={("b", "2")})
    assert kept.key == [rows.key[index] for index in (1, 2, 4, 5)]
    assert kept.rows["flow_id"] == [1, 2, 4, 5]
    assert exclude(rows, (), ()).key == rows.key
    assert len(exclude(rows, rows.key, ())) == 0


def test_poisoned_hold_out_rows_never_reach_the_frozen_file() -> None:
    clean = make_training_rows(40)
    poison = make_training_rows(
        10,
        key=[f"poison|{number}" for number in range(10)],
        group=[group_of("poison", f"h{number}") for number in range(10)],
        rows={name: [value] * 10 for name, value in make_session("/POISON").items()},
    )
    mixed = TrainingRows(
        rows={name: [*clean.rows[name], *poison.rows[name]] for name in clean.rows},
        label=np.concatenate([clean.label, 1 - poison.label]),
        weight=np.concatenate([clean.weight, poison.weight * 1_000]),
        source=clean.source + poison.source,
        origin=clean.origin + ["expert"] * 10,
        group=clean.group + poison.group,
        key=clean.key + poison.key,
    )
    by_key = exclude(mixed, poison.key, ())
    by_pair = exclude(mixed, (), {("poison", f"h{number}") for number in range(10)})
    assert write_training_set(by_key) == write_training_set(by_pair) == write_training_set(clean)
    assert b"POISON" not in gzip.decompress(write_training_set(by_key))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ["a"]}, "1 keys, but"),
        ({"label": np.array([0, 1, 2], dtype=np.int8)}, r"label is 1 \(positive\) or 0"),
        ({"weight": np.array([1.0, 0.0, 1.0])}, "weight is a finite number above 0"),
        ({"weight": np.array([1.0, np.nan, 1.0])}, "weight is a finite number above 0"),
        ({"origin": ["rule", "rule", "proof"]}, r"unknown origins \['proof'\]"),
        ({"source": ["a"]}, "3 keys, but {'source': 1}"),
    ],
)
def test_rows_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_training_rows(3, **changes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04", "not a whole gzip file"),
        (pack(b""), "not a training set"),
        (pack(b'{"format":"etalon-snapshot","version":1,"rows":0}\n'), "not a training set"),
        (pack(b'{"format":"etalon-training-set","version":2,"rows":0}\n'), "not a training set"),
        (pack(b'{"format":"etalon-training-set","version":1,"rows":3,"columns":[]}\n'), "0 rows of 3"),
    ],
)
def test_a_torn_or_foreign_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_training_set(data)
