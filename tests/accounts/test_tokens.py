"""Tokens: shown once, kept as a digest, refused when revoked or expired; nobody ends somebody else's."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, Token
from accounts.roles import Role
from accounts.services import tokens
from accounts.services.users import RefusedError
from tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db


def test_the_secret_is_kept_nowhere():
    token, secret = make_token()
    kept = [str(value) for value in Token.objects.values().get().values()]
    told = [f"{entry.subject} {entry.details}" for entry in AuditEntry.objects.all()]
    assert not any(secret[-43:] in text for text in kept + told)
    assert token.prefix in secret


def test_a_token_is_known_by_its_secret():
    token, secret = make_token()
    assert tokens.token_of(secret) == token


def wrong_secrets(secret):
    return [
        "",
        "x",
        secret[:-1],
        secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        secret + "a",
        "etalon__",
        secret * 99,
    ]


def test_nothing_else_is():
    _token, secret = make_token()
    assert [tokens.token_of(wrong) for wrong in wrong_secrets(secret)] == [None] * 7


def test_a_revoked_token_is_nobodys():
    token, secret = make_token()
    tokens.revoke(token)
    assert tokens.token_of(secret) is None
    tokens.revoke(token)
    assert [entry.action for entry in AuditEntry.objects.all()] == ["token.revoked", "token.created"]


def test_a_token_expires():
    _token, secret = make_token()
    with time_machine.travel(timezone.now() + timedelta(days=tokens.DAYS, minutes=1)):
        assert tokens.token_of(secret) is None


def test_the_token_of_somebody_who_was_locked_out_is_nobodys():
    owner = make_user(Role.ENGINEER)
    _token, secret = tokens.make_own_token(owner, "script")
    assert tokens.token_of(secret).owner == owner
    owner.is_active = False
    owner.save()
    assert tokens.token_of(secret) is None


def test_last_use_is_written_every_five_minutes_at_most(django_assert_num_queries):
    token, secret = make_token()
    tokens.token_of(secret)
    first = Token.objects.get().last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        tokens.token_of(secret)
    assert Token.objects.get().last_used_at == first
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        tokens.token_of(secret)
    assert Token.objects.get().last_used_at > first
    assert token.last_used_at is None


@pytest.mark.parametrize(
    ("name", "days"), [("", 1), ("x" * 101, 1), ("two\nlines", 1), ("nul\0", 1), ("a", 0), ("a", 9999)]
)
def test_nonsense_is_refused(name, days):
    with pytest.raises(RefusedError):
        tokens.make_token(Token.Kind.SENSOR, name, days=days)
    assert not Token.objects.exists()


def test_an_administrator_makes_one_and_reads_it_once(administrator_client):
    told = {"kind": "sensor", "name": "core-1", "days": 30}
    page = administrator_client.post(reverse("accounts:create-token"), told)
    secret = re.search(r"etalon_[\w-]+", page.text)[0]
    assert tokens.token_of(secret).name == "core-1"
    assert "no-store" in page.headers["Cache-Control"]
    listed = administrator_client.get(reverse("accounts:tokens")).text
    assert secret not in listed
    assert tokens.token_of(secret).prefix in listed


def test_a_page_makes_no_token_of_somebody_else(administrator_client):
    administrator_client.post(reverse("accounts:create-token"), {"kind": "person", "name": "x", "days": 30})
    assert not Token.objects.exists()


def test_everybody_makes_tokens_for_their_own_scripts(expert, expert_client):
    page = expert_client.post(reverse("accounts:create-own-token"), {"name": "my script", "days": 30})
    token = tokens.token_of(re.search(r"etalon_[\w-]+", page.text)[0])
    assert (token.kind, token.owner) == ("person", expert)
    assert "my script" in expert_client.get(reverse("accounts:me")).text


def test_nobody_revokes_somebody_elses_token(expert_client):
    token, secret = make_token()
    answer = expert_client.post(reverse("accounts:revoke-token", args=[token.pk]))
    assert answer.status_code == 302
    assert tokens.token_of(secret)


def test_an_administrator_revokes_any(administrator_client):
    token, secret = make_token()
    administrator_client.post(reverse("accounts:revoke-token", args=[token.pk]))
    assert tokens.token_of(secret) is None
    assert AuditEntry.objects.first().actor is not None


def test_the_command_makes_and_revokes():
    out = io.StringIO()
    call_command("make_token", "core-1", "--days", "2", stdout=out)
    secret = re.search(r"etalon_[\w-]+", out.getvalue())[0]
    token = tokens.token_of(secret)
    assert (token.kind, token.name) == ("sensor", "core-1")
    call_command("make_token", "--revoke", token.prefix, stdout=out)
    assert tokens.token_of(secret) is None


@pytest.mark.parametrize("arguments", [[], ["--revoke", "none"], ["x", "--days", "0"]])
def test_the_command_says_what_is_wrong(arguments):
    with pytest.raises(CommandError):
        call_command("make_token", *arguments)


@pytest.mark.slow
def test_the_pages_are_accessible(sign_in, administrator, accessible):
    make_token()
    tokens.make_own_token(administrator, "script")
    tab = sign_in(administrator)
    for path in ("/tokens/", "/me/"):
        tab.goto(path)
        accessible(tab)
    tab.get_by_label("Name").fill("another")
    tab.get_by_role("button", name="Make").click()
    tab.locator("#secret:has-text('etalon_')").wait_for()
    accessible(tab)
