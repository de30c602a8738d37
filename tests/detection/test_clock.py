"""Deadlines in hours: running, paused, met or breached, whatever the times are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.clock import (
    DEADLINE,
    WARN_BEFORE,
    Change,
    Clock,
    Terms,
    due,
    marks,
    pause,
    reading,
    replay,
    resume,
    resumed,
    start,
    stop,
)

RECEIVED = datetime(2026, 3, 1, 6, 10, tzinfo=UTC)
DUE = due(RECEIVED)


def hours(number: float) -> datetime:
    return RECEIVED + timedelta(hours=number)


@pytest.mark.parametrize(
    ("stopped", "now", "state", "left", "close"),
    [
        (None, hours(0), "running", (24, 0), False),
        (None, hours(19.9), "running", (4, 6), False),
        (None, hours(20), "running", (4, 0), True),
        (None, hours(24), "breached", (0, 0), True),
        (None, hours(24.5), "breached", (0, 30), True),
        (hours(3), hours(90), "met", (21, 0), False),
        (hours(24), hours(90), "met", (0, 0), False),
        (hours(49), hours(90), "breached", (25, 0), False),
    ],
)
def test_what_a_clock_shows(stopped, now, state, left, close):
    shown = reading(DUE, stopped, now)
    assert (shown.state, shown.hours_and_minutes, shown.is_close) == (state, left, close)


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
    assert (first.state, first.hours_and_minutes, first.is_close) == ("paused", (3, 0), False)
    assert reading(DUE, None, hours(300), paused_at=hours(25)).state == "breached"
    assert reading(DUE, None, hours(300), paused_at=hours(24)).state == "paused"  # asked at the last moment


def test_what_was_left_before_a_rest_is_left_after_it():
    moved = resumed(DUE, hours(21), hours(121))
    assert reading(moved, None, hours(121)).hours_and_minutes == (3, 0)
    assert moved == DUE + timedelta(hours=100)
    assert marks(moved, Terms())[0].at == moved - WARN_BEFORE
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


# one mechanism: a history of changes gives the face, whatever the order


KINDS = st.sampled_from([Change.PAUSED, Change.RESUMED, Change.STOPPED])
STEPS = st.lists(st.tuples(KINDS, st.timedeltas(timedelta(), timedelta(days=3))), max_size=12)
TERMS = st.sampled_from([Terms(), Terms.within(8), Terms.within(72), Terms.within(None)])


@given(steps=STEPS, terms=TERMS)
def test_time_that_ran_and_time_that_is_left_are_the_promise(steps, terms):
    """Against a second count: minutes added up one span after the other while nobody was asked and nothing stopped."""
    changes, now = [(Change.STARTED, RECEIVED)], RECEIVED
    ran, running, stopped, before = timedelta(), True, False, RECEIVED
    for kind, span in steps:
        now += span
        changes.append((kind, now))
        if running and not stopped:
            ran += now - before
        before = now
        running = (running and kind is not Change.PAUSED) or kind is Change.RESUMED
        stopped = stopped or kind is Change.STOPPED
    face = replay(changes, terms)
    assert (face.due_at is None) == (terms.promise is None)
    if terms.promise is not None:
        at = face.stopped_at or face.paused_at or now
        assert face.due_at - at == terms.promise - ran
    again = replay(changes, Terms.from_dict(json.loads(json.dumps(terms.to_dict()))))
    assert again == face


@given(steps=STEPS, terms=TERMS, looks=st.lists(st.timedeltas(timedelta(), timedelta(days=40)), max_size=6))
def test_a_clock_that_nobody_looked_at_tells_the_same(steps, terms, looks):
    """An outage of the ticks: what is shown depends on the history and the moment alone."""
    now, changes = RECEIVED, [(Change.STARTED, RECEIVED)]
    for kind, span in steps:
        now += span
        changes.append((kind, now))
    face = replay(changes, terms)
    shown = [reading(face.due_at, face.stopped_at, now + look, paused_at=face.paused_at) for look in sorted(looks)]
    if face.stopped_at or face.paused_at or face.due_at is None:
        assert len(set(shown)) <= 1
    order = [Clock.RUNNING, Clock.BREACHED]
    if face.runs and face.due_at is not None:
        assert [order.index(one.state) for one in shown] == sorted(order.index(one.state) for one in shown)


def test_without_a_promise_nothing_is_late_and_nothing_is_met():
    face = stop(start(RECEIVED, Terms(None)), hours(900))
    assert reading(face.due_at, face.stopped_at, hours(901)).state is Clock.NONE
    assert marks(face.due_at, Terms(None)) == ()


def test_marks_come_in_order_and_are_those_of_the_contract():
    told = [(mark.kind, mark.level, mark.at) for mark in marks(hours(12), Terms.within(12))]
    assert told == [
        ("warning", 0, hours(10)),
        ("breach", 0, hours(12)),
        ("escalation", 1, hours(13)),
        ("escalation", 2, hours(16)),
    ]


BACK = -timedelta(days=1)


@pytest.mark.parametrize("wrong", [{"promise": timedelta()}, {"warn_before": BACK}, {"escalate_after": (BACK,)}])
def test_terms_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"promise|warning"):
        Terms(**wrong)


def test_what_is_done_twice_counts_once():
    face = start(RECEIVED, Terms())
    resting = pause(face, hours(1))
    assert pause(resting, hours(5)) == resting
    assert resume(face, hours(5)) == face
    stopped = stop(resting, hours(6))
    assert stopped.due_at == hours(29)
    assert stop(stopped, hours(9)) == pause(stopped, hours(9)) == resume(stopped, hours(9)) == stopped
