"""Thin spots of a reference set: few rows of an answer, or none that is recent."""

from __future__ import annotations

from datetime import date, timedelta

from detection.coverage import CoveragePolicy, Held, Thin, thin_spots

TODAY = date(2026, 11, 22)
POLICY = CoveragePolicy()


def spots(held, known=None):
    return thin_spots(held, known or {}, TODAY, POLICY)


def plenty(days=1):
    return Held(100, TODAY - timedelta(days=days))


def test_enough_recent_rows_are_no_spot():
    assert spots({"sensor": {"core-1": {"positive": plenty(), "negative": plenty(90)}}}) == []


def test_few_rows_and_none_are_spots_the_emptiest_first():
    few = Held(4, TODAY)
    found = spots({"sensor": {"core-1": {"positive": few, "negative": plenty()}}}, {"sensor": ["dmz"]})
    assert found == [
        Thin("sensor", "dmz", "negative", 0, None, is_old=False),
        Thin("sensor", "dmz", "positive", 0, None, is_old=False),
        Thin("sensor", "core-1", "positive", 4, TODAY, is_old=False),
    ]


def test_old_rows_are_a_spot_but_not_of_a_family():
    old = plenty(91)
    found = spots({"sensor": {"core-1": {"positive": plenty(), "negative": old}}, "family": {"XSS": {"positive": old}}})
    assert found == [Thin("sensor", "core-1", "negative", 100, old.newest, is_old=True)]


def test_a_family_needs_no_negative_rows_and_no_name_is_no_value():
    assert spots({"family": {"XSS": {"positive": plenty()}, "": {"negative": Held(1, TODAY)}}}) == []
