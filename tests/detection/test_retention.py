"""What goes by age, what goes because room is short, and what stays whatever happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from detection.retention import RetentionPolicy, Stored, plan

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = RetentionPolicy(raw_days=30, session_days=90, least_days=1)


def stored(pk: int, days: float, raw: int = 100, sessions: int = 80) -> Stored:
    return Stored(pk, NOW - timedelta(days=days), raw, sessions)


def test_raw_lines_go_first_and_sessions_later() -> None:
    found = plan([stored(1, 100), stored(2, 40), stored(3, 10)], NOW, POLICY)
    assert (found.raw, found.sessions, found.bytes, found.short) == ((1, 2), (1,), 280, 0)


def test_nothing_goes_on_the_day_itself() -> None:
    assert plan([stored(1, 30)], NOW, POLICY).is_empty
    assert plan([stored(1, 30.01)], NOW, POLICY).raw == (1,)


def test_what_is_gone_does_not_go_again() -> None:
    assert plan([stored(1, 40, raw=0)], NOW, POLICY).is_empty


def test_without_room_the_oldest_raw_lines_go_then_the_oldest_sessions() -> None:
    segments = [stored(3, 2), stored(1, 4), stored(2, 3)]
    assert plan(segments, NOW, POLICY, must_free=150).raw == (1, 2)
    found = plan(segments, NOW, POLICY, must_free=350)
    assert (found.raw, found.sessions, found.bytes) == ((1, 2, 3), (1,), 380)


def test_what_age_frees_counts() -> None:
    assert plan([stored(1, 40), stored(2, 20)], NOW, POLICY, must_free=100).raw == (1,)


def test_what_is_younger_than_a_day_stays_and_the_shortage_is_told() -> None:
    found = plan([stored(1, 0.5)], NOW, POLICY, must_free=100)
    assert (found.is_empty, found.short) == (True, 100)
