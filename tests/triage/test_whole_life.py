"""A complaint from kit to told, in a real browser, by support, expert, engineer and senior: each on their own pages."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from django.urls import reverse

from accounts.roles import Role
from appliance.__main__ import main
from models_registry.models import Bundle, Release
from models_registry.services import scoring
from tests import factories
from tests.feeds import make_feed, signatures
from tests.models_registry.loop import http
from traffic import storage
from triage.models import Complaint
from triage.tasks import collect_complaints, follow_complaints

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
ANSWER = "You are right"


@pytest.fixture
def kit(loud, tmp_path) -> Path:
    """What `python -m appliance kit` writes at the customer."""
    bundle, record, out = tmp_path / "bundle.onnx", tmp_path / "record.json", tmp_path / "flagged.kit.json"
    bundle.write_bytes(storage.get_bytes(Bundle.objects.get().path))
    record.write_text(json.dumps(http(7, "/?id=1' union select 1,2--")))
    assert main(["kit", "--bundle", str(bundle), "--record", str(record), "--out", str(out)]) == 0
    return out


def picture(page, name: str) -> None:
    """Keep a picture where ETALON_SCREENSHOTS names a folder."""
    if folder := os.environ.get("ETALON_SCREENSHOTS"):
        for width, scheme in ((1440, "light"), (1440, "dark"), (420, "light"), (420, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{folder}/{name}-{width}-{scheme}.png", full_page=True)
        page.set_viewport_size({"width": 1440, "height": 900})


def hand_in(page, delivery, user, folder: Path) -> None:
    """Sign the newest release, as `manage.py approve` does, and hand it in on its page."""
    release = Release.objects.latest("id")
    keyid, values = signatures(release, delivery.signers[user.username])
    signed = folder / "signed.json"
    signed.write_text(json.dumps({"release": release.pk, "keyid": keyid, "signatures": values}))
    page.goto(reverse("models_registry:release", args=[release.pk]))
    picture(page, "release")
    page.set_input_files("#signatures", str(signed))
    page.click("button:has-text('Hand in')")
    page.wait_for_selector(".flash")


def test_from_kit_to_told(page, sign_in, accessible, loud, customer, kit, settings, tmp_path):
    delivery = make_feed(settings, tmp_path)
    people = {role: factories.make_user(role) for role in Role}
    people |= {Role.ENGINEER: delivery.engineer, Role.SENIOR: delivery.senior}
    scoring.score_waiting()

    sign_in(people[Role.SUPPORT])
    page.goto("/complaints/new/")
    page.select_option("#id_customer", label="ACME")
    page.fill("#id_contact", "soc@acme.example")
    page.set_input_files("#id_files", str(kit))
    page.wait_for_selector("#preview >> text=reproduced")  # the score is there before the form is sent
    picture(page, "filing")
    accessible(page)
    page.click("text=File it")
    page.wait_for_selector("h1:has-text('C-')")
    complaint = Complaint.objects.get()
    address = reverse("triage:complaint", args=[complaint.pk])
    assert page.locator("text=equal").count() == 1
    picture(page, "complaint-received")
    accessible(page)

    sign_in(people[Role.EXPERT])
    item = complaint.states.get(state="received").item
    page.goto(reverse("labeling:work", args=[item.queue.slug]))
    page.wait_for_selector("#workbench:focus")
    assert page.locator(f"text={complaint.number}").count() >= 1
    page.keyboard.press("b")
    page.click("button[value='negative:own-test']")
    page.wait_for_selector("#verdict", state="detached")
    collect_complaints()
    assert complaint.states.last().state == "confirmed"

    sign_in(people[Role.ENGINEER])
    page.goto(address)
    page.wait_for_selector("#stopgaps table")
    picture(page, "complaint-stop-gaps")
    accessible(page)
    page.locator("#stopgaps tr", has_text="silent").locator("button").click()
    page.wait_for_selector("text=Done")
    follow_complaints()
    page.goto(address)
    page.click(".facts a[href*='/bundles/']")
    page.wait_for_selector("#fixes")
    page.click(f"#fixes >> text={complaint.number}")  # to the bundle and back, one click each
    page.wait_for_selector("h1:has-text('C-')")

    sign_in(people[Role.SENIOR])
    page.goto("/")
    assert page.locator("#figure-complaints").inner_text().split()[-1] == "1"
    for button in ("Release to the canary channel", "Release to ACME alone"):
        sign_in(people[Role.ENGINEER])
        page.goto(address)
        picture(page, "complaint-fixed")
        page.click(f"text={button}")
        page.wait_for_url("**/releases/*/")
        for role in (Role.ENGINEER, Role.SENIOR):  # each with a key of his own, on the release's page
            sign_in(people[role])
            hand_in(page, delivery, people[role], tmp_path)
        assert follow_complaints() == (button != "Release to the canary channel")
    assert complaint.states.last().state == "published"

    sign_in(people[Role.SUPPORT])
    page.goto(address)
    assert re.search(r"fixed in bundle [0-9a-f]{12}", page.locator("#answer").input_value())
    page.fill("#answer", ANSWER)
    picture(page, "complaint-published")
    page.click("text=Told: close the complaint")
    page.wait_for_selector("text=Done")
    assert page.locator(f"text={ANSWER}").count() == 1
    picture(page, "complaint-told")
    accessible(page)
    for name, url in (("list", "/complaints/"), ("figures", "/complaints/figures/")):
        page.goto(url)
        picture(page, name)
        accessible(page)
    page.goto(reverse("triage:customer", args=[complaint.customer_id]))
    picture(page, "customer")
    accessible(page)
    complaint.refresh_from_db()
    assert (complaint.state, complaint.deadline.reading().state) == ("told", "met")

    sign_in(people[Role.ADMINISTRATOR])
    factories.make_delivery(subscription=factories.make_subscription(), state="given-up")
    for name, url in (("outbox", "/outbox/"), ("servings", "/complaints/servings/")):
        page.goto(url)
        picture(page, name)
        accessible(page)
