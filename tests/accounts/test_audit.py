"""The audit log: what enters it, who reads it, and that nobody edits it."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.services import audit
from accounts.views import AUDIT_PAGE
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def actions():
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def test_entries_are_never_edited_through_the_models(expert):
    entry = audit.record(expert, "something", "subject", figure=1)
    entry.subject = "another"
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()
    with pytest.raises(TypeError):
        AuditEntry.objects.update(subject="another")
    with pytest.raises(TypeError):
        AuditEntry.objects.filter(pk=entry.pk).delete()


def test_the_database_refuses_edits_too(expert):
    entry = audit.record(expert, "something")
    with pytest.raises(DatabaseError, match="is evidence"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_auditentry SET action = 'nothing' WHERE id = %s", [entry.pk])
    if connection.vendor == "postgresql":
        with pytest.raises(DatabaseError, match="is evidence"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM accounts_auditentry WHERE id = %s", [entry.pk])
    assert AuditEntry.objects.get(pk=entry.pk).action == "something"


def test_coming_and_going_are_recorded(client):
    user = make_user(username="ivanova")
    client.post(reverse("account_login"), {"login": "ivanova", "password": "wrong"})
    client.post(reverse("account_login"), {"login": "ivanova", "password": PASSWORD})
    client.post(reverse("account_logout"))
    assert actions() == ["sign-in-failed", "sign-in", "sign-out"]
    failed, came, went = AuditEntry.objects.order_by("id")
    assert failed.actor is None
    assert failed.subject == "ivanova"
    assert failed.details == {"address": "127.0.0.1"}
    assert came.actor == went.actor == user


def test_a_password_typed_as_a_name_is_not_kept(client):
    client.post(reverse("account_login"), {"login": PASSWORD, "password": ""})
    client.post(reverse("account_login"), {"login": PASSWORD, "password": "x"})
    assert PASSWORD not in str(list(AuditEntry.objects.values()))
    assert actions() == ["sign-in-failed"]


def test_the_page_shows_who_did_what_and_pages_by_key(auditor_client, expert):
    for number in range(AUDIT_PAGE + 5):
        audit.record(expert, "something", f"<b>subject {number:03}</b>")
    newest = auditor_client.get(reverse("accounts:audit"))
    assert f"subject {AUDIT_PAGE + 4:03}" in newest.text
    assert "<b>subject" not in newest.text
    assert "subject 004" not in newest.text
    oldest = auditor_client.get(reverse("accounts:audit"), {"before": newest.context["older"]})
    assert "subject 004" in oldest.text
    assert oldest.context["older"] == ""


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, "²"])
def test_a_strange_key_shows_the_newest(auditor_client, before):
    assert auditor_client.get(reverse("accounts:audit"), {"before": before}).status_code == 200


def test_the_page_costs_the_same_queries_for_many_entries(auditor_client, expert, django_assert_max_num_queries):
    for number in range(20):
        audit.record(expert, "something", str(number))
    with django_assert_max_num_queries(4):
        auditor_client.get(reverse("accounts:audit"))


def test_an_empty_page_says_what_fills_it(auditor_client):
    assert "No entries here" in auditor_client.get(reverse("accounts:audit")).text
