"""Which segments become one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from detection.compaction import CompactionPolicy, Stored, plan

POLICY = CompactionPolicy(most_rows=100, small_rows=50, least_sorted=20, many=3)
DAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 2, tzinfo=UTC)  # two hours after midnight


def one(pk: int, rows: int = 10, **fields: object) -> Stored:
    return replace(Stored(pk, "a", DAY, rows, NOON + timedelta(minutes=pk), False), **fields)  # type: ignore[arg-type]


def merged(*stored: Stored, now: datetime = LATER, policy: CompactionPolicy = POLICY) -> list[tuple[int, ...]]:
    return [batch.pks for batch in plan(stored, now, policy)]


def test_what_a_closed_day_has_becomes_one_in_the_order_of_intake() -> None:
    assert merged(one(2), one(1), one(3, rows=60)) == [(1, 2, 3)]


def test_only_equal_keys_and_days_become_one() -> None:
    assert merged(one(1), one(2, key="b")) == []
    assert merged(one(1), one(2, day=date(2026, 2, 28))) == []


def test_a_day_closes_two_hours_after_its_end() -> None:
    assert merged(one(1), one(2), now=LATER - timedelta(seconds=1)) == []
    found = plan([one(1), one(2)], NOON + timedelta(hours=2), POLICY, closed=[DAY])
    assert [batch.pks for batch in found] == [(1, 2)]


def test_of_a_day_that_goes_on_many_small_ones_become_one() -> None:
    small = [one(1), one(2), one(3)]
    now = NOON + timedelta(hours=2)
    assert merged(*small[:2], one(4, rows=50), now=now) == []
    assert merged(*small, one(4, rows=50), now=now) == [(1, 2, 3)]


def test_what_just_came_is_left() -> None:
    assert merged(one(1), one(2), one(3, taken_in=LATER - timedelta(minutes=59))) == [(1, 2)]


def test_no_more_rows_segments_or_hours_become_one_than_the_policy_says() -> None:
    assert merged(one(1, rows=60), one(2, rows=40), one(3, rows=30), one(4)) == [(1, 2), (3, 4)]
    assert merged(*map(one, range(1, 6)), policy=replace(POLICY, most_segments=3)) == [(1, 2, 3), (4, 5)]
    ages = [one(1), one(2), one(3, taken_in=NOON + timedelta(hours=30)), one(4, taken_in=NOON + timedelta(hours=31))]
    assert merged(*ages, now=LATER + timedelta(days=3)) == [(1, 2), (3, 4)]


def test_one_alone_is_sorted_when_that_helps() -> None:
    assert merged(one(1, rows=21)) == [(1,)]
    assert merged(one(1, rows=20)) == []
    assert merged(one(1, rows=21, is_compact=True)) == []


def test_a_merged_one_that_is_small_is_merged_again_and_a_large_one_is_left() -> None:
    assert merged(one(1, rows=49, is_compact=True), one(2)) == [(1, 2)]
    assert merged(one(1, rows=50, is_compact=True), one(2)) == []


def test_the_newest_days_come_first() -> None:
    older = [one(pk, day=date(2026, 2, 27)) for pk in (1, 2)]
    assert merged(*older, one(3), one(4)) == [(3, 4), (1, 2)]
