"""Retiring, correcting and spending rows of the reference set: two people, for what is wrong with the label."""

from __future__ import annotations

import pytest

from accounts.roles import Role
from detection.reference import read_snapshot
from labeling.models import LedgerMail, ReferenceEvent, ReferenceRow, RetireReason
from labeling.models import Role as RowRole
from labeling.services import labels, reference, reference_changes, reference_events
from labeling.services.reference_changes import ChangeRefused
from models_registry.services import snapshots
from tests import factories
from tests.factories import failing_report, make_reference_row, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def row():
    return make_reference_row()


def propose(row, by, **fields):
    details = {"reason": "mislabelled", "note": "it is the backup of the shop"} | fields
    return reference_changes.propose_retirement(row, by, **details)


def keys(detector):
    return {one.subject_key for one in read_snapshot(snapshots.read(reference.publish_snapshot(detector)))}


def test_an_engineer_and_a_senior_retire_a_row(row, engineer, senior):
    before = reference.publish_snapshot(row.detector)
    event = reference_changes.approve(propose(row, engineer), senior)
    row.refresh_from_db()
    assert row.is_retired
    assert (event.kind, event.by, event.details["proposed_by"]) == ("retired", senior, engineer.username)
    assert event.details["reason"] == "mislabelled"
    assert keys(row.detector) == set()
    assert {one.subject_key for one in read_snapshot(snapshots.read(before))} == {row.subject_key}  # old ones stay


def test_a_proposal_alone_changes_nothing(row, engineer):
    propose(row, engineer)
    row.refresh_from_db()
    assert not row.is_retired
    assert keys(row.detector) == {row.subject_key}


def test_nobody_is_his_own_second_person(row, senior, engineer):
    for person in (senior, engineer):
        proposal = propose(make_reference_row(), person)
        with pytest.raises(ChangeRefused, match="own proposal"):
            reference_changes.approve(proposal, person)


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.EXPERT, Role.SUPPORT, Role.AUDITOR])
def test_no_other_role_proposes_approves_or_declines(row, engineer, role):
    person = make_user(role)
    with pytest.raises(ChangeRefused):
        propose(row, person)
    proposal = propose(row, engineer)
    for verb in (reference_changes.approve, reference_changes.decline):
        with pytest.raises(ChangeRefused):
            verb(proposal, person, "because")


def test_two_engineers_are_not_enough(row, engineer):
    with pytest.raises(ChangeRefused, match="second person is senior expert"):
        reference_changes.approve(propose(row, engineer), make_user(Role.ENGINEER))


def test_that_a_model_fails_a_row_is_no_reason(row, engineer):
    assert not any("model" in value or "fail" in value for value in RetireReason.values)
    with pytest.raises(ChangeRefused, match="no reason"):
        propose(row, engineer, reason="model-fails")
    with pytest.raises(ChangeRefused, match="Write why"):
        propose(row, engineer, note="  ")


def test_a_duplicate_names_the_row_that_says_the_same(row, engineer):
    other = make_reference_row(item=factories.make_session_item(row.item.queue))
    opposite = make_reference_row(item=factories.make_session_item(row.item.queue), answer="negative")
    for named in (None, row, opposite, make_reference_row()):
        with pytest.raises(ChangeRefused):
            propose(row, engineer, reason="duplicate", duplicate_of=named)
    assert propose(row, engineer, reason="duplicate", duplicate_of=other).duplicate_of == other


def test_a_second_press_and_a_second_approval_change_nothing(row, engineer, senior):
    proposal = propose(row, engineer)
    assert propose(row, engineer) == proposal
    event = reference_changes.approve(proposal, senior)
    assert reference_changes.approve(proposal, senior) == event
    assert ReferenceEvent.objects.count() == 1


def test_a_declined_proposal_stays_declined(row, engineer, senior):
    proposal = propose(row, engineer)
    reference_changes.decline(proposal, senior, "the answer is right")
    with pytest.raises(ChangeRefused, match="declined"):
        reference_changes.approve(proposal, senior)
    assert propose(row, engineer) != proposal


def test_retired_rows_are_not_learnt_from(row, engineer, senior):
    ReferenceRow.objects.filter(pk=row.pk).update(role=RowRole.REGRESSION)
    assert reference.publish_training_set(row.detector).rows == 1
    reference_changes.approve(propose(row, engineer), senior)
    assert reference.publish_training_set(row.detector).rows == 0


