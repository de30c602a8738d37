"""Who may come in by the API, and how often. A token speaks for a machine, a sign-in for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from accounts.models import Token, User
from accounts.roles import Role
from accounts.services import tokens

if TYPE_CHECKING:  # the settings name these classes, and views read the settings
    from rest_framework.views import APIView

SCHEME = "Bearer"
REALM = f'{SCHEME} realm="Etalon"'
WRONG_TOKENS = "30/min"  # from one address; a sensor that was set up wrongly costs no more than that


class TooMuch(exceptions.APIException):
    status_code = 413
    default_detail = "The body is larger than this address takes."
    default_code = "too_much"


class NoLength(exceptions.APIException):
    status_code = 411
    default_detail = "Say the length of the body (Content-Length)."
    default_code = "length_required"


def length_of(request: Request, most: int) -> int:
    """Return the bytes of a body that has not been read yet. Raises NoLength or TooMuch."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal():
        raise NoLength
    if len(length) > 18 or int(length) > most:
        raise TooMuch
    return int(length)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer etalon_…`. A person's token makes that person the user; other tokens have none."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, Token] | None:
        scheme, _space, presented = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        token = tokens.token_of(presented.strip()) if scheme.lower() == SCHEME.lower() else None
        if token is None:
            _slow_down(request)
            raise exceptions.AuthenticationFailed("This token is unknown, revoked or expired.")
        return token.owner or AnonymousUser(), token

    def authenticate_header(self, request: Request) -> str:
        return REALM


class PersonAuthentication(SessionAuthentication):
    """A person who is signed in, with the protection of forms: only where people's browsers need it."""

    def authenticate_header(self, request: Request) -> str:
        return REALM


class NobodyYet(BasePermission):
    """For views that have not said whom they let in."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return False


def holders(kind: Token.Kind) -> type[BasePermission]:
    """Let in who shows a token of that kind."""

    class Holder(BasePermission):
        message = f"This address takes tokens of a {kind.value}."

        def has_permission(self, request: Request, view: APIView) -> bool:
            return isinstance(request.auth, Token) and request.auth.kind == kind

    return Holder


def people(*roles: Role, writing: tuple[Role, ...] = ()) -> type[BasePermission]:
    """Let in people of some roles to read, of others to write; signed in, or by a script's token."""

    class OneOf(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            # who may read is told that a method does not exist; nobody else learns that much
            is_writing = request.method not in ("GET", "HEAD") and hasattr(view, str(request.method).lower())
            allowed = writing if is_writing else roles
            return isinstance(request.user, User) and request.user.has_role(*allowed)

    return OneOf


class _Rate(SimpleRateThrottle):
    def __init__(self, scope: str, rate: str) -> None:
        self.scope, self.rate = scope, rate
        super().__init__()

    def get_cache_key(self, request: Request, view: APIView) -> str:
        who = request.auth.pk if isinstance(request.auth, Token) else None
        ident = f"token-{who}" if who else f"user-{request.user.pk}" if request.user.pk else self.get_ident(request)
        return f"throttle_{self.scope}_{ident}"


class PerToken(_Rate):
    """So many requests per token, person or address as the view's `rate` says."""

    def __init__(self) -> None:
        super().__init__("api", "600/min")

    def allow_request(self, request: Request, view: APIView) -> bool:
        self.scope = type(view).__name__
        self.num_requests, self.duration = self.parse_rate(getattr(view, "rate", "600/min"))
        return super().allow_request(request, view)


class _WrongTokens(SimpleRateThrottle):
    scope, rate = "wrong-token", WRONG_TOKENS

    def get_cache_key(self, request: Request, view: APIView | None) -> str:
        return f"throttle_{self.scope}_{self.get_ident(request)}"


def _slow_down(request: Request) -> None:
    throttle = _WrongTokens()
    if not throttle.allow_request(request, None):  # type: ignore[arg-type]  # it asks the request only
        raise exceptions.Throttled(throttle.wait())
