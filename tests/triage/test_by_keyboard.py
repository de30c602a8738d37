"""From the field to a closed incident, by keyboard alone: the focus is where the hand expects it, and seen."""

from __future__ import annotations

import pytest

from accounts.roles import Role
from tests import factories, field
from triage.models import Incident

pytestmark = pytest.mark.django_db(transaction=True)
LOOKS = "e => getComputedStyle(e).outlineStyle"


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def focused(page, selector):
    """Wait until an element has the focus, and see that a person can tell."""
    page.wait_for_selector(f"{selector}:focus")
    assert page.eval_on_selector(f"{selector}:focus", LOOKS) != "none", selector


def test_from_the_field_to_a_closed_incident(page, sign_in):
    version, customer = factories.make_version(), factories.make_customer(name="ACME")
    field.close(field.live(customer, version, [*field.quiet(1, 40), (52, 64), (50, 64)]))
    sign_in(factories.make_user(Role.SENIOR)).goto("/")
    press(page, "g", "z")
    page.wait_for_selector("h1:has-text('The field')")
    press(page, "j")
    focused(page, ".multiple h3 a")
    press(page, "Enter")
    page.wait_for_selector("h1:has-text('ACME')")
    press(page, "g", "z")
    page.wait_for_selector("h1:has-text('The field')")
    press(page, "s")
    page.wait_for_selector("h1:has-text('Silent sites')")
    press(page, "g", "v")
    page.wait_for_selector("h1:has-text('Incidents')")
    press(page, "j")
    focused(page, "tr[data-row] a")
    press(page, "Enter")
    page.wait_for_selector("h1:has-text('I-')")
    press(page, "?")
    page.wait_for_selector("dialog[open] >> text=Close the incident")  # the list of keys knows the page's own
    press(page, "Escape", "w")
    focused(page, "#note")
    page.keyboard.type("I look")
    press(page, "Enter")
    page.wait_for_selector("h2:has-text('What is done about it')")
    page.wait_for_selector("#note", state="detached")
    press(page, "c")
    focused(page, "input[name=closing]")
    press(page, "Space", "ArrowDown", "Tab")
    focused(page, "#reason")
    page.keyboard.type("their scanner, agreed with them")
    press(page, "Tab", "Enter")
    page.wait_for_selector("h2:has-text('What is done about it')", state="detached")
    incident = Incident.objects.get()
    assert (incident.state, incident.closing) == ("closed", "new-normal")