def test_two_seniors_correct_an_answer(row, senior):
    proposal = reference_changes.propose_correction(row, senior, note="a scanner of ours")
    second = make_user(Role.SENIOR)
    event = reference_changes.approve(proposal, second, "so it is")
    row.refresh_from_db()
    now = ReferenceRow.objects.in_force().get(item=row.item)
    assert row.is_retired
    assert (now.answer, event.kind, event.details["successor"]) == ("negative", "corrected", now.pk)
    assert {label.expert for label in now.labels.all()} == {senior, second}
    row.item.refresh_from_db()
    assert row.item.outcome == "negative"
    with pytest.raises(labels.UndoRefused):
        labels.undo(second)


def test_a_corrected_row_never_becomes_hold_out_again(row, senior, monkeypatch):
    monkeypatch.setattr(reference, "role_by_key", lambda shape, host: RowRole.HOLDOUT)
    reference_changes.spend(row, senior, failing_report(row), "learn it")
    first, second = make_user(Role.SENIOR), make_user(Role.SENIOR)
    reference_changes.approve(reference_changes.propose_correction(row, first, note="no"), second)
    assert ReferenceRow.objects.in_force().get().role == RowRole.REGRESSION


def test_who_gave_the_answer_does_not_correct_it(row, senior):
    labeller = row.labels.first().expert
    labeller.role = Role.SENIOR
    labeller.save()
    with pytest.raises(ChangeRefused, match="does not judge"):
        reference_changes.propose_correction(row, labeller, note="I was wrong")
    proposal = reference_changes.propose_correction(row, senior, note="a scanner")
    for person in (labeller, senior, make_user(Role.ENGINEER), make_user(Role.ADMINISTRATOR)):
        with pytest.raises(ChangeRefused):
            reference_changes.approve(proposal, person)


def test_a_senior_spends_a_failure_and_n_shrinks(row, senior, engineer):
    report = failing_report(row)
    before = reference.publish_snapshot(row.detector).counts["roles"]
    event = reference_changes.spend(row, senior, report, "no version learns it otherwise")
    after = reference.publish_snapshot(row.detector).counts["roles"]
    assert before["hold-out"] == {"positive": 1, "negative": 0}
    assert "hold-out" not in after
    assert after["regression"] == {"positive": 1, "negative": 0}
    assert (event.kind, event.details["gate_report"]) == ("spent", report.pk)
    with pytest.raises(ChangeRefused, match="Only hold-out"):
        reference_changes.spend(row, senior, report, "again")


def test_only_a_failure_is_spent_and_only_by_a_senior(row, senior, engineer):
    other = failing_report(make_reference_row())
    passed = factories.make_gate_report(version=factories.make_version(detector=row.detector))
    for report in (other, passed):
        with pytest.raises(ChangeRefused, match="does not list"):
            reference_changes.spend(row, senior, report, "why")
    with pytest.raises(ChangeRefused, match="senior"):
        reference_changes.spend(row, engineer, failing_report(row), "why")


def test_a_spent_row_may_be_learnt_from(row, senior):
    assert reference.publish_training_set(row.detector).rows == 0
    reference_changes.spend(row, senior, failing_report(row), "learn it")
    assert reference.publish_training_set(row.detector).rows == 1


def test_a_mark_takes_nothing_away(row, expert, senior):
    reference_changes.flag(row, expert, "the host has moved")
    assert reference_changes.flag(row, None, "its answer expired") is None
    assert keys(row.detector) == {row.subject_key}
    assert reference_changes.confirm(row, senior, "looked again").kind == "confirmed"
    row.refresh_from_db()
    assert row.recheck_since is None


def test_events_are_a_chain_and_those_that_change_the_gate_go_to_the_ledger(row, engineer, senior, expert):
    reference_changes.flag(row, expert, "doubtful")
    reference_changes.spend(row, senior, failing_report(row), "learn it")
    reference_changes.approve(propose(row, engineer), senior)
    events = list(ReferenceEvent.objects.order_by("number"))
    assert [(event.number, event.kind) for event in events] == [(1, "flagged"), (2, "spent"), (3, "retired")]
    assert [event.previous for event in events] == ["", events[0].digest, events[1].digest]
    mail = LedgerMail.objects.filter(collected_at=None).order_by("event__number")
    assert [one.event.kind for one in mail] == ["spent", "retired"]
    assert reference_events.broken(row.detector) is None


def test_a_changed_event_breaks_the_chain(row, expert, senior, monkeypatch):
    reference_changes.flag(row, expert, "doubtful")
    monkeypatch.setattr(reference_events, "event_digest", lambda previous, told: "f" * 64)
    reference_changes.confirm(row, senior, "fine")
    monkeypatch.undo()
    assert reference_events.broken(row.detector) == 2


def test_the_place_of_a_retired_row_is_free(row, engineer, senior):
    twin = {"fingerprint": row.fingerprint, "host": row.host, "item": factories.make_session_item(row.item.queue)}
    reference_changes.approve(propose(row, engineer), senior)
    assert make_reference_row(**twin).pk
