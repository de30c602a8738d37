"""The component page names and shows every class of the style sheet, and pages use no other: it cannot drift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import reverse

from accounts.roles import Role
from tests import factories

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "config" / "static" / "etalon"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
NAME = r"[a-z][a-zA-Z0-9_-]*"
ELSEWHERE = {"gate-page", "narrow-page", "htmx-request", "qr", "drop--over"}  # named there, seen on pages of their own


def classes_of(sheet: str) -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", (STATIC / sheet).read_text(encoding="utf-8"), flags=re.S)
    return set(re.findall(rf"\.({NAME})", re.sub(r"\{[^{}]*\}", "{}", text)))


def classes_in(markup: str) -> set[str]:
    """Return the names in class attributes; what a template tag would complete ("badge--{{ x }}") is left out."""
    found: set[str] = set()
    for value in re.findall(r'\bclass="((?:\{%.*?%\}|\{\{.*?\}\}|[^"])*)"', markup):
        plain = re.sub(r"\S*\{\{.*?\}\}\S*", " ", value)
        plain = re.sub(rf"{NAME}-(?=\{{%)", " ", plain)
        found |= set(re.findall(rf"(?<![\w-]){NAME}(?![\w-])", re.sub(r"\{%.*?%\}", " ", plain)))
    return {name for name in found if not name.endswith("-")}


@pytest.fixture
def shown(expert_client):
    return expert_client.get(reverse("triage:design")).text


@pytest.mark.django_db
def test_it_names_every_class_of_the_style_sheet_and_no_other(shown):
    assert set(re.findall(rf"<code>\.({NAME})</code>", shown)) == classes_of("app.css")


@pytest.mark.django_db
def test_it_shows_every_class_that_it_names(shown):
    assert classes_of("app.css") - classes_in(shown) == ELSEWHERE


def test_templates_use_no_class_that_no_sheet_draws():
    drawn = classes_of("app.css") | classes_of("workbench.css")
    for path in TEMPLATES:
        unknown = classes_in(path.read_text(encoding="utf-8")) - drawn
        assert not unknown, f"{path.relative_to(ROOT)}: {sorted(unknown)}"


@pytest.mark.django_db
def test_examples_ask_for_nothing(shown):
    """Fragments of made-up rows would ask for rows that are not there."""
    assert shown.index("hx-disable") < shown.index('id="layout"')


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 420])
def test_every_component_is_readable_and_nothing_runs_out_of_the_page(page, sign_in, accessible, scheme, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    tab = sign_in(factories.make_user(Role.AUDITOR))
    tab.goto(reverse("triage:design"))
    accessible(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
