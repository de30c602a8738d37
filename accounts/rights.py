"""Who may open which page. The navigation and the rights table read the same mark that the decorator leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import resolve, reverse
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import User
from accounts.roles import Role

View = Callable[..., HttpResponseBase]


def role_required(*roles: Role) -> Callable[[View], View]:
    """Let the named roles in, send strangers to the sign-in page, answer 403 to everybody else."""
    if not roles:
        raise TypeError("role_required() without roles would lock everybody out: name them, or use *EVERYBODY.")
    allowed = frozenset(roles)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated:
                return to_sign_in(request)
            if not user.has_role(*allowed):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        guarded.roles = allowed  # type: ignore[attr-defined]  # read by roles_of()
        return guarded

    return decorate


def roles_of(view: object) -> frozenset[Role]:
    """Return the roles a view lets in; empty when it was not marked."""
    return getattr(view, "roles", frozenset())


def may_open(user: User, url: str) -> bool:
    """Say whether a user's role is let in at an address of ours."""
    return user.has_role(*roles_of(resolve(url).func))


def person(request: HttpRequest) -> User:
    """Return who asks; behind `role_required` it is always a person. Raises PermissionDenied."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Send a stranger to the sign-in page; a fragment's request takes the whole page there."""
    htmx = getattr(request, "htmx", None)
    if htmx:
        return HttpResponseClientRedirect(_sign_in_url(htmx.current_url_abs_path))
    # coming back to an address that only takes POST would end in 405
    return HttpResponseRedirect(_sign_in_url(request.get_full_path() if request.method == "GET" else None))


def _sign_in_url(back_to: str | None) -> str:
    url = reverse("account_login")
    return f"{url}?{urlencode({'next': back_to})}" if back_to else url
