"""A customer withdraws his consent: nothing of his is left, in no file and no row; a tombstone is."""

from __future__ import annotations

import hashlib

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from detection.reference import read_snapshot
from detection.training_rows import read_training_set
from labeling.models import ItemRecord, ReferenceEvent, ReferenceRow
from labeling.services import claims, labels, reference
from models_registry.models import Erasure, Snapshot, TrainingSet
from models_registry.services import snapshots
from tests.triage.conftest import build
from tests.triage.test_complaint import RECORD
from traffic import storage
from triage.models import Complaint
from triage.services import complaints, consent, filing
from triage.services.filing import Details
from triage.services.states import ComplaintRefused

pytestmark = pytest.mark.django_db
SECRET = "intranet.example"


@pytest.fixture
def learnt(loud, customer, support, expert) -> Complaint:
    """A confirmed complaint that is in a snapshot and in a training set."""
    files = (("evidence.json", RECORD.encode()),)
    complaint = filing.file(customer, RECORD, "soc@acme.example", support, Details(note="Bob saw it", files=files))
    item = complaint.states.get(state="received").item
    claims.claim(item, expert)
    labels.submit(item, expert, "negative")
    complaints.collect()
    reference.publish_snapshot(complaint.detector)
    reference.publish_training_set(complaint.detector)
    return complaint


def test_nothing_of_the_customer_is_left_and_the_digests_are(learnt, support):
    key = learnt.states.get(state="received").item.subject_key
    path, digest = learnt.attachments.values_list("path", "digest").get()
    before = Snapshot.objects.count()
    assert consent.withdraw(learnt, "mail of 1 March", support) == 2
    learnt.refresh_from_db()
    assert SECRET not in f"{learnt.flagged}{learnt.row}{learnt.contact}{learnt.note}"
    assert not storage.exists(path)
    tombstone = learnt.attachments.get()
    assert (tombstone.digest, tombstone.path, tombstone.name) == (digest, "", "–")
    assert SECRET not in ItemRecord.objects.get(item=learnt.states.get(state="received").item).row
    row = ReferenceRow.objects.get(subject_key=key)
    assert row.is_retired
    assert row.digest
    assert SECRET not in f"{row.row}{row.title}"
    assert ReferenceEvent.objects.get().details["reason"] == "consent-withdrawn"
    assert Snapshot.objects.count() == before + 1  # a new one without it
    assert AuditEntry.objects.get(action="complaint.erased").details["digests"] == [digest]


def test_files_that_were_frozen_lose_the_rows_and_say_so(learnt, support):
    key = learnt.states.get(state="received").item.subject_key
    frozen = Snapshot.objects.filter(detector=learnt.detector).order_by("number").last()
    training = TrainingSet.objects.filter(detector=learnt.detector).order_by("number").last()
    assert key in {row.subject_key for row in read_snapshot(snapshots.read(frozen))}
    assert key in read_training_set(snapshots.read(training)).key
    consent.withdraw(learnt, "asked", support)
    assert key not in {row.subject_key for row in read_snapshot(snapshots.read(frozen))}
    assert key not in read_training_set(snapshots.read(training)).key
    assert set(Erasure.objects.values_list("old_digest", flat=True)) == {frozen.digest, training.digest}
    storage.put_bytes(training.path, b"changed by somebody")
    with pytest.raises(snapshots.DamagedFile):
        snapshots.read(training)


def test_what_was_erased_stays_a_complaint_that_is_answered(learnt, support, support_client):
    consent.withdraw(learnt, "asked", support)
    page = support_client.get(reverse("triage:complaint", args=[learnt.pk])).text
    assert "Consent was withdrawn" in page
    assert SECRET not in page
    with pytest.raises(ComplaintRefused, match="erased already"):
        consent.withdraw(learnt, "again", support)
    assert complaints.follow() == 0  # there is no session to look at any more: what spoke must speak otherwise
    build(learnt.version, silent=True)
    assert complaints.follow() == 1
    learnt.refresh_from_db()
    assert learnt.state == "fixed-in-bundle"


def test_it_takes_a_reason(learnt, support_client):
    url = reverse("triage:erase-complaint", args=[learnt.pk])
    assert support_client.post(url, {"reason": " "}).status_code == 409
    assert support_client.post(url, {"reason": "letter"}).status_code == 302


def test_the_digest_of_an_attachment_is_that_of_its_bytes(learnt):
    assert learnt.attachments.get().digest == hashlib.sha256(RECORD.encode()).hexdigest()
