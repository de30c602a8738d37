"""The whole life of a complaint by keys alone: filed, confirmed, held back, told. Nobody touches a mouse."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.roles import Role
from models_registry.models import Bundle
from models_registry.services import scoring
from tests import factories, feeds
from tests.triage.conftest import ATTACK
from tests.triage.test_by_keyboard import focused, press
from triage.models import Complaint
from triage.tasks import collect_complaints, follow_complaints

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def walk_to(page, selector: str, most: int = 60) -> None:
    """Go on by Tab until an element has the focus."""
    page.wait_for_selector(selector)
    for _step in range(most):
        press(page, "Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            focused(page, selector)
            return
    raise AssertionError(f"{most} times Tab do not lead to {selector}")


def open_the_first(page) -> None:
    """Go to the complaints and open the one that is due first."""
    press(page, "g", "c")
    page.wait_for_selector("h1:has-text('Complaints')")
    press(page, "j")
    focused(page, "tr[data-row] a")
    press(page, "Enter")
    page.wait_for_selector("h1:has-text('C-')")


def test_from_filing_to_told(page, sign_in, loud, customer):
    scoring.score_waiting()
    support = factories.make_user(Role.SUPPORT)
    sign_in(support).goto("/")
    press(page, "g", "c")
    page.wait_for_selector("h1:has-text('Complaints')")
    press(page, "n")
    focused(page, "#id_customer")
    page.keyboard.type("ACME")
    press(page, "Tab")
    page.keyboard.insert_text(ATTACK)
    page.wait_for_selector("#preview >> text=reproduced")
    press(page, "Tab")
    page.keyboard.type("soc@acme.example")
    press(page, "Enter")
    page.wait_for_selector("h1:has-text('C-')")
    complaint = Complaint.objects.get()
    assert complaint.reproduced
    press(page, "w")
    focused(page, "#template")  # what may be done now is one key away

    sign_in(factories.make_user(Role.EXPERT)).goto("/")
    open_the_first(page)
    press(page, "i")
    page.wait_for_selector(f"text={complaint.number}")
    press(page, "g", "q")
    page.wait_for_selector("h1:has-text('Queues')")
    press(page, "w")
    page.wait_for_selector("#workbench:focus")
    press(page, "b", "3")
    page.wait_for_selector("#verdict", state="detached")
    collect_complaints()
    assert complaint.states.last().state == "confirmed"

    sign_in(factories.make_user(Role.ENGINEER)).goto("/")
    open_the_first(page)
    walk_to(page, "#stopgaps tr:last-child button")
    press(page, "Enter")
    page.wait_for_selector("text=Done")
    follow_complaints()
    feeds.make_publication(bundle=Bundle.objects.latest("id"))
    follow_complaints()
    assert complaint.states.last().state == "published"

    sign_in(support).goto("/")
    open_the_first(page)
    press(page, "w")
    focused(page, "#answer")
    press(page, "Control+a")
    page.keyboard.type("You are right")
    press(page, "Tab")
    focused(page, "button.button--main")
    press(page, "Enter")
    page.wait_for_selector("text=Done")
    complaint.refresh_from_db()
    assert (complaint.state, complaint.deadline.reading().state) == ("told", "met")

    press(page, "g", "k")
    page.wait_for_selector("h1:has-text('Customers')")
    press(page, "j")
    focused(page, "tr[data-row] a")
    press(page, "Enter")
    page.wait_for_selector("h1:has-text('ACME')")
    walk_to(page, f'tr[data-row] a[href="{reverse("triage:complaint", args=[complaint.pk])}"]')
