"""`python -m benchmarks`: the contract of its rows, not its figures (those are measured by `make bench`)."""

import json
import sys
import types

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import _pages, _workshop, label_cycle
from labeling.models import Item, Label, Queue

ROW = {"name": "batch, rows/s", "ours": 3.0, "against": "x", "theirs": 2.0, "ratio": 1.5, "target": 1.5, "holds": True}


@pytest.fixture
def measured(monkeypatch):
    """Stand in for one benchmark."""
    module = types.ModuleType("benchmarks.latency")
    module.rows = lambda: [dict(ROW)]
    monkeypatch.setitem(sys.modules, "benchmarks.latency", module)
    monkeypatch.setattr(benchmarks, "names", lambda: ["latency"])
    return module


def test_the_benchmarks_of_this_house_are_found():
    assert {"batch", "candidate", "intake", "latency", "retrain"} <= set(benchmarks.names())


def test_json_is_one_list_of_rows_with_the_agreed_keys(measured, capsys):
    assert benchmarks.main(["latency", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [ROW | {"cpu": None}]


def test_a_row_may_tell_the_ratio_by_processor_time_too(measured, capsys):
    measured.rows = lambda: [ROW | {"cpu": 1.25}]
    assert benchmarks.main(["latency", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["cpu"] == 1.25


def test_the_machine_stands_below_the_table(measured, capsys):
    benchmarks.main([])
    last = capsys.readouterr().out.splitlines()[-1]
    assert "cores" in last
    assert "Python 3" in last
    assert "% of the processors went to other machines" in last


def test_a_window_that_other_machines_disturbed_is_seen():
    before, after = [100, 0, 50, 1000, 5, 0, 0, 10, 0, 0], [160, 0, 70, 1900, 10, 0, 0, 30, 7, 0]
    assert benchmarks.stolen(before, after) == 20 / (60 + 20 + 20)
    assert benchmarks.stolen(before, before) == 0


def test_the_table_shows_every_key_and_row(measured, capsys):
    benchmarks.main([])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == list(benchmarks.KEYS)
    assert "batch, rows/s" in printed[2]
    assert printed[2].endswith("yes")


def test_a_target_that_does_not_hold_is_seen_by_the_caller(measured, capsys):
    measured.rows = lambda: [ROW | {"holds": False}]
    assert benchmarks.main([]) == 1
    assert capsys.readouterr().out.splitlines()[2].endswith("NO")


def test_a_benchmark_that_fails_costs_the_others_nothing(measured, monkeypatch, capsys):
    broken = types.ModuleType("benchmarks.hunt")
    broken.rows = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "benchmarks.hunt", broken)
    monkeypatch.setattr(benchmarks, "names", lambda: ["hunt", "latency"])
    assert benchmarks.main([]) == 1
    told = capsys.readouterr()
    assert [line.split()[-1] for line in told.out.splitlines()[2:4]] == ["NO", "yes"]
    assert "ZeroDivisionError" in told.err


def test_a_row_with_other_keys_is_refused(measured):
    measured.rows = lambda: [{"name": "x"}]
    with pytest.raises(TypeError, match="keys"):
        benchmarks.main([])


def test_an_unknown_name_is_told_what_there_is(measured, capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["speed"])
    assert "there are: latency" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.django_db
def test_the_workshop_of_the_label_cycle_can_be_worked_in(capsys):
    experts = _workshop._people()
    _workshop._patterns(experts[0])
    workshop = _workshop.fill(400)
    assert Item.objects.count() == 400
    assert Item.objects.waiting().count() == Queue.objects.get().waiting == workshop.open == 320
    assert Label.objects.latest("pk").pk == workshop.labels
    assert _pages.queries_of_an_answer(experts[0], label_cycle.PATH) > 0
    assert label_cycle._doubles("twice", workshop.labels)["ours"] == 0
    assert all(row["theirs"] for row in _pages.rows("pages", experts[0]))  # each asks the database something
