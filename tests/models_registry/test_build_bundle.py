"""Bundles: a loud entry needs a passed gate at its own threshold on the newest snapshot."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from detection.bundle_config import ConfigError
from models_registry.models import Bundle, BundleEntry, GateReport, Version
from models_registry.services import bundles, gates
from models_registry.services.bundles import BundleRefused
from tests.factories import agree_on, make_bundle, make_threshold_proposal
from tests.models_registry.loop import ATTACK, first_version, keep_snapshot, make_loop, reference_row, right_rows
from traffic import storage

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return make_loop(tmp_path)


def config(*entries: tuple[int, float, bool]) -> str:
    lines = [
        f'- registry_name: "http-attacks"\n  version: {number}\n  threshold: {threshold}\n  is_silent: "{silent}"'
        for number, threshold, silent in entries
    ]
    return "models:\n" + "\n\n".join(lines).replace('"True"', '"true"').replace('"False"', '"false"') + "\n"


def test_one_silent_and_one_loud_version(version: Version) -> None:
    first_version(version.detector)
    keep_snapshot(version.detector, *right_rows())
    bundle = bundles.build(config((1, 0.9, True), (2, version.threshold, False)))
    silent, loud = bundle.entries.order_by("version__number")
    assert (silent.is_silent, silent.gate_report) == (True, None)
    assert loud.gate_report is not None and loud.gate_report.passed
    assert loud.gate_report.threshold == loud.threshold == version.threshold
    models = bundle.metadata["models"]
    assert [(model["registry_name"], model["version"], model["is_silent"]) for model in models] == [
        ("http-attacks", 1, True),
        ("http-attacks", 2, False),
    ]


def test_the_same_configuration_gives_the_same_bytes(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    text = config((1, version.threshold, False))
    assert bundles.build(text) == bundles.build(text)
    assert Bundle.objects.count() == 1


def test_a_changed_threshold_is_another_bundle_without_retraining(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    one = bundles.build(config((1, version.threshold, True)))
    other = bundles.build(config((1, 0.75, True)))
    assert one.digest != other.digest
    assert Version.objects.count() == 1


def test_a_loud_version_that_the_gate_refuses_is_refused_and_nothing_is_stored(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(ATTACK, "negative", number=3))
    with pytest.raises(BundleRefused, match="may not leave") as refused:
        bundles.build(config((1, version.threshold, False)))
    assert refused.value.reports[0].threshold == version.threshold
    assert not Bundle.objects.exists()


def test_the_same_version_may_go_silently(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(ATTACK, "negative", number=3))
    assert bundles.build(config((1, version.threshold, True))).entries.get().is_silent


def test_a_threshold_cannot_ride_on_a_gate_passed_at_another(version: Version) -> None:
    """The gate is asked anew at the configured threshold."""
    keep_snapshot(version.detector, *right_rows())
    assert gates.run_gate(version).passed
    agree_on(version, 0.999999)
    with pytest.raises(BundleRefused, match="may not leave"):
        bundles.build(config((1, 0.999999, False)))


def test_a_loud_threshold_is_the_versions_own_or_one_that_two_people_agreed_on(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    other = 0.9 * version.threshold
    make_threshold_proposal(version=version, threshold=other)  # waits for its second person
    with pytest.raises(BundleRefused, match=f"two people agreed on {version.threshold}, not on this") as refused:
        bundles.build(config((1, other, False)))
    assert not refused.value.reports
    assert not GateReport.objects.exists()
    assert bundles.build(config((1, other, True))).entries.get().is_silent
    agree_on(version, other)
    assert bundles.build(config((1, other, False))).entries.get().threshold == other


def test_a_loud_version_without_a_reference_set_is_refused(version: Version) -> None:
    with pytest.raises(gates.NothingToCheck):
        bundles.build(config((1, version.threshold, False)))


@pytest.mark.parametrize(("number", "hint"), [(7, "its versions: 1"), (2, "its versions: 1")])
def test_an_unknown_version_is_an_error_with_its_line(version: Version, number: int, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as error:
        bundles.build(config((number, 0.5, True)))
    assert error.value.line == 2


def test_the_stored_file_is_the_digest(version: Version) -> None:
    bundle = bundles.build(config((1, 0.5, True)))
    data = storage.get_bytes(bundle.path)
    assert hashlib.sha256(data).hexdigest() == bundle.digest
    assert len(data) == bundle.bytes


def test_the_database_refuses_a_loud_entry_without_a_report(version: Version) -> None:
    bundle = make_bundle()
    with pytest.raises(IntegrityError), transaction.atomic():
        BundleEntry.objects.create(bundle=bundle, version=version, threshold=0.5, is_silent=False)
