"""The frame of every page in a real browser: themes, keys, readers, sign-in by hand."""

import pytest
from django.urls import reverse

from accounts.roles import Role
from tests.factories import PASSWORD, make_item, make_queue, make_score_file, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)
DARK = "rgb(17, 21, 26)"
LIGHT = "rgb(244, 246, 248)"


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.fixture
def filled():
    version = make_version()
    make_score_file(version=version, covered=12, unique_candidates=3, quiet=4000, missed=2)
    make_item(queue=make_queue(detector=version.detector), version=version)
    return version


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_home_and_sign_in_are_accessible(page, sign_in, accessible, filled, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(reverse("account_login"))
    assert background(page) == (DARK if scheme == "dark" else LIGHT)
    accessible(page)
    sign_in(make_user(Role.ADMINISTRATOR)).goto("/")
    accessible(page)


def test_a_person_signs_in_and_out_by_hand(page):
    make_user(username="ivanova")
    page.goto("/me/")
    assert page.evaluate("document.activeElement.name") == "login"
    page.keyboard.type("ivanova")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/me/")
    assert page.get_by_role("heading", name="ivanova").is_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/")


def test_the_theme_is_chosen_kept_and_given_back_to_the_system(page):
    page.emulate_media(color_scheme="light")
    page.goto(reverse("account_login"))
    page.get_by_role("button", name="Dark theme").click()
    assert background(page) == DARK
    page.reload()
    assert background(page) == DARK
    assert page.get_by_role("button", name="Dark theme").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="As the system").click()
    assert background(page) == LIGHT
    page.emulate_media(color_scheme="dark")
    assert background(page) == DARK


def test_g_and_a_letter_go_to_a_page(page, sign_in):
    sign_in(make_user(Role.ADMINISTRATOR)).goto("/")
    page.keyboard.press("g")
    page.keyboard.press("u")
    page.wait_for_url("**/users/")
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_url(lambda url: url.endswith("/"))


def test_keys_do_nothing_while_typing_or_when_switched_off(page, sign_in):
    user = make_user(Role.ADMINISTRATOR, single_keys=False)
    sign_in(user).goto("/users/new/")
    page.keyboard.type("guh")
    assert page.get_by_label("Username").input_value() == "guh"
    page.goto("/audit/")
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_timeout(300)
    assert page.url.endswith("/audit/")


def test_the_first_tab_skips_to_the_content(page, sign_in):
    sign_in(make_user(Role.ADMINISTRATOR)).goto("/users/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_narrow_screen_scrolls_down_not_sideways(page, sign_in, filled):
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/users/", "/audit/", "/me/"):
        sign_in(make_user(Role.ADMINISTRATOR)).goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
