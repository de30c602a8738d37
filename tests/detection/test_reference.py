"""Roles, limits against look-alikes, snapshots."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.reference import (
    HOLDOUT,
    REGRESSION,
    ReferencePolicy,
    Refusal,
    SnapshotRow,
    content_digest,
    counts,
    pack,
    read_snapshot,
    refusal,
    role_of,
    write_snapshot,
)

POLICY = ReferencePolicy()
KEY = b"a secret of this installation"


def make_row(number: int = 1, **changes: Any) -> SnapshotRow:
    values: dict[str, Any] = {
        "subject_key": f"sensor|{number}|0|1700000000000000",
        "answer": "positive",
        "rule_hit": False,
        "role": REGRESSION,
        "shape": f"{number:064x}",
        "fingerprint": f"{number + 1:064x}",
        "host": "192.0.2.7",
        "day": "2026-11-21",
        "source": "zeek",
        "title": "GET example.com/",
        "row": {"uri": f"/{number}\x00\ud800", "status": 200, "user_agent": None, "hits": []},
    }
    return SnapshotRow(**(values | changes))


def test_golden_roles() -> None:
    roles = [role_of(KEY, "ab" * 32, f"192.0.2.{host}", POLICY) for host in range(8)]
    assert roles == [REGRESSION, HOLDOUT, HOLDOUT, HOLDOUT, REGRESSION, REGRESSION, REGRESSION, HOLDOUT]


def test_the_share_of_hold_out_rows_is_the_policy_s() -> None:
    policy = ReferencePolicy(holdout_share=0.8)
    drawn = [role_of(KEY, f"{number:064x}", "192.0.2.7", policy) for number in range(10_000)]
    assert drawn.count(HOLDOUT) == pytest.approx(8_000, abs=160)  # four standard deviations


@given(st.text(), st.text())
def test_a_larger_share_only_adds_hold_out_rows(shape: str, host: str) -> None:
    roles = [role_of(KEY, shape, host, ReferencePolicy(holdout_share=share / 4)) for share in range(5)]
    assert roles[0] == REGRESSION and roles[4] == HOLDOUT
    assert sorted(roles, reverse=True) == roles


def test_the_role_depends_on_the_key_and_on_both_parts() -> None:
    pairs = [(f"{number:x}", "h") for number in range(200)]
    one, two = ([role_of(key, *pair, POLICY) for pair in pairs] for key in (b"one", b"two"))
    assert one != two
    assert one != [role_of(b"one", "h", shape, POLICY) for shape, _ in pairs]
    with pytest.raises(ValueError, match="secret key"):
        role_of(b"", "s", "h", POLICY)


def test_a_share_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="holdout_share"):
        ReferencePolicy(holdout_share=1.1)


@pytest.mark.parametrize(
    ("pair", "day", "expected"),
    [(0, 0, None), (0, 2, None), (1, 1, Refusal.PAIR_IS_IN), (0, 3, Refusal.DAY_IS_FULL), (1, 3, Refusal.PAIR_IS_IN)],
)
def test_look_alikes_do_not_fill_the_set(pair: int, day: int, expected: Refusal | None) -> None:
    assert refusal(rows_of_pair=pair, rows_of_day=day, policy=POLICY) is expected


def test_5000_look_alikes_of_one_day_give_three_rows() -> None:
    admitted: list[str] = []
    for number in range(5_000):
        host = f"10.0.{number // 250}.{number % 250}"
        if refusal(rows_of_pair=admitted.count(host), rows_of_day=len(admitted), policy=POLICY) is None:
            admitted.append(host)
    assert len(admitted) == 3


def test_a_snapshot_reads_back_with_every_hostile_byte() -> None:
    rows = [make_row(number) for number in range(5)]
    assert sorted(read_snapshot(write_snapshot(rows)), key=lambda row: row.shape) == rows


def test_the_order_of_the_rows_does_not_change_the_file() -> None:
    rows = [make_row(number) for number in range(50)]
    shuffled = random.Random(7).sample(rows, len(rows))
    assert write_snapshot(rows) == write_snapshot(shuffled)


def test_a_changed_role_is_another_snapshot() -> None:
    assert write_snapshot([make_row()]) != write_snapshot([make_row(role=HOLDOUT)])


def test_the_content_digest_survives_another_packing() -> None:
    data = write_snapshot([make_row()])
    repacked = gzip.compress(gzip.decompress(data), compresslevel=1)
    assert repacked != data
    assert content_digest(repacked) == content_digest(data)


def test_an_empty_set_is_a_snapshot_too() -> None:
    assert read_snapshot(write_snapshot([])) == []


def _edited(old: bytes, new: bytes) -> bytes:
    content = gzip.decompress(write_snapshot([make_row()]))
    assert old in content
    return pack(content.replace(old, new))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no gzip", "not a whole gzip file"),
        (write_snapshot([make_row()])[:-9], "not a whole gzip file"),
        (pack(b'{"format":"other"}\n'), "not a whole snapshot"),
        (_edited(b'"rows":1', b'"rows":2'), "not a whole snapshot"),
        (_edited(b'"version":1', b'"version":9'), "not a whole snapshot"),
        (_edited(b'"positive"', b'"perhaps"'), "answer: expected positive or negative"),
        (_edited(b'"regression"', b'"forwards"'), "role: expected one of"),
        (_edited(b'"host":', b'"hosts":'), "snapshot line 2: expected the keys"),
    ],
)
def test_a_torn_or_foreign_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_snapshot(data)


def test_counts_per_role_answer_and_source() -> None:
    rows = [make_row(1), make_row(2, role=HOLDOUT, answer="negative"), make_row(3, source="otrf")]
    assert counts(rows) == {
        "rows": 3,
        "roles": {HOLDOUT: {"positive": 0, "negative": 1}, REGRESSION: {"positive": 2, "negative": 0}},
        "sources": {"otrf": 1, "zeek": 2},
    }
