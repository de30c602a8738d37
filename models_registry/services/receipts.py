"""Latency receipts: what a bundle needs per answer on this machine, over sessions its versions were trained on."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from detection.latency import measure_latency
from detection.sessions import Row
from detection.training_rows import read_training_set
from models_registry.models import Bundle, BundleReceipt
from models_registry.services import snapshots
from traffic import storage

BUDGET = 100.0  # microseconds: p99 of the median window, warm, silent models off
SHAPES = 500  # real sessions measured in turn


class CannotMeasure(ValueError):  # noqa: N818
    """There is nothing to measure, or nothing to measure on."""


def measure(bundle: Bundle, **how: Any) -> BundleReceipt:
    """Measure a bundle and keep the receipt; `how` goes to detection.latency.measure_latency."""
    measured = measure_latency(storage.get_bytes(bundle.path), _sessions(bundle), **how)
    return BundleReceipt.objects.create(
        bundle=bundle, measured=measured, p50=measured["p50"], p99=measured["p99"], machine=measured["cpu"]
    )


def for_release(bundle: Bundle) -> BundleReceipt:
    """Return the receipt that goes with a release: of the reference machine where one is named, else of this one."""
    kept = bundle.receipts.all()
    if machine := settings.ETALON_REFERENCE_MACHINE:
        kept = kept.filter(machine=machine)
    return kept.first() or measure(bundle)


def refusal(receipt: BundleReceipt) -> str:
    """Return why a receipt lets no release out; empty when it does, or when no reference machine is named."""
    machine = settings.ETALON_REFERENCE_MACHINE
    if not machine:
        return ""
    if receipt.machine != machine:
        return f"measured on {receipt.machine}; the reference machine is {machine}: measure it there"
    if receipt.p99 >= BUDGET:
        return f"p99 is {receipt.p99} us on {machine}, the budget is below {BUDGET:g} us"
    return ""


def _sessions(bundle: Bundle) -> list[Row]:
    entry = bundle.entries.select_related("version__training_set").first()
    if entry is None:
        raise CannotMeasure("the bundle has no entries")
    try:
        columns = read_training_set(snapshots.read(entry.version.training_set), SHAPES).rows
    except (OSError, snapshots.DamagedFile) as error:
        raise CannotMeasure(f"the training set with the sessions to measure on cannot be read: {error}") from error
    count = min(len(next(iter(columns.values()))), SHAPES)
    return [{name: values[number] for name, values in columns.items()} for number in range(count)]
