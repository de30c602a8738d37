"""The ledger: every fact in the transaction that makes it, chained to the one before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import transaction

from accounts.models import AuditEntry
from accounts.roles import Role
from accounts.services import users
from models_registry.models import LedgerEntry, LedgerKind, Version
from models_registry.services import (
    bundles,
    detector_changes,
    gates,
    ledger,
    ledger_check,
    ledger_roles,
    stages,
    versions,
)
from tests.factories import make_detector, make_snapshot, make_user, make_version
from tests.models_registry.loop import keep_snapshot, make_loop, right_rows
from tests.models_registry.staging import gated
from tests.processes import at_once


def kinds() -> list[str]:
    return list(LedgerEntry.objects.order_by("number").values_list("kind", flat=True))


@pytest.mark.django_db
def test_a_release_leaves_its_whole_story_in_order(tmp_path: Path) -> None:
    version = make_loop(tmp_path)
    keep_snapshot(version.detector, *right_rows())
    gates.run_gate(version)
    gates.run_gate(version)  # an equal report is no new fact
    engineer, senior = make_user(Role.ENGINEER), make_user(Role.SENIOR)
    stages.approve(stages.propose(version, "active", engineer), senior)
    entry = f'registry_name: http-attacks\n  version: 1\n  threshold: {version.threshold}\n  is_silent: "false"\n'
    bundle = bundles.build(f"models:\n- {entry}")
    assert kinds() == [
        *("beginning", "detector", "mapping"),
        *("training-set", "version", "stage"),
        *("snapshot", "gate", "stage", "approval", "bundle"),
    ]
    checked = ledger_check.verify()
    assert (checked.findings, checked.entries, checked.head) == ([], 11, ledger.head()[1])
    approval = LedgerEntry.objects.get(kind=LedgerKind.APPROVAL)
    assert bundle.metadata["ledger"] == {"entry": approval.number, "digest": approval.digest}
    assert json.loads(approval.body)["by"] == senior.username


@pytest.mark.django_db
def test_what_is_undone_leaves_no_entry() -> None:
    version = make_version()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        versions.change_stage(version, "retired", reason="test")
        raise ZeroDivisionError
    assert kinds() == []


@pytest.mark.django_db(transaction=True)
def test_an_entry_without_the_transaction_of_its_fact_is_refused() -> None:
    with pytest.raises(RuntimeError, match="in the transaction of its fact"):
        ledger.record(LedgerKind.SNAPSHOT, make_snapshot())


@pytest.mark.django_db
def test_other_rules_and_their_price_are_entered_with_both_names() -> None:
    detector, engineer, senior = make_detector(), make_user(Role.ENGINEER), make_user(Role.SENIOR)
    proposal = detector_changes.propose(detector, engineer, rules={"categories": ["Other"]}, cost=50.0)
    detector_changes.approve(proposal, senior)
    declined = detector_changes.propose(detector, engineer, cost=60.0)
    detector_changes.decline(declined, senior, "too dear")
    assert kinds() == ["beginning", "approval", "mapping", "approval"]
    entry = LedgerEntry.objects.filter(kind=LedgerKind.APPROVAL).last()
    claims = {one["row"].partition(":")[0]: one["values"] for one in json.loads(entry.body)["claims"]}
    assert claims["models_registry.detectorproposal"]["by_id"] == engineer.pk
    assert claims["models_registry.detectordecision"]["by_id"] == senior.pk
    assert claims["models_registry.detector"] == {"false_positive_cost": 50.0}
    assert ledger_check.verify().findings == []


@pytest.mark.django_db
def test_roles_are_collected_from_the_porters_log_once() -> None:
    administrator = make_user(Role.ADMINISTRATOR)
    made, _password = users.make_user("vera", Role.EXPERT, by=administrator)
    users.change_role(made, Role.SENIOR, by=administrator)
    AuditEntry.objects.create(action="sign-in", subject="vera")
    assert (ledger_roles.collect(), ledger_roles.collect()) == (2, 0)
    assert [entry.subject for entry in LedgerEntry.objects.filter(kind="role")] == [
        "vera: role-changed",
        "vera: created",
    ]
    assert ledger_check.verify().findings == []


@pytest.mark.django_db
def test_a_role_that_no_administrator_gave_is_found() -> None:
    made, _password = users.make_user("vera", Role.ENGINEER, by=make_user(Role.ADMINISTRATOR))
    ledger_roles.collect()
    type(made).objects.filter(pk=made.pk).update(role=Role.SENIOR)
    [finding] = ledger_check.verify().findings
    assert str(finding).startswith(f"accounts.user:{made.pk}: role is 'senior', the ledger says 'engineer'")


@pytest.mark.django_db
def test_a_bundles_receipt_does_not_move_with_what_others_do() -> None:
    one, other = make_version(), make_version()
    versions.change_stage(one, "active", reason="test")
    told = ledger.receipt([one.detector])
    versions.change_stage(other, "active", reason="test")
    assert ledger.receipt([one.detector]) == told
    assert ledger.receipt([one.detector, other.detector])["entry"] == told["entry"] + 1
    assert ledger.receipt([make_detector()]) == {}


def _change(pk: int) -> str:
    for _turn in range(5):
        for new in ("silent", "candidate"):
            versions.change_stage(Version.objects.select_related("detector").get(pk=pk), new, reason="test")
    return "done"


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain() -> None:
    changed = [make_version(stage="candidate").pk for _ in range(4)]
    assert at_once(_change, [(pk,) for pk in changed]) == ["done"] * 4
    checked = ledger_check.verify(files=False)
    assert (checked.findings, checked.entries) == ([], 1 + 4 * 5 * 2)


@pytest.mark.django_db
def test_the_time_and_the_words_of_an_entry_are_hashed_with_it() -> None:
    with transaction.atomic():
        first = ledger.record(LedgerKind.SNAPSHOT, make_snapshot(), subject="one")
        second = ledger.record(LedgerKind.SNAPSHOT, make_snapshot(), subject="one")
    assert second.previous == first.digest
    assert first.digest == ledger.chained(first.previous, first.body)
    assert json.loads(first.body)["at"] == ledger.plain(first.at)


@pytest.mark.django_db
def test_a_refused_gate_is_a_fact_too() -> None:
    version = make_version()
    report = gated(version, passed=False)
    with transaction.atomic():
        entry = ledger.record(LedgerKind.GATE, report, detector=version.detector)
    assert ledger.about(report) == entry
    assert json.loads(entry.body)["claims"][0]["values"]["passed"] is False
