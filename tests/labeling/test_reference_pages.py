"""The pages of the reference set: rows by filter and key, one row with all that is known of it, what is done to it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from labeling.models import Dispute, ReferenceProposal, ReferenceRow
from labeling.services import disputes, entries, reference, reference_changes
from tests import factories
from tests.factories import failing_report, make_reference_row, make_row, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    return make_reference_row(title="GET shop.example/cgi-bin", family="SQL injection")


def page_of(client, row, **asked):
    return client.get(reverse("labeling:reference-row", args=[row.pk]), asked)


def post(client, name, pk, **fields):
    return client.post(reverse(f"labeling:{name}", args=[pk]), {"note": "because"} | fields)


def same_detector(like, **fields):
    return make_reference_row(item=factories.make_session_item(like.item.queue), **fields)


@pytest.mark.parametrize(
    "asked",
    [
        {"role": "regression"},
        {"answer": "negative"},
        {"rules": "hit"},
        {"sensor": "dmz"},
        {"source": "branch"},
        {"family": "XSS"},
        {"state": "recheck"},
        {"state": "retired"},
        {"state": "disputed"},
    ],
)
def test_a_filter_shows_its_rows_and_no_other(row, asked, expert, senior, engineer, auditor_client):
    named = {"rules": ("rule_hit", True)}
    fields = {"title": "the other one", "role": "hold-out"}
    for name, value in asked.items():
        if name != "state":
            key, value = named.get(name, (name, value))
            fields[key] = value
    other = same_detector(row, **fields)
    if asked.get("state") == "recheck":
        reference_changes.flag(other, expert, "doubtful")
    if asked.get("state") == "retired":
        proposal = reference_changes.propose_retirement(other, engineer, reason="mislabelled", note="x")
        reference_changes.approve(proposal, senior)
    if asked.get("state") == "disputed":
        disputes.dispute(other, expert, reason="other", note="look")
    shown = auditor_client.get(reverse("labeling:reference", args=[row.detector.name]), asked)
    assert [one.pk for one in shown.context["page"].rows] == [other.pk]


def test_nonsense_in_a_filter_counts_as_not_asked_for(row, auditor_client):
    url = reverse("labeling:reference", args=[row.detector.name])
    shown = auditor_client.get(
        url, {"role": "x", "answer": "?", "rules": "1", "state": "0", "before": "-", "sensor": "\0"}
    )
    assert [one.pk for one in shown.context["page"].rows] == [row.pk]


def test_a_page_takes_few_queries_whatever_the_set_holds(
    row, auditor_client, django_assert_max_num_queries, monkeypatch
):
    for _ in range(5):
        same_detector(row)
    monkeypatch.setattr(entries, "PAGE", 3)
    with django_assert_max_num_queries(16):
        shown = auditor_client.get(reverse("labeling:reference", args=[row.detector.name]))
    assert len(shown.context["page"].rows) == 3


def test_an_entry_says_where_it_comes_from(row, auditor_client):
    snapshot = reference.publish_snapshot(row.detector)
    report = failing_report(row, snapshot=snapshot)
    shown = page_of(auditor_client, row)
    for label in row.labels.all():
        assert str(label.expert) in shown.text
    assert reverse("models_registry:gate", args=[report.pk]) in shown.text
    assert [one.pk for one in shown.context["entry"].snapshots] == [snapshot.pk]
    assert "By a keyed hash" in shown.text
    assert "Losing it blocks" in shown.text
    assert row.digest in shown.text


def test_an_entry_shows_the_session_as_it_was_frozen(row, auditor_client):
    frozen = make_row(uri="/frozen?<script>", uri_decoded="/frozen?<script>")
    kept = same_detector(row, row=frozen)
    kept.item.record.row = "{}"
    kept.item.record.save()
    text = page_of(auditor_client, kept).text
    assert "/frozen?&lt;script&gt;" in text
    assert "<script>" not in text.replace("<script src", "")


def test_an_entry_without_an_item_is_shown_too(row, auditor_client):
    ReferenceRow.objects.filter(pk=row.pk).update(item=None)
    row.labels.clear()
    assert "it was imported" in page_of(auditor_client, row).text


def test_the_role_is_explained(row, senior, auditor_client):
    assert "Drawn at random" in page_of(auditor_client, same_detector(row, role="forward")).text
    reference_changes.spend(row, senior, failing_report(row), "learn it")
    assert "until" in page_of(auditor_client, row).context["entry"].why_role
    complaint = factories.make_complaint()
    item = complaint.states.get().item
    assert "confirmed complaint" in page_of(auditor_client, make_reference_row(item=item, role="regression")).text


def test_a_dispute_from_the_gate_report_is_decided_by_a_senior(row, expert_client, senior_client):
    report = failing_report(row)
    gate = expert_client.get(reverse("models_registry:gate", args=[report.pk])).text
    find = reverse("labeling:find-reference-row", args=[row.detector.name])
    assert find in gate
    found = expert_client.get(find, {"key": row.subject_key, "answer": row.answer, "report": report.pk}, follow=True)
    assert found.context["origin"] == "gate"
    sent = post(expert_client, "dispute-row", row.pk, reason="wrong-answer", origin="gate", report=report.pk)
    assert sent.status_code == 302
    dispute = Dispute.objects.get()
    assert (dispute.gate_report, dispute.origin) == (report, "gate")
    assert page_of(senior_client, row).context["may_decide"]
    assert post(senior_client, "decide-dispute", dispute.pk, outcome="upheld").status_code == 302
    assert "upheld" in senior_client.get(reverse("labeling:disputes"), {"state": "all"}).text


@pytest.mark.parametrize("outcome", ["correct", "mislabelled", "spent"])
def test_a_dispute_ends_in_what_the_senior_says(row, expert, senior_client, outcome):
    report = failing_report(row)
    dispute = disputes.dispute(row, expert, reason="other", note="look")
    assert post(senior_client, "decide-dispute", dispute.pk, outcome=outcome, report=report.pk).status_code == 302
    row.refresh_from_db()
    assert row.role == ("regression" if outcome == "spent" else "hold-out")
    assert ReferenceProposal.objects.count() == (outcome != "spent")


def test_a_refusal_keeps_what_was_written(row, senior_client):
    refused = post(senior_client, "retire-row", row.pk, reason="duplicate", note="the same as 7", duplicate_of="x")
    assert refused.status_code == 409
    assert "the same as 7" in refused.text
    assert "Name the other row" in refused.text


def test_two_people_retire_a_row_on_its_page(row, engineer_client, senior_client):
    post(engineer_client, "retire-row", row.pk, reason="mislabelled")
    proposal = ReferenceProposal.objects.get()
    assert post(engineer_client, "decide-proposal", proposal.pk, approve="1").status_code == 409
    listed = senior_client.get(reverse("labeling:reference", args=[row.detector.name]))
    assert [asked.may_approve for asked in listed.context["proposals"]] == [True]
    assert "Judge the label, not the model" in page_of(senior_client, row).text
    assert post(senior_client, "decide-proposal", proposal.pk, approve="1").status_code == 302
    row.refresh_from_db()
    assert row.is_retired


def test_a_proposal_is_taken_back(row, engineer_client):
    post(engineer_client, "retire-row", row.pk, reason="mislabelled")
    post(engineer_client, "decide-proposal", ReferenceProposal.objects.get().pk, note="a mistake")
    assert not ReferenceProposal.objects.waiting().exists()


def test_a_senior_corrects_spends_marks_and_confirms(row, senior_client, expert_client):
    assert post(expert_client, "flag-row", row.pk).status_code == 302
    assert post(senior_client, "confirm-row", row.pk).status_code == 302
    assert post(senior_client, "spend-row", row.pk).status_code == 409
    assert post(senior_client, "spend-row", row.pk, report=failing_report(row).pk).status_code == 302
    assert post(senior_client, "retire-row", row.pk, reason="correct").status_code == 302
    second = factories.make_user(Role.SENIOR)
    reference_changes.approve(ReferenceProposal.objects.get(), second)
    assert ReferenceRow.objects.in_force().get().answer == "negative"
    assert "row " in page_of(senior_client, row).text


def test_readers_see_no_form(row, auditor_client):
    text = page_of(auditor_client, row).text
    for name in ("dispute-row", "retire-row", "spend-row", "flag-row", "confirm-row"):
        assert reverse(f"labeling:{name}", args=[row.pk]) not in text


def test_a_row_nobody_knows_is_not_found(row, auditor_client):
    find = reverse("labeling:find-reference-row", args=[row.detector.name])
    assert auditor_client.get(find, {"key": "nothing"}).status_code == 404


def test_the_own_answers_lead_to_the_row(row):
    label = row.labels.first()
    client = Client()
    client.force_login(label.expert)
    text = client.get(reverse("labeling:answers")).text
    assert f"{reverse('labeling:reference-row', args=[row.pk])}?from=answers" in text


def test_the_list_of_disputes_says_what_is_open(row, expert, auditor_client):
    assert "No dispute is open" in auditor_client.get(reverse("labeling:disputes")).text
    disputes.dispute(row, expert, reason="other", note="look at the host")
    text = auditor_client.get(reverse("labeling:disputes")).text
    assert "look at the host" in text
    assert row.title in text


@pytest.mark.slow
def test_the_pages_are_accessible(row, sign_in, accessible, expert):
    failing_report(row)
    disputes.dispute(row, expert, reason="other", note="look")
    reference.publish_snapshot(row.detector)
    tab = sign_in(make_user(Role.SENIOR))
    name = row.detector.name
    for url in (
        reverse("labeling:reference", args=[name]),
        reverse("labeling:reference-row", args=[row.pk]),
        reverse("labeling:snapshots", args=[name]),
        reverse("labeling:disputes"),
    ):
        tab.goto(url)
        accessible(tab)
