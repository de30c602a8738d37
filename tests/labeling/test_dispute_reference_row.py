"""Disputes: whoever doubts a row puts it before a senior who has no part in it; the row gates meanwhile."""

from __future__ import annotations

import pytest

from accounts.roles import Role
from labeling.models import Dispute, ReferenceRow
from labeling.services import disputes, reference_changes
from labeling.services.reference_changes import ChangeRefused
from tests.factories import failing_report, make_dispute, make_reference_row, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    return make_reference_row()


def dispute(row, by, **fields):
    return disputes.dispute(row, by, **{"reason": "wrong-answer", "note": "a scanner of ours"} | fields)


@pytest.mark.parametrize("role", [Role.EXPERT, Role.SENIOR, Role.ENGINEER])
def test_experts_and_engineers_dispute(row, role):
    made = dispute(row, make_user(role), answer="negative", origin="gate", gate_report=failing_report(row))
    assert (made.state, made.answer, made.origin) == ("open", "negative", "gate")
    row.refresh_from_db()
    assert not row.is_retired


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.SUPPORT, Role.AUDITOR])
def test_others_do_not(row, role):
    with pytest.raises(ChangeRefused):
        dispute(row, make_user(role))


def test_one_dispute_waits_at_a_time(row, expert):
    first = dispute(row, expert)
    assert dispute(row, make_user()) == first
    assert Dispute.objects.count() == 1


@pytest.mark.parametrize("fields", [{"reason": "x"}, {"note": ""}, {"answer": "positive"}, {"answer": "undecided"}])
def test_a_dispute_says_what_is_wrong(row, expert, fields):
    with pytest.raises(ChangeRefused):
        dispute(row, expert, **fields)


def test_a_senior_upholds_the_row(row, expert, senior):
    reference_changes.flag(row, expert, "doubtful")
    made = dispute(row, expert)
    disputes.uphold(made, senior, "the request is an attack")
    made = Dispute.objects.get()
    row.refresh_from_db()
    assert made.state == "upheld: the row stands"
    assert row.recheck_since is None
    assert not row.is_retired
    with pytest.raises(ChangeRefused, match="has decided already"):
        disputes.retire(made, make_user(Role.SENIOR), "no")


def test_the_disputing_senior_and_who_labelled_it_do_not_decide(row, senior, engineer):
    made = dispute(row, senior)
    labeller = row.labels.first().expert
    labeller.role = Role.SENIOR
    labeller.save()
    for person in (senior, labeller, engineer, make_user(Role.EXPERT), make_user(Role.ADMINISTRATOR)):
        with pytest.raises(ChangeRefused):
            disputes.uphold(made, person, "it stands")
    assert disputes.refusal(made, make_user(Role.SENIOR)) == ""


def test_a_dispute_ends_in_retirement_by_two_people(row, expert, senior, engineer):
    made = dispute(row, expert, reason="broken-session")
    decision = disputes.retire(made, senior, "cut off in the middle", reason="broken-session")
    assert Dispute.objects.get().state == "waits for the second person"
    reference_changes.approve(decision.proposal, engineer)
    assert Dispute.objects.get().state == "retired"
    row.refresh_from_db()
    assert row.is_retired


def test_a_dispute_ends_in_a_corrected_answer_by_two_seniors(row, expert, senior):
    decision = disputes.correct(dispute(row, expert, answer="negative"), senior, "our scanner")
    reference_changes.approve(decision.proposal, make_user(Role.SENIOR))
    assert Dispute.objects.get().state == "answer corrected"
    assert ReferenceRow.objects.in_force().get().answer == "negative"


def test_the_second_person_may_uphold_it_after_all(row, expert, senior, engineer):
    decision = disputes.retire(dispute(row, expert), senior, "wrong")
    reference_changes.decline(decision.proposal, engineer, "it is right")
    assert Dispute.objects.get().state == "upheld by the second person"
    row.refresh_from_db()
    assert not row.is_retired


def test_a_dispute_may_spend_the_row(row, expert, senior):
    report = failing_report(row)
    disputes.spend(dispute(row, expert, gate_report=report), senior, "true, and hard to learn", report)
    row.refresh_from_db()
    assert (row.role, Dispute.objects.get().state) == ("regression", "role corrected: spent")


def test_the_list_pages_by_key(row, monkeypatch):
    monkeypatch.setattr(disputes, "PAGE", 2)
    made = [make_dispute() for _ in range(3)]
    first = disputes.page()
    assert [one.pk for one in first.disputes] == [made[2].pk, made[1].pk]
    assert [one.pk for one in disputes.page(before=first.before).disputes] == [made[0].pk]
    assert disputes.page(row.detector).disputes == []
    disputes.uphold(made[0], make_user(Role.SENIOR), "fine")
    assert made[0] not in disputes.page(waiting=True).disputes
