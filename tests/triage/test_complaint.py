"""From confirmed to told: what fixes it, when the clock stops, and that nothing closes in silence."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from labeling.services import claims, labels
from models_registry.models import Publication, Release, Version
from models_registry.services import scoring
from tests.factories import enter, make_bundle, make_complaint, make_customer, make_user, make_version
from tests.feeds import make_feed, make_publication, make_receipt
from tests.models_registry.loop import http
from tests.triage.conftest import build
from triage.models import Case, Complaint, ComplaintState, State
from triage.services import complaints, filing, lists
from triage.services import states as steps
from triage.services.states import NEXT, ComplaintRefused

pytestmark = pytest.mark.django_db
RECORD = json.dumps(http(7, "/?id=1' union select 1,2--"))


@pytest.fixture
def confirmed(loud, customer, support, expert) -> Complaint:
    """A complaint about a session the bundle flags, confirmed by an expert."""
    complaint = filing.file(customer, RECORD, "soc@acme.example", support)
    item = complaint.states.get(state="received").item
    claims.claim(item, expert)
    labels.submit(item, expert, "negative")
    complaints.collect()
    return complaint


def next_version(version: Version, **fields) -> Version:
    """Return a later version of the same files, at another threshold."""
    names = ("detector", "training_set", "onnx_path", "onnx_digest", "text_path", "text_digest")
    return make_version(**{name: getattr(version, name) for name in names}, stage="candidate", **fields)


def states(complaint: Complaint) -> list[str]:
    return list(complaint.states.values_list("state", flat=True))


def test_a_candidate_that_still_flags_it_is_no_fix(confirmed, loud):
    next_version(loud, threshold=loud.threshold)
    assert complaints.follow() == 0


def test_the_first_candidate_that_does_not_flag_it_is_the_fix(confirmed, loud):
    fix = next_version(loud, threshold=0.9999999)
    next_version(loud, threshold=0.99999999)
    assert (complaints.follow(), complaints.follow()) == (1, 0)
    assert confirmed.states.get(state="fix-in-candidate").version == fix


def test_versions_made_before_the_confirmation_are_not_counted(confirmed, loud):
    next_version(loud, threshold=0.9999999, created_at=timezone.now() - timedelta(days=1))
    next_version(loud, threshold=0.9999999)
    Version.objects.filter(number=3).update(stage="retired")
    assert complaints.follow() == 0


@pytest.mark.parametrize("how", [{"threshold": 0.9999999, "silent": True}, {"silent": True}])
def test_a_bundle_whose_customer_sees_no_verdict_fixes_it(confirmed, loud, how):
    bundle = build(loud, **how)
    assert complaints.follow() == 1
    assert confirmed.states.get(state="fixed-in-bundle").bundle == bundle


def test_the_clock_stops_when_the_fix_is_published_and_closing_takes_an_answer(confirmed, loud, support):
    with pytest.raises(ComplaintRefused, match="cannot become published"):
        steps.enter(confirmed, State.PUBLISHED)
    bundle = build(loud, silent=True)
    complaints.follow()
    with pytest.raises(ComplaintRefused):
        complaints.tell(confirmed, "fixed", support)
    make_publication(bundle=bundle)
    assert complaints.follow() == 1
    assert confirmed.states.get(state="published").bundle == bundle
    shown = Complaint.objects.listed().get()
    with time_machine.travel(timezone.now() + timedelta(days=9)):
        assert shown.reading.state == "met"
    with pytest.raises(ComplaintRefused, match="without an answer"):
        complaints.tell(confirmed, " ", support)
    complaints.tell(confirmed, f"fixed in {bundle}", support)
    assert states(confirmed)[-2:] == ["published", "told"]
    assert not lists.unanswered(make_user(Role.AUDITOR))
    with pytest.raises(ComplaintRefused):
        complaints.tell(confirmed, "again", support)


def test_the_page_shows_fix_bundle_and_flipped_verdicts(confirmed, loud, support_client):
    fix = next_version(loud, threshold=0.9999999)
    scoring.score_waiting()
    bundle = build(loud, silent=True)
    complaints.follow()
    url = reverse("triage:complaint", args=[confirmed.pk])
    page = support_client.get(url).text
    for expected in (str(fix), str(bundle), "✓ reproduced", "due in 23 h 59 m", "soc@acme.example"):
        assert expected in page
    told = support_client.get(reverse("triage:flips", args=[confirmed.pk])).text
    flagged = loud.score_files.get()
    flips = flagged.covered + flagged.unique_candidates
    assert f"{flips} other verdicts flip" in told
    assert "of 240 stored sessions" in told


def test_flips_wait_for_the_candidates_scores(confirmed, loud, support_client):
    url = reverse("triage:flips", args=[confirmed.pk])
    assert "flip" not in support_client.get(url).text.replace('id="flips"', "")
    next_version(loud, threshold=0.9999999)
    complaints.follow()
    assert "are counted when" in support_client.get(url).text


def test_a_rejection_is_sent_with_its_reason(client, expert, support):
    complaint = make_complaint()
    enter(complaint, "rejected", by=expert)
    client.force_login(support)
    page = client.get(reverse("triage:complaint", args=[complaint.pk])).text
    assert "Rejected:" in page
    shown = Complaint.objects.listed().get()
    assert shown.reading.state == "running"  # it is the sending that counts
    url = reverse("triage:tell-customer", args=[complaint.pk])
    assert client.post(url, {"answer": ""}).status_code == 409
    assert client.post(url, {"answer": "It is an attack: why"}).status_code == 302
    assert Complaint.objects.listed().get().reading.state == "met"


def test_the_expert_is_asked_again_with_what_was_missing(loud, customer, support_client, support, expert):
    complaint = filing.file(customer, RECORD, "x", support)
    first = complaint.states.get(state="received").item
    claims.claim(first, expert)
    labels.submit(first, expert, "undecided", note="which application?")
    complaints.collect()
    url = reverse("triage:add-information", args=[complaint.pk])
    refused = support_client.post(url, {"information": "", "flagged": "{"})
    assert refused.status_code == 409
    assert support_client.post(url, {"information": "here", "flagged": "{"}).status_code == 409
    assert support_client.post(url, {"information": "our scanner"}).status_code == 302
    assert states(complaint)[-3:] == ["needs-information", "received", "reproduced"]
    again = complaint.states.filter(state="received").last()
    assert (again.reason, again.item.state) == ("the customer answered", "open")
    assert complaint.messages.get(to_customer=False).text == "our scanner"
    assert again.item != first
    assert support_client.post(url, {"information": "more"}).status_code == 409  # nobody asked
    claims.claim(again.item, expert)
    labels.submit(again.item, expert, "negative")
    complaints.collect()
    assert steps.state_of(complaint) == "confirmed"


def test_every_state_leads_to_told_and_told_ends_it():
    reached, ahead = set(), {"received"}
    while ahead:
        state = ahead.pop()
        reached.add(state)
        ahead |= set(NEXT[state]) - reached
    assert reached == set(NEXT)
    assert [state for state, after in NEXT.items() if not after] == ["told"]


@pytest.mark.parametrize(
    ("states", "facts"),
    [
        (("confirmed", "rejected"), {}),
        (("confirmed", "confirmed"), {}),
        (("told", "told"), {}),
        (("told",), {"reason": ""}),
    ],
)
def test_the_database_refuses_what_cannot_be(states, facts):
    complaint = make_complaint()
    with pytest.raises(IntegrityError), transaction.atomic():
        for state in states:
            ComplaintState.objects.create(complaint=complaint, state=state, **({"reason": "why"} | facts))


def test_look_alikes_of_other_customers_are_named(support_client):
    one = make_complaint()
    case = Case.objects.create(detector=one.detector, shape=one.shape)
    other = make_complaint(version=one.version, bundle=one.bundle, customer=make_customer(name="Globex"), case=case)
    Complaint.objects.filter(pk=one.pk).update(case=case)
    assert f"{other.number}</a> Globex" in support_client.get(reverse("triage:complaint", args=[one.pk])).text


def test_what_was_pasted_is_shown_and_not_obeyed(support_client):
    complaint = make_complaint(flagged="<script>alert(1)</script>", contact="<img src=x>", note="<b>")
    page = support_client.get(reverse("triage:complaint", args=[complaint.pk])).text
    for payload in ("<script>alert(1)", "<img src=x>", "<b>"):
        assert payload not in page


@pytest.mark.parametrize("role", list(Role))
def test_buttons_are_for_who_may_press_them(client, role):
    complaint = make_complaint()
    enter(complaint, "confirmed")
    enter(complaint, "fixed-in-bundle", bundle=make_bundle())
    client.force_login(make_user(role))
    page = client.get(reverse("triage:complaint", args=[complaint.pk])).text
    assert ("Release to the canary channel" in page) == (role in (Role.ENGINEER, Role.SENIOR))
    enter(complaint, "published")
    page = client.get(reverse("triage:complaint", args=[complaint.pk])).text
    assert ("close the complaint" in page) == (role is Role.SUPPORT)


def test_a_fix_is_published_by_a_release_of_two_people_and_no_other_way(
    confirmed, loud, engineer_client, settings, tmp_path
):
    """The page leads to a release; its state follows from the row that both signatures write."""
    delivery, fix = make_feed(settings, tmp_path), build(loud, silent=True)
    make_receipt(bundle=fix)
    complaints.follow()
    page = reverse("triage:complaint", args=[confirmed.pk])
    propose = reverse("models_registry:propose-release", args=[fix.pk])
    for channel, button in (("canary", "Release to the canary channel"), ("customer", "Release to ACME alone")):
        shown = engineer_client.get(page).text
        assert (button in shown, propose in shown) == (True, True)
        fields = {"channel": channel, "customer": confirmed.customer_id if channel == "customer" else ""}
        answer = engineer_client.post(propose, fields | {"reason": confirmed.number})
        release = Release.objects.latest("id")
        assert (answer["Location"], release.reason) == (f"/releases/{release.pk}/", confirmed.number)
        delivery.sign(release, delivery.engineer)
        assert complaints.follow() == 0  # one signature is none
        shown = engineer_client.get(page).text
        assert (f">{release}</a>" in shown, "1 of 2 signatures" in shown, propose in shown) == (True, True, False)
        delivery.sign(release, delivery.senior)
    assert complaints.follow() == 1
    told = confirmed.states.get(state="published")
    assert told.at == Publication.objects.get(customer=confirmed.customer).published_at
    assert propose not in engineer_client.get(page).text
    assert engineer_client.post(f"{page}publish/").status_code == 404


def test_what_new_versions_say_is_told_while_none_fixes_it(confirmed, loud, support_client):
    page = reverse("triage:complaint", args=[confirmed.pk])
    assert "none fixes it yet" in support_client.get(page).text
    still = next_version(loud, threshold=loud.threshold)
    assert f"{still} still flags it" in support_client.get(reverse("triage:stop-gaps", args=[confirmed.pk])).text
    assert "no new version fixes it" in support_client.get(page).text
