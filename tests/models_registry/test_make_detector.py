"""Detectors come from a file; a changed rule mapping is a new mapping version."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from models_registry.models import Detector
from models_registry.services.detectors import DetectorError, make_detector, rules_in_force
from tests.factories import make_rule_set
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


def test_a_changed_mapping_is_a_new_version_and_the_old_one_stays() -> None:
    old = make_detector(SPEC).mapping
    new = make_detector(SPEC | {"rules": {"sids": [1]}}).mapping
    assert (old.number, new.number) == (1, 2)
    assert old.digest != new.digest
    old.refresh_from_db()
    assert old.mapping["name_patterns"] == ["ET WEB_SERVER *"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "unknown keys: colour"),
        ({"name": ""}, "name is missing"),
        ({"protocol": "smtp"}, "no feature contract"),
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
