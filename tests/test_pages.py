"""Every page there is, whoever made it: readable by everybody and inside the screen.

Pages come from the rights table, so that a new one is walked without being named here."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from accounts.models import User
from accounts.roles import Role
from tests import factories
from tests.pages import pages_of

pytestmark = pytest.mark.django_db(transaction=True)
NOWHERE = {"404": "/no-such-page/"}  # the error pages are pages too
# by whom each page is looked at: the first of these who may open it
CHANGERS = (Role.ENGINEER, Role.SENIOR, Role.SUPPORT, Role.ADMINISTRATOR)  # who see forms and buttons
READERS = (Role.EXPERT, Role.AUDITOR, Role.SUPPORT, Role.ADMINISTRATOR)
DAILY = {  # an expert's day; all others wait for the slow run
    "accounts:me",
    "labeling:answers",
    "labeling:item",
    "labeling:queue",
    "labeling:queues",
    "labeling:reference",
    "labeling:work",
    "triage:home",
    "triage:search",
}


def looked_at_by(roles: Sequence[Role]) -> dict[User, dict[str, str]]:
    """Return pages by who looks at them: each page once."""
    known: set[str] = set()
    found = {}
    for role in roles:
        user = factories.make_user(role)
        pages = {name: url for name, url in pages_of(user).items() if name not in known}
        known |= pages.keys()
        found[user] = pages
    return found


def look_at(tab, accessible, pages: dict[str, str]) -> list[str]:
    """Return what is wrong with pages, each with its name."""
    problems = []
    for name, url in pages.items():
        tab.goto(url)
        tab.locator(".htmx-request").first.wait_for(state="detached")
        try:
            accessible(tab)
        except AssertionError as found:
            problems.append(f"{name}: {str(found).splitlines()[0]}")
        wide = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            problems.append(f"{name} is {wide} px wider than the screen")
    return problems


@pytest.fixture
def as_by(page):
    def looking(scheme, width):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)

    return looking


def test_the_pages_of_an_experts_day_are_readable_and_fit(sign_in, accessible, as_by):
    as_by("dark", 420)
    user = factories.make_user(Role.EXPERT)
    pages = pages_of(user, only=DAILY)
    assert pages.keys() == DAILY
    problems = look_at(sign_in(user), accessible, pages | NOWHERE)
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width", "roles"), [("light", 1440, CHANGERS), ("dark", 420, READERS)])
def test_every_page_is_readable_and_fits(sign_in, accessible, as_by, scheme, width, roles):
    as_by(scheme, width)
    problems = []
    for user, pages in looked_at_by(roles).items():
        problems += look_at(sign_in(user), accessible, pages)
    assert not problems, "\n".join(problems)
