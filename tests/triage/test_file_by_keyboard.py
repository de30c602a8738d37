"""Support files a complaint without touching the mouse, and sees the score before sending."""

from __future__ import annotations

import pytest

from models_registry.models import Customer
from tests.triage.conftest import ATTACK
from triage.models import Complaint

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def form(loud, customer, live_server, sign_in, support):
    Customer.objects.create(name="Globex")
    page = sign_in(support)
    page.goto("/complaints/")
    page.keyboard.press("n")
    page.wait_for_selector("#id_customer:focus")
    return page


def test_three_fields_by_keyboard(form):
    form.keyboard.type("ACME")
    form.keyboard.press("Tab")
    form.keyboard.insert_text(ATTACK)
    form.wait_for_selector("#preview >> text=reproduced")
    form.wait_for_selector("#id_flagged:focus")  # the score came, the hand stayed
    form.keyboard.press("Tab")
    form.keyboard.type("soc@acme.example")
    form.keyboard.press("Enter")
    form.wait_for_selector("text=due in 23 h 59 m")
    complaint = Complaint.objects.get()
    assert (complaint.customer.name, complaint.contact) == ("ACME", "soc@acme.example")
    assert complaint.reproduced


def test_a_wrong_paste_is_told_while_it_can_be_mended(form):
    form.keyboard.press("Tab")
    form.keyboard.insert_text("{")
    form.wait_for_selector("#preview >> text=send the whole file")
    form.wait_for_selector("#id_flagged:focus")


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_the_pages_can_be_used_by_everybody(form, accessible, scheme):
    form.emulate_media(color_scheme=scheme)
    accessible(form)
    form.keyboard.type("ACME")
    form.keyboard.press("Tab")
    form.keyboard.insert_text(ATTACK)
    form.wait_for_selector("#preview >> text=reproduced")
    accessible(form)
    form.keyboard.press("Tab")
    form.keyboard.type("x")
    form.keyboard.press("Enter")
    form.wait_for_selector("h1:has-text('C-')")
    accessible(form)
    form.goto("/complaints/")
    accessible(form)
