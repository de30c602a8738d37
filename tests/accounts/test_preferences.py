"""What a person chose for their own pages holds on every machine: language, theme, time zone, keys."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from tests import factories

pytestmark = pytest.mark.django_db
KEPT = {"language": "", "theme": "system", "time_zone": "", "single_keys": "on"}


def choose(client, **choices):
    return client.post(reverse("accounts:choose-preferences"), KEPT | choices, follow=True)


def test_the_language_of_ones_own_goes_before_the_browsers(expert_client):
    assert '<html lang="en"' in expert_client.get("/", headers={"accept-language": "en"}).text
    assert '<html lang="ru"' in choose(expert_client, language="ru").text
    page = expert_client.get("/", headers={"accept-language": "en"})
    assert '<html lang="ru"' in page.text
    assert page.headers["Content-Language"] == "ru"


def test_given_back_to_the_browser_no_cookie_decides(expert_client, expert):
    expert_client.post(reverse("set_language"), {"language": "ru"})
    expert.refresh_from_db()
    assert expert.language == "ru"
    choose(expert_client)
    assert '<html lang="en"' in expert_client.get("/", headers={"accept-language": "en"}).text


def test_a_stranger_may_choose_a_language_for_the_sign_in_page(client):
    client.post(reverse("set_language"), {"language": "ru", "next": reverse("account_login")})
    assert '<html lang="ru"' in client.get(reverse("account_login")).text


@pytest.mark.parametrize(("theme", "status"), [("dark", 204), ("light", 204), ("system", 204), ("pink", 400)])
def test_the_theme_is_kept_by_the_buttons_on_top(expert_client, theme, status):
    assert expert_client.post(reverse("accounts:choose-theme"), {"theme": theme}).status_code == status
    kept = theme if status == 204 else "system"
    assert f'data-kept-theme="{kept}"' in expert_client.get("/").text


@pytest.mark.parametrize(
    ("chosen", "cookie", "shown"),
    [
        ("", "", "2026-03-01 12:00:00 UTC"),
        ("Europe/Moscow", "", "2026-03-01 15:00:00 MSK · 2026-03-01 12:00:00 UTC"),
        ("Asia/Yekaterinburg", "Europe/Moscow", "2026-03-01 17:00:00 UTC+05 · 2026-03-01 12:00:00 UTC"),
        ("", "Europe/Moscow", "2026-03-01 15:00:00 MSK"),
        ("", "../../etc/passwd", "2026-03-01 12:00:00 UTC"),
        ("", "Mars/Olympus", "2026-03-01 12:00:00 UTC"),
    ],
)
def test_times_are_of_the_place_and_say_so(expert_client, chosen, cookie, shown):
    item = factories.make_session_item()
    choose(expert_client, time_zone=chosen)
    expert_client.cookies["time_zone"] = cookie
    assert shown in re.sub(r"<[^>]+>", "", expert_client.get(reverse("labeling:item", args=[item.pk])).text)
    assert timezone.get_current_timezone_name() == "UTC"  # nothing stays for the next request


def test_no_page_calls_another_zone_utc():
    """A clock without the zone it is in would be an hour wrong on somebody's desk."""
    from tests.triage.test_design import ROOT, TEMPLATES

    clock = re.compile(r"\|date:(\"[^\"]*\"|'[^']*') \}\} UTC|, UTC[\"']|\(UTC\)")
    lines = [(path, line) for path in TEMPLATES for line in path.read_text(encoding="utf-8").splitlines()]
    said = [f"{path.relative_to(ROOT)}: {line}" for path, line in lines if clock.search(line) and "|utc|" not in line]
    assert said == []


def test_single_keys_can_be_switched_off(expert_client):
    assert 'data-single-keys="on"' in expert_client.get("/").text
    page = expert_client.post(reverse("accounts:choose-preferences"), {"theme": "system"}, follow=True)
    assert 'data-single-keys="off"' in page.text


def test_verdicts_may_lie_on_other_keys(expert_client, expert):
    item = factories.make_session_item()
    expert_client.post(reverse("labeling:claim-item", args=[item.pk]))
    choose(expert_client, positive_key="Q", negative_key="z")
    page = expert_client.get(reverse("labeling:item", args=[item.pk])).text
    assert 'value="positive" data-key="q"' in page
    assert re.search(r'verdict--negative"[^>]* data-key="z"', page)


@pytest.mark.parametrize(("positive", "negative"), [("q", ""), ("q", "q"), ("s", "q"), ("1", "2"), ("/", "q")])
def test_keys_that_mean_something_else_are_refused_and_the_form_comes_back(expert_client, expert, positive, negative):
    page = choose(expert_client, positive_key=positive, negative_key=negative, theme="dark")
    assert page.status_code == 400
    assert "Two different letters" in page.text
    expert.refresh_from_db()
    assert (expert.positive_key, expert.negative_key, expert.theme) == ("", "", "system")


@pytest.mark.parametrize("wrong", [{"time_zone": "Mars/Olympus"}, {"language": "xx"}, {"theme": "pink"}])
def test_what_does_not_exist_cannot_be_chosen(expert_client, wrong):
    assert choose(expert_client, **wrong).status_code == 400
