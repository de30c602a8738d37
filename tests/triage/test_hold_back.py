"""A bundle does not go from canary to stable while a complaint about what it says is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from labeling.services import claims, labels
from models_registry.models import Bundle, Customer, Hold, Version
from models_registry.services import holds, releases
from models_registry.services.releases import ReleaseRefused
from tests.feeds import make_feed, make_publication, make_receipt
from tests.triage.conftest import build
from tests.triage.test_complaint import RECORD
from triage.models import Complaint
from triage.services import complaints, filing

pytestmark = pytest.mark.django_db


def answer(complaint: Complaint, expert: User, said: str) -> None:
    item = complaint.states.filter(state="received").latest("id").item
    claims.claim(item, expert)
    labels.submit(item, expert, said, note="why")
    complaints.collect()


def test_an_open_complaint_keeps_its_version_from_stable(
    loud: Version, customer: Customer, support: User, expert: User, settings: Any, tmp_path: Path
) -> None:
    Version.objects.filter(pk=loud.pk).update(stage="active")
    bundle, delivery = Bundle.objects.get(), make_feed(settings, tmp_path)
    make_receipt(bundle=bundle)
    delivery.publish(bundle)
    release = releases.propose(bundle, "stable", delivery.senior)
    complaint = filing.file(customer, RECORD, "soc@acme.example", support)
    with pytest.raises(ReleaseRefused, match=f"{complaint.number}: open complaint of ACME"):
        releases.propose(bundle, "stable", delivery.engineer)
    delivery.sign(release, delivery.engineer)
    with pytest.raises(ReleaseRefused, match=complaint.number):  # proposed before anybody complained
        delivery.sign(release, delivery.senior)
    answer(complaint, expert, "positive")
    assert delivery.sign(release, delivery.senior) is not None


def test_a_confirmed_complaint_holds_until_the_customer_has_his_answer_and_never_its_fix(
    loud: Version, customer: Customer, support: User, expert: User
) -> None:
    bundle = Bundle.objects.get()
    complaint = filing.file(customer, RECORD, "soc@acme.example", support)
    answer(complaint, expert, "negative")
    fix = build(loud, silent=True)
    make_publication(bundle=fix)
    complaints.follow()
    assert [hold.source for hold in holds.against(bundle)] == [complaint.number]
    assert holds.against(fix) == []
    complaints.tell(complaint, "It is fixed.", support)
    assert holds.against(bundle) == []


def test_what_is_told_later_moves_the_hold(loud: Version, customer: Customer, support: User, expert: User) -> None:
    complaint = filing.file(customer, "it was flagged", "soc@acme.example", support)
    assert not Hold.objects.exists()  # nobody knows yet what it is about
    filing.add_information(complaint, "here", support, flagged=RECORD)
    assert Hold.objects.open().get().threshold == complaint.score
    answer(complaint, expert, "undecided")
    filing.add_information(complaint, "our scanner", support)
    assert Hold.objects.open().get().source == complaint.number
