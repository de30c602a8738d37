"""Collect into the ledger what the porter wrote about roles: who may approve is as strong a fact as an approval."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.models import AuditEntry, User
from models_registry.models import LedgerKind
from models_registry.services import ledger

# action → what it makes of the account, given what the entry says
ACTIONS = ("user.created", "user.role-changed", "user.disabled", "user.enabled")
BATCH = 500


def collect() -> int:
    """Enter the changes of accounts that the ledger does not know yet, oldest first; return how many.

    Running twice, or in two processes, changes nothing."""
    return sum(_enter(entry) for entry in uncollected()[:BATCH])


def uncollected() -> QuerySet[AuditEntry]:
    """The ledger's mailbox in the audit log."""
    waiting = AuditEntry.objects.filter(action__in=ACTIONS, ledger_entry=None)
    return waiting.select_related("actor").order_by("pk")


def _enter(entry: AuditEntry) -> bool:
    try:
        with transaction.atomic():
            ledger.record(
                LedgerKind.ROLE,
                ledger.claim(entry),
                *_account(entry),
                by=entry.actor,
                subject=f"{entry.subject}: {entry.action.removeprefix('user.')}",
                audit_entry=entry,
                notes={str(name): ledger.plain(value) for name, value in entry.details.items()},
            )
    except IntegrityError:  # another process was faster
        return False
    return True


def _account(entry: AuditEntry) -> list[ledger.Claim]:
    """Return what the account is from then on."""
    user = User.objects.filter(username=entry.subject).first()
    told = {
        "user.created": {"role": entry.details.get("role"), "is_active": True},
        "user.role-changed": {"role": entry.details.get("new")},
        "user.disabled": {"is_active": False},
        "user.enabled": {"is_active": True},
    }[entry.action]
    return [ledger.Claim(ledger.row_name(User, user.pk), told)] if user else []
