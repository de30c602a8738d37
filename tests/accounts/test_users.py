"""The users page: made, changed, locked out, let in again; every change audited, nobody helps themselves."""

import threading

import pytest
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.roles import Role
from accounts.services import users
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def change(client, name, user, **data):
    return client.post(reverse(f"accounts:{name}", args=[user.pk]), data, follow=True)


def test_the_list_shows_names_roles_and_states(administrator_client):
    make_user(username="petrov", role=Role.SENIOR, is_active=False)
    page = administrator_client.get(reverse("accounts:users"))
    assert "petrov" in page.text
    assert "disabled" in page.text


def test_the_list_costs_the_same_queries_for_many_users(administrator_client, django_assert_max_num_queries):
    for _ in range(20):
        make_user()
    with django_assert_max_num_queries(5):
        administrator_client.get(reverse("accounts:users"))


def test_a_new_user_gets_a_password_that_is_shown_once_and_works(administrator_client, administrator):
    page = administrator_client.post(reverse("accounts:create-user"), {"username": "petrov", "role": "senior"})
    password = page.context["password"]
    assert password in page.text
    assert "no-store" in page.headers["Cache-Control"]
    assert Client().login(username="petrov", password=password)
    entry = AuditEntry.objects.get(action="user.created")
    assert (entry.actor, entry.subject, entry.details) == (administrator, "petrov", {"role": "senior"})
    assert password not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("data", [{"username": "", "role": "senior"}, {"username": "a b", "role": "x"}, {}])
def test_a_wrong_form_comes_back_and_makes_nobody(administrator_client, data):
    before = User.objects.count()
    assert administrator_client.post(reverse("accounts:create-user"), data).status_code in (200, 400)
    assert User.objects.count() == before


def test_a_name_is_used_once(administrator_client):
    make_user(username="petrov")
    page = administrator_client.post(reverse("accounts:create-user"), {"username": "petrov", "role": "senior"})
    assert page.status_code == 400
    assert User.objects.filter(username="petrov").count() == 1


def test_a_changed_role_counts_at_the_next_request(administrator_client, administrator, auditor_client, auditor):
    assert auditor_client.get(reverse("accounts:audit")).status_code == 200
    change(administrator_client, "change-role", auditor, role="expert")
    assert auditor_client.get(reverse("accounts:audit")).status_code == 403
    entry = AuditEntry.objects.get(action="user.role-changed")
    assert (entry.actor, entry.subject) == (administrator, auditor.username)
    assert entry.details == {"old": "auditor", "new": "expert"}


def test_a_role_that_does_not_exist_changes_nothing(administrator_client, expert):
    change(administrator_client, "change-role", expert, role="emperor")
    expert.refresh_from_db()
    assert expert.role == Role.EXPERT


@pytest.mark.parametrize("name", ["change-role", "disable-user", "reset-password", "reset-second-factor"])
def test_nobody_changes_their_own_account(administrator_client, administrator, name):
    make_user(Role.ADMINISTRATOR)
    before = User.objects.filter(pk=administrator.pk).values().get()
    page = change(administrator_client, name, administrator, role="senior")
    assert "ask another administrator" in page.text
    after = User.objects.filter(pk=administrator.pk).values().get()
    assert after == before
    assert not AuditEntry.objects.exists()


def test_a_disabled_user_is_out_at_the_next_request_and_cannot_sign_in(administrator_client):
    user = make_user(username="petrov")
    theirs = Client()
    theirs.force_login(user)
    assert theirs.get("/").status_code == 200
    change(administrator_client, "disable-user", user)
    assert theirs.get("/").status_code == 302
    assert not Client().login(username="petrov", password=PASSWORD)
    change(administrator_client, "enable-user", user)
    assert Client().login(username="petrov", password=PASSWORD)
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["user.disabled", "user.enabled"]


def test_the_last_administrator_stays(administrator):
    """Cannot happen through the page, where the last one is oneself; a command or a race could."""
    other = make_user(Role.SENIOR)
    for attempt in (lambda: users.disable(administrator, by=other), _demote(administrator, other)):
        with pytest.raises(users.RefusedError, match="last administrator"):
            attempt()
    administrator.refresh_from_db()
    assert administrator.is_active
    assert administrator.role == Role.ADMINISTRATOR


def _demote(administrator, other):
    return lambda: users.change_role(administrator, Role.EXPERT, by=other)


def test_a_disabled_administrator_does_not_count(administrator):
    make_user(Role.ADMINISTRATOR, is_active=False)
    with pytest.raises(users.RefusedError):
        users.disable(administrator, by=make_user())


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_disable_each_other():
    first, second = make_user(Role.ADMINISTRATOR), make_user(Role.ADMINISTRATOR)
    start = threading.Barrier(2)
    refused = []

    def disable(user, by):
        start.wait()
        try:
            users.disable(user, by=by)
        except users.RefusedError:
            refused.append(user)
        finally:
            connection.close()

    threads = [threading.Thread(target=disable, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert User.objects.filter(role=Role.ADMINISTRATOR, is_active=True).count() == 1


def test_a_new_password_ends_open_sessions(administrator_client):
    user = make_user(username="petrov")
    theirs = Client()
    theirs.force_login(user)
    page = change(administrator_client, "reset-password", user)
    assert theirs.get("/").status_code == 302
    assert Client().login(username="petrov", password=page.context["password"])


def test_a_lost_second_factor_is_dropped(administrator_client):
    user = make_user()
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
    change(administrator_client, "reset-second-factor", user)
    assert not Authenticator.objects.filter(user=user).exists()
    assert AuditEntry.objects.get().action == "user.second-factor-reset"


def test_a_change_without_a_csrf_token_is_refused_with_a_page_that_helps(administrator, expert):
    client = Client(enforce_csrf_checks=True)
    client.force_login(administrator)
    page = client.post(reverse("accounts:disable-user", args=[expert.pk]))
    assert page.status_code == 403
    assert "reload the page" in page.text
