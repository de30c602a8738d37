"""`manage.py make_user`."""

import io
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEntry, User

pytestmark = pytest.mark.django_db


def make_user(*arguments):
    out = io.StringIO()
    call_command("make_user", *arguments, stdout=out)
    return out.getvalue()


def test_prints_a_password_that_works_once_made():
    printed = make_user("root", "--role", "administrator")
    password = re.search(r"password: (\S+)", printed)[1]
    assert len(password) >= 16
    assert Client().login(username="root", password=password)
    assert User.objects.get().role == "administrator"
    assert AuditEntry.objects.get().subject == "root"


def test_reads_a_password_from_the_standard_input_and_prints_none(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    assert "correct horse" not in make_user("root", "--role", "administrator", "--password-stdin")
    assert Client().login(username="root", password="correct horse battery")


@pytest.mark.parametrize("password", ["", "short", "password123"])
def test_refuses_a_weak_password(monkeypatch, password):
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    with pytest.raises(CommandError):
        make_user("root", "--role", "administrator", "--password-stdin")
    assert not User.objects.exists()


def test_refuses_a_name_that_exists_and_a_role_that_does_not():
    make_user("root", "--role", "administrator")
    with pytest.raises(CommandError, match="exists"):
        make_user("root", "--role", "expert")
    with pytest.raises(CommandError, match="invalid choice"):
        make_user("other", "--role", "emperor")
