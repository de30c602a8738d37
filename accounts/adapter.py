"""What allauth asks this house: who may sign up (nobody), where secrets lie, and whom to tell."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.http import HttpRequest

from accounts.models import User
from accounts.services import audit


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by administrators; coming, going and failing to come are audited."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        audit.record(user, "sign-in", user.username, address=self.get_client_ip(request))

    def logout(self, request: HttpRequest) -> None:
        user = request.user
        super().logout(request)
        if isinstance(user, User):
            audit.record(user, "sign-out", user.username)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        super().authentication_failed(request, **credentials)
        # the name as typed: people type their password there, so only names that exist are kept
        name = str(credentials.get("username", ""))
        known = User.objects.filter(username=name).exists()
        audit.record(None, "sign-in-failed", name if known else "", address=self.get_client_ip(request))


class MFAAdapter(DefaultMFAAdapter):
    """Second-factor secrets lie encrypted, so that a copy of the database does not sign anybody in."""

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> MultiFernet:
    """Return the cipher of the newest key, which also reads what older keys wrote."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (hashlib.sha256(b"second factor|" + key.encode()).digest() for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
