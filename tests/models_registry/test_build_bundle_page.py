"""The builder page: chosen versions become a configuration, checked before it is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from models_registry.models import Bundle
from models_registry.services import builder
from tests.factories import make_customer, make_gate_report, make_snapshot, make_version
from tests.feeds import make_publication, make_real_bundle
from tests.models_registry.loop import keep_snapshot, make_loop, right_rows

pytestmark = pytest.mark.django_db


def test_choosing_writes_the_configuration(client: Client, engineer) -> None:
    loud, silent = make_version(threshold=0.7), make_version(threshold=0.6)
    client.force_login(engineer)
    told = {"choose": "1"}
    for version, voice in ((loud, "loud"), (silent, "silent")):
        told |= {f"use-{version.pk}": "1", f"threshold-{version.pk}": "0.8", f"voice-{version.pk}": voice}
    page = client.post(reverse("models_registry:check-config"), told).content.decode()
    assert f"registry_name: &quot;{loud.detector.name}&quot;" in page
    assert "threshold: 0.8" in page
    assert "there is no reference set" in page


def test_a_wrong_line_is_named(client: Client, engineer) -> None:
    client.force_login(engineer)
    page = client.post(reverse("models_registry:check-config"), {"config": "models:\n- version: x\n"})
    assert "line 2" in page.content.decode()


def test_what_would_change_is_told_before_it_is_built() -> None:
    version = make_version()
    former = make_real_bundle(0.7, version=version)
    make_publication(bundle=former)
    entry = builder.choice(version, "0.8", is_silent=True)
    plan = builder.plan(builder.config_of([entry]))
    assert plan.former == former
    assert [(change.before, change.after) for change in plan.changes] == [("≥ 0.7 · silent", "≥ 0.8 · silent")]
    assert plan.may_build


def test_a_loud_version_that_its_gate_refused_blocks() -> None:
    version = make_version()
    snapshot = make_snapshot(detector=version.detector)
    digests = builder.gates._digests(version, 0.7, snapshot)
    report = {"digests": digests, "sentence": "3 of 9 rows are wrong: it may not leave"}
    make_gate_report(version=version, threshold=0.7, snapshot=snapshot, passed=False, report=report)
    entry = builder.choice(version, "0.7", is_silent=False)
    plan = builder.plan(builder.config_of([entry]))
    assert not plan.may_build
    assert any("3 of 9" in check.told for check in plan.checks)


def test_a_loud_threshold_of_ones_own_blocks_before_it_is_built() -> None:
    version = make_version(threshold=0.7)
    make_snapshot(detector=version.detector)
    entry = builder.choice(version, "0.6", is_silent=False)
    plan = builder.plan(builder.config_of([entry]))
    assert not plan.may_build
    assert "agreed on 0.7, not on this threshold" in plan.checks[0].told


def test_the_page_builds_what_stands_in_the_box(client: Client, engineer, tmp_path: Path) -> None:
    version = make_loop(tmp_path)
    keep_snapshot(version.detector, *right_rows())
    client.force_login(engineer)
    entry = builder.choice(version, version.threshold, is_silent=False)
    told = {"config": builder.config_of([entry]), "min_product_version": "5.2"}
    answer = client.post(reverse("models_registry:build-bundle"), told)
    made = Bundle.objects.get()
    assert answer.headers["Location"] == reverse("models_registry:bundle", args=[made.pk])
    assert made.metadata["min_product_version"] == "5.2"
    measured = client.post(reverse("models_registry:measure-bundle", args=[made.pk]))
    assert measured.status_code == 302
    assert made.receipts.get().p50 > 0


def test_a_link_of_one_customer_starts_from_what_he_has(client: Client, engineer) -> None:
    version, other = make_version(), make_version()
    customer = make_customer()
    make_publication(bundle=make_real_bundle(0.7, version=version))
    make_publication(bundle=make_real_bundle(0.6, version=other), channel="customer", customer=customer)
    client.force_login(engineer)
    asked = {"version": version.pk, "threshold": 0.9}
    page = client.get(reverse("models_registry:build-bundle"), asked).content.decode()
    assert "threshold: 0.9" in page and f"registry_name: &quot;{other.detector.name}&quot;" not in page
    page = client.get(reverse("models_registry:build-bundle"), asked | {"customer": customer.pk}).content.decode()
    assert f"registry_name: &quot;{other.detector.name}&quot;" in page and "threshold: 0.6" in page
    for nonsense in ({"threshold": "x"}, {"version": "x"}, {"customer": "9" * 30}):
        assert client.get(reverse("models_registry:build-bundle"), asked | nonsense).status_code == 200
