"""What came of a turn of the loop: figures as the database has them, for one JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum

from config.demo.experts import Colleague
from labeling.models import Item, ItemState, Label, ReferenceRow
from labeling.services import proofs
from models_registry.models import Bundle, Detector, Version
from models_registry.services import boards, snapshots
from traffic.models import Intake, Segment
from triage.models import Complaint


def of(
    *,
    version: Version,
    bundle: Bundle,
    rounds: Sequence[Mapping[str, Any]],
    people: Sequence[Colleague],
    plan: Mapping[str, Any],
    seconds: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the object that `demo --once --json` prints."""
    return {
        "sessions": _sessions(plan),
        "board": {str(one): _board(one) for one in Version.objects.order_by("detector__name", "number")},
        "items": _items(),
        "labels": _labels(people, plan),
        "reference": _reference(),
        "candidate": _candidate(version, rounds),
        "gate": _gate(version),
        "bundle": _bundle(bundle),
        "complaints": [_complaint(one) for one in Complaint.objects.order_by("id")],
        "seconds": dict(seconds),
    }


def _sessions(plan: Mapping[str, Any]) -> dict[str, Any]:
    stored = Segment.objects.sealed().values("sensor__name").annotate(rows=Sum("rows")).order_by("sensor__name")
    by_sensor = {row["sensor__name"]: row["rows"] for row in stored}
    sums = Intake.objects.aggregate(hits=Sum("rule_hits"), rejected=Sum("rejected"))
    return {
        "synthetic": True,
        "seed": plan["seed"],
        "total": sum(by_sensor.values()),
        "by_sensor": by_sensor,
        "rule_hits": sums["hits"] or 0,
        "rejected": sums["rejected"] or 0,
    }


def _board(version: Version) -> dict[str, Any]:
    """Return sessions and hosts per cell, over what the version has scored."""
    board = boards.board(version)
    cells = {cell.value: {"sessions": one.sessions, "hosts": one.hosts} for cell, one in board.cells.items()}
    return {"stage": version.stage, "threshold": version.threshold, "sessions": board.sessions, "cells": cells}


def _items() -> dict[str, Any]:
    found = Item.objects.values_list("queue__slug", "state").annotate(items=Count("pk"))
    queues: dict[str, dict[str, int]] = {}
    for slug, state, count in found.order_by("queue__slug", "state"):
        queues.setdefault(slug, {})[state] = count
    return {"total": sum(sum(states.values()) for states in queues.values()), "queues": queues}


def _labels(people: Sequence[Colleague], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return answers in force, what they made of their items, and whose they are."""
    current = Label.objects.current()
    answers = dict(current.values_list("answer").annotate(labels=Count("pk")).order_by("answer"))
    settled = Item.objects.filter(state=ItemState.SETTLED).select_related("detector", "queue")
    became: dict[str, Counter[str]] = {}
    for item in settled:
        became.setdefault(item.detector.name, Counter())[item.outcome_name] += 1
    return {
        "total": sum(answers.values()),
        "answers": answers,
        "became": {name: dict(sorted(counts.items())) for name, counts in sorted(became.items())},
        "by": {
            str(one.visitor.user): {"answers": sum(one.answers.values()), "mistakes": one.mistakes} for one in people
        },
        "stated_errors": {"experts": plan["errors"], "senior": plan["senior_errors"], "cannot_tell": plan["unsure"]},
    }


def _reference() -> dict[str, Any]:
    found = ReferenceRow.objects.values_list("detector__name", "role", "answer").annotate(rows=Count("pk"))
    detectors: dict[str, dict[str, dict[str, int]]] = {}
    for name, role, answer, count in found.order_by("detector__name", "role", "answer"):
        detectors.setdefault(name, {}).setdefault(role, {})[answer] = count
    refused = Item.objects.exclude(not_admitted="").values_list("not_admitted").annotate(items=Count("pk"))
    newest = [snapshots.newest_snapshot(detector) for detector in Detector.objects.order_by("name")]
    return {
        "total": ReferenceRow.objects.count(),
        "detectors": detectors,
        "not_admitted": dict(refused.order_by("not_admitted")),
        "snapshots": [
            {"detector": one.detector.name, "number": one.number, "rows": one.rows, "sha256": one.digest}
            for one in newest
            if one is not None
        ],
    }


def _candidate(version: Version, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    figures = proofs.figures(version)
    return {
        "name": version.detector.name,
        "version": version.number,
        "stage": version.stage,
        "threshold": version.threshold,
        "onnx_sha256": version.onnx_digest,
        "training": {"rows": version.training_set.rows, **version.training_set.counts},
        "proof": {
            "drawn": figures.drawn,
            "positives": figures.positives,
            "answered": figures.proof.labels if figures.proof else 0,
            "precision_at_least": figures.percent / 100 if figures.proof else None,
            "labels_needed": figures.needed,
        },
        "rounds": list(rounds),
    }


def _gate(version: Version) -> dict[str, Any]:
    """Return the newest gate report at the version's own threshold."""
    report = version.gate_reports.filter(threshold=version.threshold).order_by("-id")[0]
    names = ("name", "passed", "level", "figure", "limit", "text")
    return {
        "passed": report.passed,
        "sentence": report.report["sentence"],
        "checks": [{name: check[name] for name in names} for check in report.report["checks"]],
        "snapshot": report.snapshot.number,
        "sha256": report.digest,
    }


def _bundle(bundle: Bundle) -> dict[str, Any]:
    entries = bundle.entries.select_related("version__detector").order_by("id")
    return {
        "path": f"{settings.ETALON_STORAGE}/{bundle.path}",
        "sha256": bundle.digest,
        "bytes": bundle.bytes,
        "models": [
            {"version": str(entry.version), "threshold": entry.threshold, "is_silent": entry.is_silent}
            for entry in entries
        ],
    }


def _complaint(complaint: Complaint) -> dict[str, Any]:
    """Return a complaint with what it went through, in seconds since receipt."""
    states = []
    for step in complaint.states.select_related("version__detector", "bundle").order_by("id"):
        fix = {"version": str(step.version)} if step.version else {}
        fix |= {"bundle": step.bundle.digest} if step.bundle else {}
        after = round((step.at - complaint.received_at).total_seconds(), 1)
        states.append({"state": step.state, "after_seconds": after, **fix})
    return {
        "number": complaint.number,
        "customer": complaint.customer.name,
        "version": str(complaint.version),
        "score": complaint.score,
        "threshold": complaint.threshold,
        "reproduced": complaint.reproduced,
        "states": states,
    }
