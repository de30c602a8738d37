"""What arrives in the demo by itself: each window of synthetic traffic once, and answers at the pace of people."""

from __future__ import annotations

import json
import sys
import types
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from config.demo import feed
from traffic.models import Intake, Segment, Sensor

NOW = datetime(2026, 3, 3, 9, 12, 47, tzinfo=UTC)


def test_windows_end_where_lines_are_complete_and_tile():
    asked = list(feed.windows(NOW))
    assert asked[-1][1] == datetime(2026, 3, 3, 9, 11, 0, tzinfo=UTC)  # 90 s ago, on the grid
    assert asked[0][0] == asked[-1][1] - feed.BEFORE
    assert all(first[1] == second[0] for first, second in pairwise(asked))
    assert list(feed.windows(NOW, asked[-1][1])) == []
    assert list(feed.windows(NOW + feed.WINDOW, asked[-1][1])) == [(asked[-1][1], asked[-1][1] + feed.WINDOW)]


def test_after_a_night_off_only_the_last_minutes_are_asked_for():
    assert len(list(feed.windows(NOW, NOW - timedelta(days=1)))) == feed.BEFORE / feed.WINDOW


@pytest.mark.django_db
def test_traffic_arrives_once_under_a_name_that_says_synthetic(tmp_path):
    (tmp_path / "tmp").mkdir()
    living = feed.live_feed(tmp_path)
    added = living.take_in(NOW)
    assert added == living.sessions == sum(Segment.objects.values_list("rows", flat=True)) > 100
    assert all(path.startswith("synthetic/2026-03-03T09:") for path in Intake.objects.values_list("path", flat=True))
    assert set(Segment.objects.values_list("source", flat=True)) <= {"synthetic-core", "synthetic-core-dmz"}
    assert not Segment.objects.filter(rule_set__declared=False).exists()
    assert all(sensor.rule_set.declared for sensor in Sensor.objects.all())
    # nothing new yet; and a feed that was started again asks for the same windows and adds nothing
    assert living.take_in(NOW) == 0
    assert feed.live_feed(tmp_path).take_in(NOW) == 0
    assert living.take_in(NOW + timedelta(minutes=1)) > 0


class Fake:
    def __init__(self, name, answers):
        self.name, self.answers = name, answers

    def answer_one(self):
        self.answers.append(self.name)
        return len(self.answers) < 3


def test_colleagues_answer_in_turn_at_the_pace_of_people():
    answers = []
    helpers = feed.Colleagues([Fake("a", answers), Fake("b", answers)])
    pauses = [helpers.answer() for _ in range(4)]
    assert answers in (["a", "b", "a", "b"], ["b", "a", "b", "a"])
    assert helpers.answered == 2
    assert all(20 <= pause <= 30 for pause in pauses)
    assert feed.Colleagues([]).answer() >= 20


@pytest.fixture
def turns(monkeypatch):
    """A loop that is quick to turn; each turn is written down."""
    done = []

    def turn(tell, *, people):
        tell("turning")
        done.append(sorted(people))
        return {"sessions": 5}

    monkeypatch.setitem(sys.modules, "config.demo.turn", types.SimpleNamespace(turn=turn))
    return done


@pytest.mark.django_db
def test_the_house_is_opened_once(tmp_path, turns):
    said = []
    feed.open_house(tmp_path, said.append)
    feed.open_house(tmp_path, said.append)
    assert len(turns) == 1
    assert "expert2" in turns[0]
    assert said.count("turning") == 1
    assert json.loads((tmp_path / "opening.json").read_text()) == {"sessions": 5}


@pytest.mark.django_db
def test_an_opening_that_failed_is_tried_again_at_the_next_start(tmp_path, turns, monkeypatch):
    def broken(tell, *, people):
        raise RuntimeError

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setitem(sys.modules, "config.demo.turn", types.SimpleNamespace(turn=broken))
        feed.open_house(tmp_path, lambda text: None)
    feed.open_house(tmp_path, lambda text: None)
    assert len(turns) == 1


def test_things_are_done_when_due():
    done = []

    class EnoughError(Exception):
        pass

    def work(name, pause):
        def round_():
            done.append(name)
            if len(done) == 5:
                raise EnoughError
            return pause

        return round_

    with pytest.raises(EnoughError):
        feed.run([(0.0, work("quick", 0.02)), (0.05, work("slow", 5.0))])
    assert done.count("slow") == 1
