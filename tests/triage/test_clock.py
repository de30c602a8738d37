"""Deadlines in hours: running, met or breached, whatever the times are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.services.clock import DEADLINE, Clock, due, reading

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
        (None, hours(24), "running", "0 h 0 m", True),
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
    assert (shown.state is Clock.BREACHED) == ((stopped if stopped is not None else now) > DEADLINE)
    if at is not None:
        assert shown == reading(due(received), at, received + now + timedelta(days=1))
    else:
        assert shown.state is not Clock.MET
