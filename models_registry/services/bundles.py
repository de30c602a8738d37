"""Build bundles: loud entries only at a threshold agreed on, with the gate passed there on the newest snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.db import transaction

from detection.bundle import Member, build_bundle, read_metadata
from detection.bundle_config import ConfigEntry, parse_config
from models_registry.models import Bundle, BundleEntry, GateReport, LedgerKind, Version
from models_registry.services import builder, dials, gates, ledger, snapshots
from models_registry.services.detectors import rules_in_force
from traffic import storage


class BundleRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A loud entry may not leave; `reports` are the gate reports that say no, where the gate was asked."""

    def __init__(self, told: Sequence[str], reports: Sequence[GateReport] = ()) -> None:
        self.reports = reports
        super().__init__("\n".join(told))


def build(config: str, min_product_version: str = "") -> Bundle:
    """Build the bundle that a build_config.yml describes and keep it; the same bytes give the same Bundle.

    Raises ConfigError with the line, gates.NothingToCheck, or BundleRefused: a threshold that no two people agreed on,
    or gate reports that say no."""
    entries = [(entry, builder.version_of(entry)) for entry in parse_config(config)]
    loud = [(entry, version) for entry, version in entries if not entry.is_silent]
    if objections := [told for entry, version in loud if (told := dials.objection(version, entry.threshold))]:
        raise BundleRefused(objections)
    reports = {entry: gates.run_gate(version, entry.threshold) for entry, version in loud}
    if refusals := [report for report in reports.values() if not report.passed]:
        raise BundleRefused([report.report["sentence"] for report in refusals], refusals)
    detectors = list({version.detector.pk: version.detector for _entry, version in entries}.values())
    members = [_member(entry, version, reports.get(entry)) for entry, version in entries]
    data = build_bundle(
        members,
        config_text=config,
        min_product_version=min_product_version,
        ledger=ledger.receipt(detectors),
    )
    digest = hashlib.sha256(data).hexdigest()
    path = f"bundles/{digest}.onnx"
    storage.put_bytes(path, data)
    with transaction.atomic():
        bundle, created = Bundle.objects.get_or_create(
            digest=digest,
            defaults={"config": config, "path": path, "bytes": len(data), "metadata": read_metadata(data)},
        )
        if created:
            made = BundleEntry.objects.bulk_create(
                BundleEntry(
                    bundle=bundle,
                    version=version,
                    threshold=entry.threshold,
                    is_silent=entry.is_silent,
                    gate_report=reports.get(entry),
                )
                for entry, version in entries
            )
            names = ", ".join(str(version) for _entry, version in entries)
            alone = detectors[0] if len(detectors) == 1 else None
            ledger.record(LedgerKind.BUNDLE, bundle, *made, detector=alone, subject=f"{bundle}: {names}")
    return bundle


def _member(entry: ConfigEntry, version: Version, report: GateReport | None) -> Member:
    rules = rules_in_force(version.detector)
    snapshot = report.snapshot if report else snapshots.newest_snapshot(version.detector)
    return Member(
        entry=entry,
        onnx_bytes=storage.get_bytes(version.onnx_path),
        text_digest=version.text_digest,
        training_set_digest=version.training_set.digest,
        protocol=version.detector.protocol,
        positive_class=version.detector.positive_class,
        rule_mapping=rules.mapping.to_dict(),
        mapping_digest=rules.version.digest,
        snapshot_digest=snapshot.digest if snapshot else "",
        gate_report_digest=report.digest if report else "",
    )
