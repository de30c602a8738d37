"""Signing in: by user name, throttled, with a second factor; nobody signs up."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.conf import settings
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.adapter import AccountAdapter, MFAAdapter
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ivanova():
    return make_user(username="ivanova")


def sign_in(client, name="ivanova", password=PASSWORD, **data):
    return client.post(reverse("account_login"), {"login": name, "password": password} | data)


def code(secret):
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def test_a_stranger_is_brought_back_to_where_they_wanted(client, ivanova):
    asked = client.get(reverse("accounts:me"))
    assert asked.headers["Location"] == "/accounts/login/?next=%2Fme%2F"
    assert sign_in(client, next="/me/").headers["Location"] == "/me/"


def test_nobody_is_brought_to_another_host(client, ivanova):
    assert sign_in(client, next="https://evil.example/").headers["Location"] == "/"


def test_a_fragment_takes_the_whole_page_to_the_sign_in(client):
    answer = client.get("/", headers={"hx-request": "true", "hx-current-url": "http://testserver/queues/"})
    assert answer.headers["HX-Redirect"] == "/accounts/login/?next=%2Fqueues%2F"


def test_a_stranger_who_posts_comes_back_to_the_home_page(client):
    assert client.post(reverse("accounts:choose-theme")).headers["Location"] == "/accounts/login/"


def test_the_wrong_password_is_refused_in_words_that_tell_nothing(client, ivanova):
    known = sign_in(client, password="wrong").text
    unknown = sign_in(client, name="nobody", password="wrong").text
    message = "The username and/or password you specified are not correct."
    assert message in known
    assert message in unknown


def test_guessing_is_throttled(client, ivanova):
    for _ in range(5):
        sign_in(client, password="wrong")
    assert "Too many" in sign_in(client).text  # even the right one
    assert "_auth_user_id" not in client.session


def test_flooding_the_page_ends_in_a_page_that_says_when_to_come_back(client):
    answers = [client.post(reverse("account_login")) for _ in range(31)]
    assert answers[-1].status_code == 429
    assert "Wait five minutes" in answers[-1].text


def test_nobody_signs_up(rf):
    assert not AccountAdapter().is_open_for_signup(rf.get("/"))
    for name in ("account_signup", "account_reset_password", "account_email"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


def test_signing_out_takes_a_post(client, ivanova):
    sign_in(client)
    assert client.get(reverse("account_logout")).status_code == 405
    assert client.get("/").status_code == 200
    client.post(reverse("account_logout"))
    assert client.get("/").status_code == 302


def test_the_session_cookie_is_out_of_reach_of_scripts(client, ivanova):
    cookie = sign_in(client).cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["expires"]  # ends with the browser


def test_the_second_factor_is_asked_for_and_its_secret_lies_encrypted(client, ivanova):
    sign_in(client)
    asked_again = client.get(reverse("mfa_activate_totp")).headers["Location"]
    assert asked_again.startswith(reverse("account_reauthenticate"))
    client.post(asked_again, {"password": PASSWORD})
    page = client.get(reverse("mfa_activate_totp"))
    assert "img-src 'self' data:" in page.headers["Content-Security-Policy"]
    secret = page.context["form"].secret
    answer = client.post(reverse("mfa_activate_totp"), {"code": code(secret)})
    assert answer.status_code == 302, answer.context["form"].errors
    stored = Authenticator.objects.get(type=Authenticator.Type.TOTP).data["secret"]
    assert secret not in stored
    client.post(reverse("account_logout"))

    client = Client()
    assert sign_in(client).headers["Location"].startswith(reverse("mfa_authenticate"))
    assert client.get("/").status_code == 302  # the password alone is not enough
    assert "img-src 'self'" in client.get(reverse("mfa_authenticate")).headers["Content-Security-Policy"]
    client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert client.get("/").status_code == 302
    recovery = Authenticator.objects.get(type=Authenticator.Type.RECOVERY_CODES).wrap().get_unused_codes()
    client.post(reverse("mfa_authenticate"), {"code": recovery[0]})
    assert client.get("/").status_code == 200
    codes = client.post(client.get(reverse("mfa_view_recovery_codes")).headers["Location"], {"password": PASSWORD})
    shown = client.get(codes.headers["Location"]).text if codes.status_code == 302 else codes.text
    assert recovery[1] in shown
    assert recovery[0] not in shown  # spent


def test_a_secret_is_read_after_the_key_was_renewed(settings):
    adapter = MFAAdapter()
    kept = adapter.encrypt("secret")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key of at least thirty-two characters"
    assert adapter.decrypt(kept) == "secret"
    assert adapter.decrypt(adapter.encrypt("secret")) == "secret"


def test_the_codes_of_the_app_are_accepted(ivanova):
    secret = generate_totp_secret()
    TOTP.activate(ivanova, secret)
    client = Client()
    sign_in(client)
    client.post(reverse("mfa_authenticate"), {"code": code(secret)})
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("url_name", ["accounts:me", "account_change_password", "mfa_index", "account_reauthenticate"])
def test_the_pages_of_ones_account_are_drawn_in_our_design(expert_client, url_name):
    page = expert_client.get(reverse(url_name))
    assert page.status_code == 200
    assert 'class="brand"' in page.text
