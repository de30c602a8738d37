"""Two people agree: an engineer and a senior expert, different accounts. What they agree on says who asks here."""

from __future__ import annotations

from typing import Protocol

from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from detection.texts import storable

PARTNER = {Role.ENGINEER: Role.SENIOR, Role.SENIOR: Role.ENGINEER}  # whose word a proposal needs beside the proposer's


class Proposal(Protocol):
    """Somebody's wish, with the role he had then."""

    by: User
    by_id: int
    role: str


class ChangeRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was changed; the message says why, for the person who asked."""


def reason_of(given: str) -> str:
    """Return a reason as it is kept with a proposal or a decision."""
    return storable(given).strip()[:255]


def may_approve(proposal: Proposal, user: User) -> bool:
    """Say whether this user is the second person that a proposal waits for."""
    return user.pk != proposal.by_id and user.has_role(PARTNER[Role(proposal.role)])


def refusal(proposal: Proposal, by: User) -> str:
    """Return why this user is not the second person; empty when he is."""
    if by.pk == proposal.by_id:
        return _("Nobody approves his own proposal.")
    if may_approve(proposal, by):
        return ""
    return _("%(by)s proposed it as %(role)s: the second person is %(partner)s.") % {
        "by": proposal.by,
        "role": Role(proposal.role).label,
        "partner": PARTNER[Role(proposal.role)].label,
    }
