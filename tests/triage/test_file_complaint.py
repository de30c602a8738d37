"""Filing: three fields, scored at once by the customer's bundle, an item on top of its queue, due in 24 hours."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.roles import Role
from labeling.models import Item
from labeling.services import claims
from models_registry.models import Bundle, Site
from tests.detection import eve
from tests.factories import make_customer, make_item, make_user
from tests.feeds import make_publication
from tests.models_registry.loop import http
from tests.triage.conftest import ATTACK, build
from triage.models import Complaint
from triage.services import filing
from triage.services.filing import Details
from triage.services.reproduction import CannotScore
from triage.services.states import ComplaintRefused

pytestmark = pytest.mark.django_db
URL = "/complaints/new/"
RECORD = json.dumps(http(7, "/?id=1' union select 1,2--"))


def states(complaint: Complaint) -> list[str]:
    return list(complaint.states.values_list("state", flat=True))


def test_a_record_is_scored_as_at_the_customer_and_becomes_an_item(loud, customer, support):
    complaint = filing.file(customer, RECORD, "soc@acme.example", support)
    assert complaint.reproduced
    assert complaint.score >= complaint.threshold == loud.threshold
    assert complaint.version == loud
    assert states(complaint) == ["received", "reproduced"]
    item = Item.objects.get()
    assert (item.queue.kind, item.queue.waiting, item.needed) == ("complaint", 1, 1)
    assert item.complaint_item.number == complaint.number
    assert item.subject_key.startswith("customer ACME|7|0|")
    assert AuditEntry.objects.get(action="complaint.filed").actor == support


def test_url_and_headers_are_enough(loud, customer, support):
    assert filing.file(customer, ATTACK, "a ticket", support).reproduced


def test_it_is_due_24_hours_after_receipt(loud, customer, support):
    received = timezone.now() - timedelta(hours=5)
    complaint = filing.file(customer, ATTACK, "x", support, Details(received_at=received))
    assert complaint.deadline.due_at == received + timedelta(hours=24)
    shown = Complaint.objects.listed().get()
    with time_machine.travel(received + timedelta(hours=19, minutes=59, seconds=30), tick=False):
        assert shown.reading.hours_and_minutes == (4, 0)


def test_the_nearest_deadline_is_served_first_and_before_everything_else(loud, customer, support, expert):
    late = filing.file(customer, ATTACK, "x", support)
    three = Details(received_at=timezone.now() - timedelta(hours=3))
    soon = filing.file(customer, ATTACK.replace("/?id", "/search?id"), "x", support, three)
    queue = Item.objects.first().queue
    make_item(queue=queue, version=loud, priority=1_000_000)
    served = [claims.claim_next(queue, make_user()).pk for _ in range(2)]
    assert served == [one.states.get(state="received").item_id for one in (soon, late)]


@pytest.mark.parametrize(("told", "reproduced"), [("", True), ("right", True), ("0.0001", False)])
def test_the_customers_score_must_come_out_too(loud, customer, support, told, reproduced):
    if told == "right":
        _scored, said = filing.preview(RECORD, Details())
        told = f"{said.score:.3f}"
    complaint = filing.file(customer, RECORD, "x", support, Details(score_told=told))
    assert complaint.reproduced is reproduced
    assert ("reproduced" in states(complaint)) is reproduced


def test_what_the_bundle_does_not_flag_is_filed_and_not_reproduced(loud, customer, support):
    complaint = filing.file(customer, json.dumps(http(8, "/index.html")), "x", support)
    assert not complaint.reproduced
    assert states(complaint) == ["received"]


def test_the_bundle_named_is_the_one_that_is_asked(loud, customer, support):
    first = Bundle.objects.get()
    silent = build(loud, silent=True)
    assert filing.file(customer, RECORD, "x", support).bundle == silent
    make_publication(bundle=first)
    assert filing.file(customer, RECORD, "x", support).bundle == first
    named = filing.file(customer, RECORD, "x", support, Details(bundle=first))
    assert (named.bundle, named.reproduced) == (first, True)
    assert not Complaint.objects.get(bundle=silent).reproduced  # a silent version tells the customer nothing


def test_without_a_bundle_it_is_taken_and_evidence_is_asked_for(customer, support):
    complaint = filing.file(customer, ATTACK, "x", support)
    assert (complaint.state, complaint.reading.state) == ("needs-information", "paused")


@pytest.mark.parametrize("said", ["{", "{}", "/path", "the scanner of our branch was flagged at noon"])
def test_what_shows_no_session_is_taken_and_asked_about_while_the_clock_rests(loud, customer, support, said):
    complaint = filing.file(customer, said, "x", support)
    assert states(complaint) == ["received", "needs-information"]
    assert complaint.number in complaint.messages.get().text
    assert complaint.deadline.paused_at is not None
    filing.add_information(complaint, "here it is", support, RECORD)
    assert states(complaint)[2:] == ["received", "reproduced"]
    assert complaint.deadline.paused_at is None
    assert Item.objects.get().state == "open"


def test_what_cannot_be_is_refused_and_nothing_is_kept(loud, customer, support):
    other = Site.objects.create(customer=make_customer(), name="Oslo")
    future = timezone.now() + timedelta(hours=1)
    for contact, details in (
        (" ", Details()),
        ("x", Details(site=other)),
        ("x", Details(received_at=future)),
        ("x", Details(score_told="much")),
    ):
        with pytest.raises(ComplaintRefused):
            filing.file(customer, ATTACK, contact, support, details)
    assert not Complaint.objects.exists()
    assert not Item.objects.exists()


def test_odd_characters_are_kept_storable(loud, customer, support):
    complaint = filing.file(customer, ATTACK + "\nX-Odd: a\0b", "so\0c", support)
    assert "\0" not in complaint.contact + complaint.flagged


def test_the_page_files_with_three_fields(loud, customer, support_client):
    assert "File it" in support_client.get(URL).text
    told = support_client.post(URL, {"customer": customer.pk, "flagged": ATTACK, "contact": "soc"}, follow=True)
    complaint = Complaint.objects.get()
    assert told.redirect_chain == [(f"/complaints/{complaint.pk}/", 302)]
    assert "due in 23 h 59 m" in told.text


def test_a_refusal_keeps_what_was_written(loud, customer, support_client):
    told = {"customer": customer.pk, "flagged": "{<b>", "contact": "soc@acme", "score_told": "much"}
    answer = support_client.post(URL, told)
    assert answer.status_code == 400
    assert "is no score" in answer.text
    assert "{&lt;b&gt;" in answer.text
    assert "soc@acme" in answer.text


def test_without_customers_or_bundles_the_page_says_who_makes_them(support_client):
    assert "engineers add customers" in support_client.get(URL).text
    make_customer()
    assert "There is no bundle yet" in support_client.get(URL).text


def test_the_score_is_shown_before_anything_is_filed(loud, support_client):
    url = reverse("triage:preview-complaint")
    assert "reproduced" in support_client.post(url, {"flagged": ATTACK}).text
    shown = support_client.post(url, {"flagged": "http://x.example/<script>"}).text
    assert "not told" in shown
    assert "<script>" not in shown
    assert "no host" in support_client.post(url, {"flagged": "/"}).text
    assert "Paste what was flagged" in support_client.post(url).text
    assert not Complaint.objects.exists()


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SUPPORT])
def test_filing_is_for_support(client: Client, role):
    client.force_login(make_user(role))
    assert client.get(URL).status_code == client.post(URL).status_code == 403
    assert URL not in client.get(reverse("triage:complaints")).text


def test_a_session_of_another_protocol_than_the_bundle_is_no_evidence_for_it(loud, customer, support):
    with pytest.raises(CannotScore, match="reads http sessions, this one is tls"):
        filing.preview(json.dumps(eve.tls()), Details())
    assert filing.file(customer, json.dumps(eve.tls()), "x", support).state == "needs-information"
