"""Every table of evidence is guarded, by its model and by the database itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from accounts.evidence import Evidence
from accounts.models import AuditEntry
from labeling.models import (
    Adjudication,
    Answer,
    Dispute,
    DisputeDecision,
    GroupVerdict,
    Label,
    ProofDraw,
    ProofItem,
    Question,
    ReferenceDecision,
    ReferenceEvent,
    ReferenceProposal,
    Suggestion,
)
from labeling.services import reference_events
from models_registry.models import (
    AcceptedLoss,
    ApplianceReport,
    Bundle,
    BundleEntry,
    BundleReceipt,
    Claim,
    DetectorDecision,
    DetectorProposal,
    DiffGroup,
    DiffReview,
    Erasure,
    FeedFile,
    GateReport,
    IndicatorListVersion,
    LedgerEntry,
    Publication,
    Release,
    ReleaseOutcome,
    ReleaseSignature,
    Rollback,
    RollbackReview,
    RuleMappingVersion,
    ShipQuery,
    ShipQueryDecision,
    ShipQueryProposal,
    Snapshot,
    StageChange,
    StageDecision,
    StageProposal,
    ThresholdDecision,
    ThresholdProposal,
    TrainingSet,
    VerdictDiff,
)
from tests import factories, feeds, field
from tests.factories import SOME_TIME
from triage.models import (
    Announcement,
    ComplaintState,
    DeadlineChange,
    DeadlineNotice,
    DeliveryAttempt,
    FalseIncidentRate,
    IncidentStep,
    PrecisionFit,
    Promise,
    Reproduction,
    RiskWeights,
    StreamRestart,
)

pytestmark = pytest.mark.django_db


def make_label() -> Label:
    item = factories.make_item()
    return Label.objects.create(
        item=item,
        detector=item.detector,
        subject_kind=item.subject_kind,
        subject_key=item.subject_key,
        expert=factories.make_user(),
        answer=Answer.POSITIVE,
    )


def make_reproduction() -> Reproduction:
    about = factories.make_complaint()
    assert about.bundle
    assert about.version
    figures = {"score": 0.9, "threshold": 0.7, "positive": True, "strength": "session", "digest": "0" * 64}
    return Reproduction.objects.create(complaint=about, bundle=about.bundle, version=about.version, **figures)


MAKERS: dict[type[models.Model], Callable[[], models.Model]] = {
    AuditEntry: lambda: AuditEntry.objects.create(action="sign-in"),
    Label: make_label,
    GroupVerdict: lambda: GroupVerdict.objects.create(label=make_label(), policy={}, items=2, checks=1, sessions=3),
    Adjudication: lambda: Adjudication.objects.create(label=make_label(), between=[]),
    Question: lambda: Question.objects.create(item=factories.make_item(), by=factories.make_user(), text="sure?"),
    ProofDraw: lambda: factories.make_proof_item().proof.draw,
    ProofItem: lambda: factories.make_proof_item().proof,
    ReferenceProposal: factories.make_reference_proposal,
    ReferenceDecision: lambda: ReferenceDecision.objects.create(
        proposal=factories.make_reference_proposal(), outcome="declined", by=factories.make_user(), role="senior"
    ),
    ReferenceEvent: lambda: reference_events.record(
        factories.make_detector(), ReferenceEvent.Kind.FLAGGED, factories.make_user(), note="?"
    ),
    Dispute: factories.make_dispute,
    DisputeDecision: lambda: DisputeDecision.objects.create(
        dispute=factories.make_dispute(), outcome="upheld", note="it stands", by=factories.make_user(), role="senior"
    ),
    RuleMappingVersion: lambda: factories.make_detector().mapping,
    RiskWeights: lambda: factories.make_organisation().weights,
    Suggestion: factories.make_suggestion,
    TrainingSet: factories.make_training_set,
    Snapshot: factories.make_snapshot,
    StageChange: lambda: StageChange.objects.create(version=factories.make_version(), new="silent", reason="test"),
    StageProposal: factories.make_proposal,
    StageDecision: lambda: StageDecision.objects.create(
        proposal=factories.make_proposal(), outcome="declined", by=factories.make_user(), role="senior"
    ),
    DetectorProposal: factories.make_change,
    DetectorDecision: lambda: DetectorDecision.objects.create(
        proposal=factories.make_change(), outcome="declined", by=factories.make_user(), role="senior"
    ),
    VerdictDiff: factories.make_verdict_diff,
    DiffGroup: lambda: factories.make_verdict_diff().groups.get(),
    DiffReview: lambda: DiffReview.objects.create(
        group=factories.make_verdict_diff().groups.get(), outcome="accepted", by=factories.make_user(), role="expert"
    ),
    Claim: lambda: Claim.objects.create(
        version=factories.make_version(), threshold=0.5, figures={"precision_bound": 0.9}
    ),
    AcceptedLoss: lambda: AcceptedLoss.objects.create(
        version=(report := factories.make_gate_report()).version,
        gate_report=report,
        subject_key="1",
        title="GET /",
        reason="gone",
        by=factories.make_user(),
    ),
    ThresholdProposal: factories.make_threshold_proposal,
    ThresholdDecision: lambda: ThresholdDecision.objects.create(
        proposal=factories.make_threshold_proposal(), outcome="declined", by=factories.make_user(), role="senior"
    ),
    ShipQuery: factories.make_ship_query,
    ShipQueryProposal: factories.make_ship_query_change,
    ShipQueryDecision: lambda: ShipQueryDecision.objects.create(
        proposal=factories.make_ship_query_change(), outcome="declined", by=factories.make_user(), role="senior"
    ),
    ComplaintState: lambda: factories.make_complaint().states.get(),
    DeadlineChange: lambda: factories.make_deadline().changes.get(),
    DeadlineNotice: lambda: DeadlineNotice.objects.create(
        deadline=factories.make_deadline(), kind="warning", **dict.fromkeys(("due_at", "passed_at", "at"), SOME_TIME)
    ),
    Promise: lambda: Promise.objects.create(
        customer=factories.make_customer(), severity="high", hours=8, by=factories.make_user()
    ),
    Reproduction: make_reproduction,
    Announcement: factories.make_announcement,
    DeliveryAttempt: lambda: DeliveryAttempt.objects.create(
        delivery=factories.make_delivery(), delivered=True, answer="200", seconds=0.1
    ),
    IncidentStep: lambda: field.make_incident().steps.get(),
    StreamRestart: lambda: StreamRestart.objects.create(
        stream=field.make_incident().stream, after=field.START, reference=False, reason="false-alarm"
    ),
    PrecisionFit: lambda: PrecisionFit.objects.create(
        detector=factories.make_detector(), kind="miss", day=field.START, phi=150, streams=1, periods=28, own=0
    ),
    FalseIncidentRate: lambda: FalseIncidentRate.objects.create(per_week=1, by=factories.make_user()),
    Erasure: lambda: Erasure.objects.create(path="a", old_digest="0" * 64, digest="1" * 64, rows=1),
    GateReport: factories.make_gate_report,
    IndicatorListVersion: lambda: factories.make_indicator_list().newest,
    LedgerEntry: factories.make_ledger_entry,
    Rollback: factories.make_rollback,
    RollbackReview: lambda: RollbackReview.objects.create(
        rollback=factories.make_rollback(), outcome="agreed", by=factories.make_user(), role="senior"
    ),
    Bundle: factories.make_bundle,
    ApplianceReport: feeds.make_report,
    BundleReceipt: feeds.make_receipt,
    FeedFile: feeds.make_feed_file,
    Publication: feeds.make_publication,
    Release: feeds.make_release,
    ReleaseOutcome: lambda: ReleaseOutcome.objects.create(release=feeds.make_release()),
    ReleaseSignature: feeds.make_release_signature,
    BundleEntry: lambda: BundleEntry.objects.create(
        bundle=factories.make_bundle(), version=factories.make_version(), threshold=0.5, is_silent=True
    ),
}


def test_every_model_of_evidence_is_tested_here() -> None:
    assert {model for model in apps.get_models() if issubclass(model, Evidence)} == set(MAKERS)


@pytest.mark.parametrize("model", MAKERS, ids=lambda model: model.__name__)
def test_the_model_refuses_to_edit_and_to_delete(model: type[models.Model]) -> None:
    row = MAKERS[model]()
    everything = model._default_manager.all()
    for change in (row.save, row.delete, everything.delete, lambda: everything.update(pk=row.pk)):
        with pytest.raises(TypeError, match="is evidence"):
            change()


@pytest.mark.parametrize("model", MAKERS, ids=lambda model: model.__name__)
def test_the_database_refuses_to_edit(model: type[models.Model]) -> None:
    MAKERS[model]()
    table = model._meta.db_table
    with pytest.raises(DatabaseError, match="is evidence"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET id = id")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite's test tables are emptied by DELETE")
@pytest.mark.parametrize("model", MAKERS, ids=lambda model: model.__name__)
def test_postgresql_refuses_to_delete(model: type[models.Model]) -> None:
    MAKERS[model]()
    with pytest.raises(DatabaseError, match="is evidence"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table}")
