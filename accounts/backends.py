"""Who a sign-in session belongs to: asked at every request, so by a query that is written once."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from accounts.models import User
from accounts.prepared import ByKey

_PEOPLE = ByKey(User.objects.all)


class Backend(AuthenticationBackend):
    """Signing in is allauth's."""

    def get_user(self, user_id: Any) -> User | None:
        try:
            user = _PEOPLE.get(user_id)
        except User.DoesNotExist:
            return None
        return user if self.user_can_authenticate(user) else None
