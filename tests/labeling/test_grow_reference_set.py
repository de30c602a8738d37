"""The reference set: two experts agree, look-alikes do not fill it, a keyed hash decides the role."""

from __future__ import annotations

import pytest
from django.urls import reverse

from detection.reference import ReferencePolicy, read_snapshot, role_of
from labeling.models import Item, Label, NotAdmitted, ReferenceRow, Role, Source
from labeling.services import entries, reference
from models_registry.models import Snapshot
from models_registry.services import snapshots
from tests import factories
from tests.factories import START, make_row
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
DAY = 86_400_000_000


@pytest.fixture
def agree(answer, expert, senior):
    """Let two experts give the same answer."""

    def agreed(item, outcome="positive", **details):
        first = answer(item, expert, outcome, **details)
        return [first, answer(item, senior, outcome, **details)]

    return agreed


def test_two_agreeing_experts_make_a_row(item, agree):
    labels = agree(item)
    assert reference.grow() == 1
    row = ReferenceRow.objects.get()
    assert (row.answer, row.rule_hit, row.host, str(row.day)) == ("positive", False, "10.1.4.22", "2026-03-01")
    assert (row.item, row.subject_key, row.shape, row.source) == (item, item.subject_key, item.shape, "office")
    assert set(row.labels.all()) == set(labels)
    assert row.row == item.record.row


def test_growing_again_changes_nothing(item, agree):
    agree(item)
    assert [reference.grow(), reference.grow()] == [1, 0]
    assert ReferenceRow.objects.count() == 1


def test_one_answer_is_not_enough(item, answer, expert):
    answer(item, expert, "positive")
    assert reference.grow() == 0
    assert Item.objects.get().reference_checked_at is None


def test_a_queue_that_settles_by_one_answer_still_needs_two_experts(answer, expert):
    item = make_item(factories.make_queue(labels_needed=1))
    answer(item, expert, "positive")
    assert reference.grow() == 0
    assert Item.objects.get().not_admitted == NotAdmitted.ONE_EXPERT


def test_undecided_never_enters(item, agree):
    agree(item, "undecided")
    assert reference.grow() == 0
    assert Item.objects.get().not_admitted == NotAdmitted.UNDECIDED


def test_a_conflict_decided_by_a_senior_enters_with_the_two_who_agree(item, answer, expert, senior):
    answer(item, expert, "negative")
    answer(item, factories.make_user(), "positive")
    answer(item, senior, "negative")
    assert reference.grow() == 1
    row = ReferenceRow.objects.get()
    assert row.answer == "negative"
    assert {label.expert for label in row.labels.all()} == {expert, senior}


@pytest.mark.parametrize("source", [Source.RULE, Source.LANGUAGE_MODEL, Source.CUSTOMER])
def test_only_experts_and_dumps_gate(item, source, expert, senior):
    for person in (expert, senior):
        Label.objects.create(
            item=item,
            detector=item.detector,
            subject_kind="session",
            subject_key=item.subject_key,
            expert=person,
            source=source,
            answer="positive",
        )
    Item.objects.update(state="settled", outcome="positive")
    assert reference.grow() == 0


def test_one_row_per_look_and_host_three_per_look_and_day(queue, agree):
    def settle(host, start):
        # the same fingerprint may come again from another queue of the detector
        other = factories.make_queue(detector=queue.detector, slug=f"q-{host}-{start}")
        agree(make_item(other, make_row(src_ip=host, start=start), fingerprint="f" * 64, shape="e" * 64))
        reference.grow()
        return Item.objects.latest("pk").not_admitted

    assert [settle(f"10.0.0.{n}", START) for n in (1, 2, 3)] == ["", "", ""]
    assert settle("10.0.0.1", START + DAY) == NotAdmitted.PAIR_IS_IN
    assert settle("10.0.0.4", START) == NotAdmitted.DAY_IS_FULL
    assert settle("10.0.0.4", START + DAY) == ""
    assert ReferenceRow.objects.count() == 4


def test_the_role_is_drawn_by_the_keyed_hash_of_look_and_host(queue, agree, settings):
    settings.REFERENCE_KEY = "a key of this test"
    for number in range(12):
        agree(make_item(queue, make_row(src_ip=f"10.0.0.{number}")))
    reference.grow()
    for row in ReferenceRow.objects.all():
        assert row.role == role_of(b"a key of this test", row.shape, row.host, ReferencePolicy())
    assert set(ReferenceRow.objects.values_list("role", flat=True)) == {Role.REGRESSION, Role.HOLDOUT}


def test_a_hit_of_the_class_is_stored_with_the_row(queue, agree):
    hit = {"sid": 1, "gid": 1, "rev": 1, "signature": "ET X", "category": "Attack", "severity": 1, "action": "allowed"}
    agree(make_item(queue, make_row(hits=[hit | {"scope": "transaction"}])))
    reference.grow()
    assert ReferenceRow.objects.get().rule_hit


def test_a_snapshot_holds_every_row_and_is_the_same_for_the_same_set(queue, agree):
    for number in range(3):
        agree(make_item(queue, make_row(src_ip=f"10.0.0.{number}")), "negative")
    reference.grow()
    first = reference.publish_snapshot(queue.detector)
    assert reference.publish_snapshot(queue.detector) == first
    rows = read_snapshot(snapshots.read(first))
    assert {(row.subject_key, row.answer, row.role) for row in rows} == set(
        ReferenceRow.objects.values_list("subject_key", "answer", "role")
    )
    assert rows[0].row == make_row(src_ip=rows[0].host)
    agree(make_item(queue, make_row(src_ip="10.0.0.9")))
    reference.grow()
    assert reference.publish_snapshot(queue.detector).number == first.number + 1
    assert Snapshot.objects.count() == 2


def test_other_detectors_are_left_alone(item, agree):
    agree(item)
    assert reference.grow(factories.make_detector()) == 0
    assert reference.grow(item.detector) == 1


def test_the_page_shows_role_answer_and_whose_labels(item, agree, auditor_client, expert):
    agree(item)
    reference.grow()
    page = auditor_client.get(reverse("labeling:reference", args=[item.detector.name])).text
    assert item.title in page
    assert str(expert) in page
    assert "losing it blocks" in page


def test_the_page_pages_by_key(queue, agree, auditor_client, monkeypatch):
    monkeypatch.setattr(entries, "PAGE", 2)
    for number in range(3):
        agree(make_item(queue, make_row(src_ip=f"10.0.0.{number}"), title=f"GET host/{number}"))
    reference.grow()
    url = reverse("labeling:reference", args=[queue.detector.name])
    first = auditor_client.get(url)
    assert "GET host/2" in first.text
    assert "GET host/0" not in first.text
    older = auditor_client.get(url, {"before": first.context["page"].before})
    assert "GET host/0" in older.text
    assert auditor_client.get(url, {"before": "x", "role": "nonsense"}).status_code == 200
