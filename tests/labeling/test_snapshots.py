"""Snapshots: who used them, what changed between two, and the file itself."""

from __future__ import annotations

import hashlib

import pytest
from django.urls import reverse

from accounts.roles import Role
from detection.snapshot_diff import difference
from labeling.models import ReferenceRow
from labeling.services import reference, reference_changes, snapshot_pages
from models_registry.models import BundleEntry
from models_registry.services import snapshots
from tests import factories
from tests.factories import failing_report, make_reference_row, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    return make_reference_row(title="GET stays/1")


def same_detector(row, **fields):
    return make_reference_row(item=factories.make_session_item(row.item.queue), **fields)


@pytest.fixture
def two(row, senior, engineer):
    """Two snapshots: between them one row came, one was retired, one was spent, one was corrected."""
    gone, spent, wrong = (same_detector(row, title=f"GET {name}/1") for name in ("gone", "spent", "wrong"))
    old = reference.publish_snapshot(row.detector)
    proposal = reference_changes.propose_retirement(gone, engineer, reason="broken-session", note="cut off")
    reference_changes.approve(proposal, senior)
    reference_changes.spend(spent, senior, failing_report(spent), "learn it")
    proposal = reference_changes.propose_correction(wrong, senior, note="our scanner")
    reference_changes.approve(proposal, make_user(Role.SENIOR))
    ReferenceRow.objects.filter(item=wrong.item).update(title=wrong.title, role="hold-out")
    same_detector(row, title="GET come/1")
    return old, reference.publish_snapshot(row.detector)


def test_the_difference_names_what_came_went_and_changed(two):
    changes = difference(*(snapshots.read(one) for one in two))
    assert [(change.kind, change.title, change.old, change.new) for change in changes] == [
        ("added", "GET come/1", "", "hold-out positive"),
        ("retired", "GET gone/1", "hold-out positive", ""),
        ("role", "GET spent/1", "hold-out positive", "regression positive"),
        ("answer", "GET wrong/1", "hold-out positive", "hold-out negative"),
    ]


def test_the_page_counts_and_pages_by_key(row, two, auditor_client, monkeypatch):
    monkeypatch.setattr(snapshot_pages, "PAGE", 3)
    url = reverse("labeling:compare-snapshots", args=[row.detector.name])
    asked = {"old": two[0].number, "new": two[1].number}
    first = auditor_client.get(url, asked)
    assert first.context["page"].counts == {"added": 1, "retired": 1, "role": 1, "answer": 1}
    assert "GET wrong/1" not in first.text
    rest = auditor_client.get(url, asked | {"after": first.context["page"].after})
    assert [change.title for change in rest.context["page"].changes] == ["GET wrong/1"]
    only = auditor_client.get(url, asked | {"kind": "role"})
    assert [change.title for change in only.context["page"].changes] == ["GET spent/1"]


def test_equal_snapshots_hold_the_same_rows(row, auditor_client):
    number = reference.publish_snapshot(row.detector).number
    url = reverse("labeling:compare-snapshots", args=[row.detector.name])
    assert "the two hold the same rows" in auditor_client.get(url, {"old": number, "new": number}).text
    for asked in ({}, {"old": "x", "new": number}, {"old": number, "new": "99"}):
        assert auditor_client.get(url, asked).status_code == 404


def test_the_list_says_who_used_a_snapshot(row, auditor_client):
    snapshot = reference.publish_snapshot(row.detector)
    report = failing_report(row, snapshot=snapshot)
    bundle = factories.make_bundle()
    BundleEntry.objects.create(
        bundle=bundle, version=report.version, threshold=0.7, is_silent=False, gate_report=report
    )
    shown = auditor_client.get(reverse("labeling:snapshots", args=[row.detector.name]))
    assert snapshot.digest in shown.text
    assert reverse("models_registry:gate", args=[report.pk]) in shown.text
    assert reverse("models_registry:bundle", args=[bundle.pk]) in shown.text
    assert "hold-out: 1 malicious, 0 benign" in shown.text


def test_the_list_pages_by_number(row, auditor_client, monkeypatch):
    monkeypatch.setattr(snapshot_pages, "PAGE", 1)
    reference.publish_snapshot(row.detector)
    same_detector(row)
    reference.publish_snapshot(row.detector)
    url = reverse("labeling:snapshots", args=[row.detector.name])
    first = auditor_client.get(url).context["page"]
    assert [used.snapshot.number for used in first.snapshots] == [2]
    assert [
        used.snapshot.number for used in auditor_client.get(url, {"before": first.before}).context["page"].snapshots
    ] == [1]


def test_the_download_is_the_frozen_file(row, auditor_client):
    snapshot = reference.publish_snapshot(row.detector)
    got = auditor_client.get(reverse("labeling:download-snapshot", args=[row.detector.name, snapshot.number]))
    assert hashlib.sha256(b"".join(got.streaming_content)).hexdigest() == snapshot.digest
    assert got["Content-Disposition"].startswith("attachment")
