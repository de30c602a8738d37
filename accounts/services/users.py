"""Making accounts and changing what they may do. Every change leaves an audit entry."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from accounts.services import audit

_IN_CHARGE = Q(role=Role.ADMINISTRATOR, is_active=True)
PASSWORD_BYTES = 12  # 96 bits: nobody guesses it, and it can still be read out


class RefusedError(Exception):
    """The change is not allowed; the text says why, for the person who asked."""


def generated_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


@transaction.atomic
def make_user(username: str, role: Role, *, password: str | None = None, by: User | None = None) -> tuple[User, str]:
    """Create an account; return it with its password, the only time anybody can read it."""
    user = User(username=username, role=role)
    user.clean_fields(exclude=["password"])
    user.validate_unique()
    password = _set_password(user, password)
    user.save()
    audit.record(by, "user.created", username, role=role.value)
    return user, password


@transaction.atomic
def change_role(user: User, role: Role, *, by: User) -> None:
    """Give a user another role. Nobody changes their own."""
    user = _locked(user, by)
    if user.role == role:
        return
    old = user.role
    _keep_an_administrator(user)
    user.role = role
    user.save(update_fields=["role"])
    audit.record(by, "user.role-changed", user.username, old=old, new=role.value)


@transaction.atomic
def disable(user: User, *, by: User) -> None:
    """Lock a user out at the next request. What they did stays."""
    user = _locked(user, by)
    if not user.is_active:
        return
    _keep_an_administrator(user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    audit.record(by, "user.disabled", user.username)


@transaction.atomic
def enable(user: User, *, by: User) -> None:
    """Let a disabled user in again."""
    user = _locked(user, by)
    if user.is_active:
        return
    user.is_active = True
    user.save(update_fields=["is_active"])
    audit.record(by, "user.enabled", user.username)


@transaction.atomic
def reset_password(user: User, *, by: User) -> str:
    """Give a user a new password, and end the sessions they have open."""
    user = _locked(user, by)
    password = _set_password(user, None)
    user.save(update_fields=["password"])
    audit.record(by, "user.password-reset", user.username)
    return password


@transaction.atomic
def reset_second_factor(user: User, *, by: User) -> None:
    """Drop the second factor of a user who lost the device."""
    user = _locked(user, by)
    Authenticator.objects.filter(user=user).delete()
    audit.record(by, "user.second-factor-reset", user.username)


def _locked(user: User, by: User) -> User:
    """Return the user, locked together with all administrators: two of them cannot take each other's rights.

    One statement in one order, so that two callers wait for each other instead of meeting crosswise."""
    if user.pk == by.pk:
        raise RefusedError(_("Nobody changes their own account here: ask another administrator."))
    concerned = User.objects.select_for_update().filter(Q(pk=user.pk) | _IN_CHARGE).order_by("pk")
    return next(person for person in concerned if person.pk == user.pk)


def _keep_an_administrator(user: User) -> None:
    if user.role != Role.ADMINISTRATOR or not user.is_active:
        return
    if not User.objects.filter(_IN_CHARGE).exclude(pk=user.pk).exists():
        raise RefusedError(_("This is the last administrator: make another one first."))


def _set_password(user: User, password: str | None, generate: Callable[[], str] = generated_password) -> str:
    if password is None:
        password = generate()
    else:
        validate_password(password, user)
    user.set_password(password)
    return password
