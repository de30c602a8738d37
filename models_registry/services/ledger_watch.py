"""The ledger, read through every night: what was found is kept, shown and told."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.utils import timezone

from models_registry.models import LedgerCheck
from models_registry.services import ledger_check, ledger_roles

LISTED = 50  # findings kept of one reading: `verify_ledger` prints all
LATE = timedelta(days=2)  # without a reading: the clock stands still, or a reading takes longer than a night
log = structlog.get_logger(__name__)


def check() -> int:
    """Read the ledger through and keep what was found; return how many differences that are."""
    while ledger_roles.collect():
        pass
    checked = ledger_check.verify()
    found = LedgerCheck.objects.create(
        entries=checked.entries,
        rows=checked.rows,
        files=checked.files,
        head=checked.head,
        differences=len(checked.findings),
        findings=[str(finding) for finding in checked.findings[:LISTED]],
    )
    if found.differences:
        log.error("ledger.broken", check=found.pk, differences=found.differences, first=found.findings[0])
    return found.differences


def newest() -> LedgerCheck | None:
    """Return the newest reading; None before the first night."""
    return LedgerCheck.objects.first()


def is_late(found: LedgerCheck | None) -> bool:
    """Say whether a reading is so old that the one after it is missing."""
    return found is not None and found.at < timezone.now() - LATE
