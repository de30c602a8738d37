"""Pages about accounts: one's own, everybody's, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.i18n import set_language as remember_language

from accounts import paging
from accounts.forms import NewUserForm, OwnTokenForm, PreferencesForm, RoleForm, TokenForm
from accounts.models import AuditEntry, Token, User
from accounts.rights import role_required
from accounts.roles import EVERYBODY, Role
from accounts.services import preferences
from accounts.services import tokens as token_services
from accounts.services import users as services

AUDIT_PAGE = 100  # entries
TOKENS_SHOWN = 200  # newest first


@require_safe
@role_required(*EVERYBODY)
def me(request: HttpRequest) -> HttpResponse:
    return _me_page(request, PreferencesForm(instance=_me(request)))


@require_POST
@role_required(*EVERYBODY)
def choose_preferences(request: HttpRequest) -> HttpResponse:
    # a copy: what the form refuses must not colour the page that says so
    form = PreferencesForm(request.POST, instance=User.objects.get(pk=_me(request).pk))
    if not form.is_valid():
        return _me_page(request, form, status=400)
    preferences.choose(_me(request), **form.cleaned_data)
    translation.activate(form.cleaned_data["language"] or translation.get_language_from_request(request))
    messages.success(request, _("Kept: your pages look and answer so from now on."))
    answer = redirect("accounts:me")
    if not form.cleaned_data["language"]:
        answer.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
    return answer


@require_POST
@role_required(*EVERYBODY)
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep what the buttons on top have put on already."""
    known = preferences.choose_theme(_me(request), request.POST.get("theme", ""))
    return HttpResponse(status=204 if known else 400)


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Open to everybody: the sign-in page has languages too. Who is signed in keeps it on every machine."""
    language = request.POST.get("language", "")
    if isinstance(request.user, User) and language in dict(settings.LANGUAGES):
        preferences.choose(request.user, language=language)
    return remember_language(request)


@require_safe
@role_required(Role.ADMINISTRATOR)
def users(request: HttpRequest) -> HttpResponse:
    everybody = User.objects.order_by("-is_active", "username").prefetch_related("authenticator_set")
    return render(request, "accounts/users.html", {"users": everybody, "roles": Role.choices})


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMINISTRATOR)
@never_cache
def create_user(request: HttpRequest) -> HttpResponse:
    form = NewUserForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/create_user.html", {"form": form}, status=400 if form.errors else 200)
    user, password = services.make_user(form.cleaned_data["username"], Role(form.cleaned_data["role"]), by=_me(request))
    return _password_page(request, user, password)


@require_POST
@role_required(Role.ADMINISTRATOR)
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose one of the six roles."))
        return redirect("accounts:users")
    return _change(request, pk, services.change_role, role=Role(form.cleaned_data["role"]))


@require_POST
@role_required(Role.ADMINISTRATOR)
def disable_user(request: HttpRequest, pk: int) -> HttpResponse:
    return _change(request, pk, services.disable)


@require_POST
@role_required(Role.ADMINISTRATOR)
def enable_user(request: HttpRequest, pk: int) -> HttpResponse:
    return _change(request, pk, services.enable)


@require_POST
@role_required(Role.ADMINISTRATOR)
@never_cache
def reset_password(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    try:
        password = services.reset_password(user, by=_me(request))
    except services.RefusedError as refusal:
        messages.error(request, str(refusal))
        return redirect("accounts:users")
    return _password_page(request, user, password)


@require_POST
@role_required(Role.ADMINISTRATOR)
def reset_second_factor(request: HttpRequest, pk: int) -> HttpResponse:
    return _change(request, pk, services.reset_second_factor)


@require_safe
@role_required(Role.ADMINISTRATOR)
def tokens(request: HttpRequest) -> HttpResponse:
    found = Token.objects.select_related("owner", "created_by")[:TOKENS_SHOWN]
    context = {"tokens": found, "form": TokenForm(), "now": timezone.now()}
    return render(request, "accounts/tokens.html", context)


@require_POST
@role_required(Role.ADMINISTRATOR)
@never_cache
def create_token(request: HttpRequest) -> HttpResponse:
    form = TokenForm(request.POST)
    if form.is_valid():
        told = form.cleaned_data
        make = partial(token_services.make_token, Token.Kind(told["kind"]), told["name"], days=told["days"])
        return _secret_page(request, lambda: make(by=_me(request)), "accounts:tokens")
    messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
    return redirect("accounts:tokens")


@require_POST
@role_required(*EVERYBODY)
@never_cache
def create_own_token(request: HttpRequest) -> HttpResponse:
    form = OwnTokenForm(request.POST)
    if form.is_valid():
        told = form.cleaned_data
        make = partial(token_services.make_own_token, _me(request), told["name"], days=told["days"])
        return _secret_page(request, make, "accounts:me")
    messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
    return redirect("accounts:me")


@require_POST
@role_required(*EVERYBODY)
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """An administrator revokes any, everybody else their own."""
    token = get_object_or_404(Token, pk=pk)
    try:
        token_services.revoke(token, by=_me(request))
    except services.RefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Revoked: %(token)s.") % {"token": token})
    return redirect("accounts:me" if token.owner_id == _me(request).pk else "accounts:tokens")


@require_safe
@role_required(Role.ADMINISTRATOR, Role.AUDITOR)
def audit(request: HttpRequest) -> HttpResponse:
    """Newest first, paged by key: the page costs the same however long the log is."""
    entries = AuditEntry.objects.select_related("actor")
    before = request.GET.get("before", "")
    page, older = paging.page(entries, before, AUDIT_PAGE)
    context = {"entries": page, "older": older, "first": not before}
    return render(request, "accounts/audit.html", context)


def _me_page(request: HttpRequest, form: PreferencesForm, status: int = 200) -> HttpResponse:
    context = {
        "preferences": form,
        "tokens": _me(request).tokens.all()[:TOKENS_SHOWN],
        "form": OwnTokenForm(),
        "now": timezone.now(),
    }
    return render(request, "accounts/me.html", context, status=status)


def _me(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _change(request: HttpRequest, pk: int, verb: Callable[..., None], **arguments: Any) -> HttpResponse:
    """Do one thing to one user and go back to the list."""
    user = get_object_or_404(User, pk=pk)
    try:
        verb(user, by=_me(request), **arguments)
    except services.RefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Done: %(user)s.") % {"user": user.username})
    return redirect("accounts:users")


def _password_page(request: HttpRequest, user: User, password: str) -> HttpResponse:
    return render(request, "accounts/password.html", {"person": user, "password": password})


def _secret_page(request: HttpRequest, make: Callable[[], tuple[Token, str]], back: str) -> HttpResponse:
    """Show a secret, this once."""
    try:
        token, secret = make()
    except services.RefusedError as refusal:
        messages.error(request, str(refusal))
        return redirect(back)
    return render(request, "accounts/secret.html", {"token": token, "secret": secret, "back": back})
