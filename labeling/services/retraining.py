"""Retraining: one job per detector, from answers to a gated candidate; at its hour it is asked whether it pays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.models import User
from detection.retraining import decide
from jobs.models import Job
from jobs.services import jobs
from jobs.services.jobs import Lease
from labeling.models import ItemState, Label
from labeling.services import reference
from models_registry.models import Detector, Snapshot, Stage, TrainingSet, Version
from models_registry.services import candidates, gates, training
from traffic.models import Segment

TASK = "labeling.tasks.retrain"
KIND = gettext_noop("retrain")


def start(detector: Detector, *, reason: str, by: User | None = None) -> Job:
    """Train the detector's next version; while one is in training that one is meant."""
    arguments = {"detector": detector.pk, "reason": reason}
    return jobs.start(TASK, run_key(detector), arguments, kind=KIND, queue="training", by=by)


def live(detector: Detector) -> Job | None:
    """Return the training that waits or runs, if there is one."""
    return Job.objects.live().filter(run_key=run_key(detector)).first()


def run_key(detector: Detector) -> str:
    return f"retrain {detector}"


def start_due(*, early: bool = False) -> int:
    """Start what is due and worth training; why the others are not is recorded. Return how many were started.

    With `early` every detector is due: the nights of the demo are short."""
    return sum(_considered(detector) for detector in Detector.objects.all() if early or _is_due(detector))


def _is_due(detector: Detector) -> bool:
    """Whether nothing was decided since the detector's hour; an hour that was missed is made up for."""
    decided = Job.objects.filter(run_key=run_key(detector)).aggregate(last=Max("created_at"))["last"]
    return (decided or detector.created_at) < detector.schedule.last_due(timezone.now())


def _considered(detector: Detector) -> bool:
    if not Segment.objects.sealed().filter(protocol=detector.protocol).exists():
        return _skip(detector, "no traffic is stored", new_labels=0)
    new_labels = new_gate_worthy(detector)
    decision = decide(new_labels, _since_last(detector), detector.retrain_policy)
    if not decision.train:
        return _skip(detector, decision.reason, new_labels=new_labels)
    start(detector, reason=f"night: {decision.reason}")
    return True


def _skip(detector: Detector, reason: str, **facts: Any) -> bool:
    jobs.skip(TASK, run_key(detector), reason, kind=KIND, policy=detector.retrain_policy.to_dict(), **facts)
    return False


def new_gate_worthy(detector: Detector) -> int:
    """Return how many answers that may enter the reference set came since the newest version's training set."""
    labels = Label.objects.current().filter(
        detector=detector, source__in=reference.GATING, answer__in=reference.DECIDED
    )
    labels = labels.exclude(item__state=ItemState.SEED)  # they are no news
    newest = detector.versions.select_related("training_set").order_by("-number").first()
    if newest is not None:
        labels = labels.filter(created_at__gt=newest.training_set.frozen_at)
    return labels.count()


def _since_last(detector: Detector) -> timedelta | None:
    last = detector.versions.aggregate(last=Max("created_at"))["last"]
    return timezone.now() - last if last else None


def retrain(lease: Lease) -> dict[str, Any]:
    """Freeze what is known, train on it, ask the gate, and have the candidate scored over what is stored.

    Each step is kept with its effect: a run that takes over from a dead worker goes on where that one stopped."""
    detector = Detector.objects.get(pk=lease.job.arguments["detector"])
    snapshot, training_set = _frozen(lease, detector)
    version = _trained(lease, training_set)
    lease.say(f"{version} is {version.stage}, at threshold {version.threshold:.6f}")
    gate = _gated(version, snapshot)
    lease.say(f"gate: {gate['sentence']}")
    links = [jobs.link(str(version), "models_registry:version", detector.name, version.number)]
    if "report" in gate:
        links.append(jobs.link(gate["sentence"], "models_registry:gate", gate["report"]))
    if version.stage == Stage.CANDIDATE:
        scoring = candidates.start(version)
        lease.say(f"its turn over what is stored is job {scoring.pk}")
        links.append(jobs.link(f"job {scoring.pk}: {scoring.kind}", "jobs:job", scoring.pk))
    return {"version": str(version), "gate": gate, "links": links}


def _frozen(lease: Lease, detector: Detector) -> tuple[Snapshot, TrainingSet]:
    facts = lease.facts
    if "training_set" not in facts:
        admitted = reference.grow(detector)
        snapshot = reference.publish_snapshot(detector)
        lease.say(f"reference set: {admitted:,} rows admitted; {snapshot}, {snapshot.rows:,} rows")
        training_set = reference.publish_training_set(detector)
        origins = ", ".join(f"{count:,} of {origin}" for origin, count in training_set.counts.get("origin", {}).items())
        lease.say(f"{training_set}: {training_set.rows:,} rows ({origins or 'of unknown origin'})")
        lease.keep(snapshot=snapshot.pk, training_set=training_set.pk)
        facts = lease.facts
    return Snapshot.objects.get(pk=facts["snapshot"]), TrainingSet.objects.get(pk=facts["training_set"])


def _trained(lease: Lease, training_set: TrainingSet) -> Version:
    if (made := lease.facts.get("version_id")) is not None:
        return Version.objects.get(pk=made)
    return training.train_version(
        training_set,
        reason=lease.job.arguments.get("reason", ""),
        progress=lambda done, total: lease.progress(done, total + 1),  # the gate is the last step
        also=lambda version: lease.keep(version_id=version.pk),
    )


def _gated(version: Version, snapshot: Snapshot) -> dict[str, Any]:
    try:
        report = gates.run_gate(version, snapshot=snapshot)
    except gates.NothingToCheck as nothing:
        return {"passed": False, "sentence": str(nothing)}
    return {"passed": report.passed, "sentence": report.report["sentence"], "report": report.pk}
