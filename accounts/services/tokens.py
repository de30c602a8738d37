"""Tokens of machines: made, looked up, revoked. A secret is shown once, when it is made, and written nowhere."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Token, User
from accounts.roles import Role
from accounts.services import audit
from accounts.services.users import RefusedError

DAYS = 365  # unless said otherwise
MOST_DAYS = 3 * 365
SEEN_EVERY = timedelta(minutes=5)
_FORM = re.compile(r"etalon_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = "0" * 64


@transaction.atomic
def make_token(kind: Token.Kind, name: str, *, days: int = DAYS, by: User | None = None) -> tuple[Token, str]:
    """Make a token of a machine; return it with its secret, the only time anybody can read it."""
    if kind == Token.Kind.PERSON:
        raise RefusedError(_("People make tokens of their own, on the page about themselves."))
    return _make(kind, name, days=days, by=by)


@transaction.atomic
def make_own_token(owner: User, name: str, *, days: int = DAYS) -> tuple[Token, str]:
    """Make a token for a script of one's own: it may what its owner may, except to approve."""
    return _make(Token.Kind.PERSON, name, owner=owner, days=days, by=owner)


def _make(kind: Token.Kind, name: str, *, days: int, by: User | None, owner: User | None = None) -> tuple[Token, str]:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise RefusedError(_("Give it a name: 1 to 100 characters, on one line."))
    if not 1 <= days <= MOST_DAYS:
        raise RefusedError(_("A token lasts from 1 to %(most)s days.") % {"most": MOST_DAYS})
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    token = Token.objects.create(
        kind=kind,
        name=name,
        owner=owner,
        prefix=prefix,
        digest=_digest(secret),
        created_by=by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    audit.record(by, "token.created", str(token), expires=token.expires_at.isoformat())
    return token, f"etalon_{prefix}_{secret}"


@transaction.atomic
def revoke(token: Token, *, by: User | None = None) -> None:
    """End a token at once: an administrator any, everybody their own. What it brought in stays."""
    if by and token.owner_id != by.pk and not by.has_role(Role.ADMINISTRATOR):
        raise RefusedError(_("This is somebody else's token."))
    if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record(by, "token.revoked", str(token))


def token_of(presented: str) -> Token | None:
    """Return the usable token whose secret this is; None says nothing about what was wrong with it."""
    parts = _FORM.fullmatch(presented)
    # machines have no owner to join; unordered, for there is one at most
    usable = Token.objects.usable(timezone.now()).order_by()
    found = next(iter(usable.filter(prefix=parts[1])), None) if parts else None
    secret = parts[2] if parts else ""
    # compared whether found or not, in a time that tells nothing
    if not hmac.compare_digest(_digest(secret), found.digest if found else _NO_DIGEST) or not found:
        return None
    _seen(found)
    return found


def _seen(token: Token) -> None:
    now = timezone.now()
    if token.last_used_at and token.last_used_at > now - SEEN_EVERY:
        return
    old = Q(last_used_at=None) | Q(last_used_at__lte=now - SEEN_EVERY)
    Token.objects.filter(old, pk=token.pk).update(last_used_at=now)  # of many requests at once, one writes


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
