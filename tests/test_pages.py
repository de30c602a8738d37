"""Every page there is, whoever made it: readable by everybody and inside the screen.

Pages come from the rights table, so that a new one is walked without being named here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from django.test import Client

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
    "labeling:hunt",
    "labeling:item",
    "labeling:queue",
    "labeling:queues",
    "labeling:reference",
    "labeling:work",
    "triage:home",
    "triage:search",
}


def looked_at_by(roles: Sequence[Role], language: str = "") -> dict[User, dict[str, str]]:
    """Return pages by who looks at them: each page once."""
    known: set[str] = set()
    found = {}
    for role in roles:
        user = factories.make_user(role, language=language)
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
    user = factories.make_user(Role.EXPERT, language="ru")  # its words are the longer ones
    pages = pages_of(user, only=DAILY)
    assert pages.keys() == DAILY
    problems = look_at(sign_in(user), accessible, pages | NOWHERE)
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "width", "roles", "language"), [("light", 1440, CHANGERS, "en"), ("dark", 420, READERS, "ru")]
)
def test_every_page_is_readable_and_fits(sign_in, accessible, as_by, scheme, width, roles, language):
    as_by(scheme, width)
    problems = []
    for user, pages in looked_at_by(roles, language).items():
        problems += look_at(sign_in(user), accessible, pages)
    assert not problems, "\n".join(problems)


class Words(HTMLParser):
    """The words of a page that somebody of ours wrote: what came from the wire, names and code are marked as such."""

    QUOTED = {"code", "pre", "kbd", "samp", "script", "style", "title", "datalist", "time"}
    ATTRIBUTES = ("title", "placeholder", "aria-label", "alt")

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[bool] = []  # of each open element: whether its words are quoted
        self.found: set[str] = set()

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        names = set((said.get("class") or "").split())
        quoted = (
            tag in self.QUOTED or bool(names & {"wire", "brand", "top__user"}) or ("lang" in said and tag != "html")
        )
        if not quoted and not any(self.inside):
            for name in self.ATTRIBUTES:
                self._read(said.get(name) or "")
        if tag not in VOID:
            self.inside.append(quoted)

    def handle_endtag(self, tag):
        if tag not in VOID and self.inside:
            self.inside.pop()

    def handle_data(self, data):
        if not any(self.inside):
            self._read(data)

    def _read(self, text):
        self.found |= {word.lower() for word in re.findall(r"(?<![\w./:-])[A-Za-z][a-z]{2,}(?![\w./:@-])", text)}


VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr", "line", "rect", "path"}
# names of programs, formats, roles of the trade that Russian writes in Latin letters too
NAMES = {
    *("suricata", "zeek", "etalon", "parquet", "gzip", "netron", "cookie", "enter", "esc", "classtype", "classtypes"),
    *("malicious", "benign", "drill", "office", "north", "http", "tls", "ktalk"),  # of a detector, a sensor, a site
    *("sid", "hex", "cdn", "problem", "details", "python", "manage", "morph", "rem", "registry", "english", "csv"),
}


MADE_UP = {"triage:design"}  # its examples are rows of nobody, in English


@pytest.mark.slow
def test_no_english_is_left_on_russian_pages():
    left = {}
    for user, pages in looked_at_by(CHANGERS, "ru").items():
        client = Client()
        client.force_login(user)
        names = NAMES | set(re.findall(r"[a-z]+", user.username.lower()))
        for name, url in pages.items():
            words = Words()
            words.feed(re.sub(r"(customer|mine) \d+", "", client.get(url).content.decode()))
            if (found := words.found - names) and name not in MADE_UP:
                left[name] = sorted(found)
    assert not left, "\n".join(f"{name}: {words}" for name, words in left.items())
