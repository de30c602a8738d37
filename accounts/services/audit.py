"""The audit log: who did what, when. Entries are added, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser

from accounts.models import AuditEntry, User


def record(actor: User | AnonymousUser | None, action: str, subject: str = "", **details: Any) -> AuditEntry:
    """Add one entry. `actor` is None when a command or a stranger did it."""
    return AuditEntry.objects.create(
        actor=actor if isinstance(actor, User) and actor.pk else None,
        action=action,
        subject=subject[: AuditEntry.SUBJECT_LENGTH].replace("\x00", ""),
        details=details,
    )
