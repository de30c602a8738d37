"""Deadlines in hours: running, paused, met or breached, whatever the times are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.services.clock import DEADLINE, WARN_BEFORE, Clock, due, reading, resumed, warning_at

RECEIVED = datetime(2026, 3, 1, 6, 10, tzinfo=UTC)
DUE = due(RECEIVED)


def hours(number: float) -> datetime:
    return RECEIVED + timedelta(hours=number)


@pytest.mark.parametrize(
    ("stopped", "now", "state", "text", "close"),
    [
        (None, hours(0), "running", "24 h 0 m", False),
        (None, hours(19.9), "running", "4 h 6 m", False),
        (None, hours(20), "running", "4 h 0 m", True),
        (None, hours(24), "breached", "0 h 0 m", True),
        (None, hours(24.5), "breached", "0 h 30 m", True),
        (hours(3), hours(90), "met", "21 h 0 m", False),
        (hours(24), hours(90), "met", "0 h 0 m", False),
        (hours(49), hours(90), "breached", "25 h 0 m", False),
    ],
)
def test_what_a_clock_shows(stopped, now, state, text, close):
    shown = reading(DUE, stopped, now)
    assert (shown.state, shown.text, shown.is_close) == (state, text, close)


SPANS = st.timedeltas(timedelta(), timedelta(days=30))


@given(received=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)), stopped=st.none() | SPANS, now=SPANS)
def test_a_clock_never_shows_less_than_nothing_and_a_stopped_one_stands_still(received, stopped, now):
    at = received + stopped if stopped is not None else None
    shown = reading(due(received), at, received + now)
    assert shown.left >= timedelta()
    assert (shown.state is Clock.BREACHED) == (now >= DEADLINE if stopped is None else stopped > DEADLINE)
    if at is not None:
        assert shown == reading(due(received), at, received + now + timedelta(days=1))
    else:
        assert shown.state is not Clock.MET


def test_a_resting_clock_stands_still_and_needs_nobody():
    first, later = (reading(DUE, None, hours(at), paused_at=hours(21)) for at in (21, 300))
    assert first == later
    assert (first.state, first.text, first.is_close) == ("paused", "3 h 0 m", False)
    assert reading(DUE, None, hours(300), paused_at=hours(25)).state == "breached"
    assert reading(DUE, None, hours(300), paused_at=hours(24)).state == "paused"  # asked at the last moment


def test_what_was_left_before_a_rest_is_left_after_it():
    moved = resumed(DUE, hours(21), hours(121))
    assert reading(moved, None, hours(121)).text == "3 h 0 m"
    assert moved == DUE + timedelta(hours=100)
    assert warning_at(moved) == moved - WARN_BEFORE
    assert resumed(DUE, hours(21), hours(20.9)) == DUE  # two machines' clocks


@given(spans=st.lists(st.tuples(SPANS, st.booleans()), min_size=1, max_size=8))
def test_no_way_of_running_and_resting_loses_or_doubles_time(spans):
    """Whatever the order, time that ran and time that is left are 24 hours together."""
    now, due_at, ran = RECEIVED, DUE, timedelta()
    for span, rests in spans:
        began, now = now, now + span
        if rests:
            due_at = resumed(due_at, began, now)
        else:
            ran += span
    shown = reading(due_at, None, now)
    assert (-shown.left if shown.state is Clock.BREACHED else shown.left) == DEADLINE - ran
