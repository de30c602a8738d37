"""When sessions were seen: few slots, whatever the span, and no session lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detection.spread import SLOTS, WIDTHS, Spread

NOON = 1_772_366_400_000_000  # 2026-03-01 12:00 UTC, microseconds
MINUTE, DAY = 60_000_000, 86_400_000_000


def test_a_short_span_is_told_by_the_minute():
    spread = Spread().plus([NOON, NOON + 1, NOON + 3 * MINUTE])
    assert (spread.width, spread.bars) == (60, [2, 0, 0, 1])
    assert spread.begins == NOON // 1_000_000


def test_a_longer_span_merges_whole_slots():
    spread = Spread().plus([NOON, NOON + MINUTE]).plus([NOON + 10 * DAY])
    assert spread.width == 21_600
    assert (spread.bars[0], spread.bars[-1], spread.sessions) == (2, 1, 3)


def test_what_is_taken_out_is_gone_and_nothing_goes_below_zero():
    spread = Spread().plus([NOON, NOON + 5 * MINUTE]).minus([NOON, NOON, NOON + 90 * MINUTE])
    assert spread.bars == [1]


def test_a_clock_that_was_years_wrong_costs_no_room():
    spread = Spread().plus([0, NOON, NOON + DAY])
    assert (spread.width, len(spread.bars), spread.sessions) == (WIDTHS[-1], SLOTS, 3)


@given(st.lists(st.integers(0, 4_000_000_000_000_000), max_size=30))
def test_adding_at_once_or_one_by_one_keeps_every_session(starts):
    once, singly = Spread().plus(starts), Spread()
    for start in starts:
        singly = singly.plus([start])
    assert once.sessions == singly.sessions == len(starts)
    assert len(once.bars) <= SLOTS
    assert len(singly.bars) <= SLOTS
    assert Spread.from_dict(once.to_dict()) == once
