"""Detectors come from a file; a changed rule mapping is a new mapping version."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.roles import Role
from detection.retraining import RetrainPolicy, Schedule
from models_registry.models import Detector, DetectorProposal
from models_registry.services.detectors import DetectorError, NeedsSecondPerson, make_detector, rules_in_force
from tests.factories import make_rule_set, make_user
from tests.models_registry.loop import SPEC

pytestmark = pytest.mark.django_db
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "formats" / "detector.http-attacks.yml"


def test_the_example_file_makes_a_detector() -> None:
    out = StringIO()
    call_command("make_detector", str(EXAMPLE), stdout=out)
    detector = Detector.objects.get(name="http-attacks")
    assert detector.mapping.number == 1
    assert "http-attacks: rule mapping 1" in out.getvalue()


def test_the_same_file_changes_nothing() -> None:
    make_detector(SPEC)
    make_detector(SPEC)
    assert Detector.objects.get().mappings.count() == 1


@pytest.mark.parametrize("change", [{"rules": {"sids": [1]}}, {"false_positive_cost": 20}])
def test_other_rules_or_another_price_take_a_second_person(change: dict[str, object]) -> None:
    detector = make_detector(SPEC)
    with pytest.raises(NeedsSecondPerson):
        make_detector(SPEC | change)
    assert detector.mappings.get().mapping["name_patterns"] == ["ET WEB_SERVER *"]
    assert Detector.objects.get().false_positive_cost == 10


def test_words_and_schedule_follow_the_file() -> None:
    make_detector(SPEC | {"schedule": {"hour": 4, "weekday": "friday", "labels": 5, "days": 30}})
    make_detector(SPEC | {"positive_class": "attack", "schedule": {"hour": 5}})
    detector = Detector.objects.get()
    assert detector.positive_class == "attack"
    assert (detector.schedule, detector.retrain_policy) == (Schedule(5, 4), RetrainPolicy(labels=5, days=30))


def test_the_command_proposes_what_has_changed(tmp_path: Path) -> None:
    make_detector(SPEC)
    path = tmp_path / "detector.yml"
    path.write_text("name: http-attacks\nrules: {sids: [1]}\n")
    with pytest.raises(CommandError, match="--by"):
        call_command("make_detector", str(path))
    with pytest.raises(CommandError, match="engineer"):
        call_command("make_detector", str(path), by=make_user(Role.AUDITOR).username)
    out = StringIO()
    call_command("make_detector", str(path), by=make_user(Role.ENGINEER).username, stdout=out)
    assert "second person" in out.getvalue()
    assert DetectorProposal.objects.get().mapping["sids"] == [1]
    assert Detector.objects.get().mapping.number == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "unknown keys: colour"),
        ({"name": ""}, "name is missing"),
        ({"protocol": "smtp"}, "no feature contract"),
        ({"name": "new"}, "address of ours"),
        ({"positive_key": "b"}, "keys"),
        ({"positive_key": "s"}, "keys"),
        ({"false_positive_cost": 0.0}, "above 0"),
        ({"false_positive_cost": float("nan")}, "above 0"),
        ({"schedule": {"minute": 1}}, "schedule"),
        ({"rules": ["ET *"]}, "rules"),
        ({"rules": {"sid": [1]}}, "sid"),
        ({"rules": {"max_severity": 0}}, "max_severity"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(change: dict[str, object], message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        make_detector(SPEC | change)
    assert not Detector.objects.exists()


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "detector.yml"
    path.write_text("- a list\n")
    with pytest.raises(CommandError, match="expected keys and values"):
        call_command("make_detector", str(path))


def test_a_sensor_without_known_rules_inspects_nothing() -> None:
    rules = rules_in_force(make_detector(SPEC))
    assert not rules.inspects(None)


def test_inferred_rules_inspect() -> None:
    rules = rules_in_force(make_detector(SPEC))
    assert rules.inspects(make_rule_set(declared=False))


@pytest.mark.parametrize(("message", "inspects"), [("ET WEB_SERVER Attack", True), ("ET POLICY curl", False)])
def test_a_declared_rule_set_inspects_only_when_it_holds_a_rule_of_the_class(
    tmp_path: Path, message: str, inspects: bool
) -> None:
    from traffic.services.rule_sets import add_rule_set

    path = tmp_path / "my.rules"
    path.write_text(f'alert http any any -> any any (msg:"{message}"; sid:1; rev:1; classtype:misc-activity;)\n')
    assert rules_in_force(make_detector(SPEC)).inspects(add_rule_set(path)) is inspects
