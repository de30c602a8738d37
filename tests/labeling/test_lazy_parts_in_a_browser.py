"""The heavy parts in a real browser: nothing moves, no focus is taken, and the next item does not wait for them."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from labeling import evidence
from labeling.models import ItemHost
from labeling.services import neighbours, surroundings
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db(transaction=True)
BENCH = "#workbench:focus"
WATCH_SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture
def queue(trained_version):
    """Three items with all there is to show, and a neighbour of each."""
    queue = factories.make_queue(detector=trained_version.detector)
    for number in range(3):
        row = make_row(flow_id=number, uri=f"/cgi-bin/{number}.sh?id=1%27", uri_decoded=f"/cgi-bin/{number}.sh?id=1'")
        item = make_item(queue, row, version=trained_version, priority=-number, sessions=4)
        ItemHost.objects.create(item=item, host=row["src_ip"], sessions=4)
        row = make_row(flow_id=10 + number, uri=f"/shop/{number}", uri_decoded=f"/shop/{number}")
        make_item(queue, row, version=trained_version, state="settled", outcome="negative")
    neighbours.build_due()
    return queue


def test_they_come_without_moving_what_stands_above_and_without_taking_the_focus(queue, live_server, sign_in, expert):
    page = sign_in(expert)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.add_init_script(WATCH_SHIFTS)
    page.goto(reverse("labeling:work", args=[queue.slug]))
    page.wait_for_selector(BENCH)
    assert page.locator("[data-lazy]").count() == 4
    page.locator(".uri--decoded").focus()
    before = page.locator("#explanation").bounding_box()
    expect(page.locator("[data-lazy]")).to_have_count(0, timeout=20_000)
    assert page.locator("#explanation .contributions li").count() >= 3
    assert page.locator("#neighbours .near li").count() >= 1
    after = page.locator("#explanation").bounding_box()
    assert (before["x"], before["y"]) == (after["x"], after["y"])
    assert page.evaluate("document.activeElement.id") == "wire-uri_decoded"  # its marks came, the focus stayed
    assert page.locator("#wire-uri_decoded mark").count() >= 1
    assert page.evaluate("window.shifts") < 0.05


def test_the_next_item_does_not_wait_for_parts_of_the_last_one(queue, live_server, sign_in, expert, monkeypatch):
    slow = 3.0  # seconds
    for module, name in ((evidence, "why"), (evidence, "looks_like"), (surroundings, "of_host")):
        monkeypatch.setattr(module, name, lambda *_all: time.sleep(slow) or pytest.fail("nobody waits for it"))
    page = sign_in(expert)
    failed = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto(reverse("labeling:work", args=[queue.slug]))
    page.wait_for_selector(BENCH)
    page.wait_for_timeout(700)  # the parts are on their way
    first = page.locator("#verdict").get_attribute("action")
    began = time.monotonic()
    page.keyboard.press("m")
    page.wait_for_selector(f"#verdict:not([action='{first}'])")
    assert time.monotonic() - began < slow - 0.5
    number = first.split("/")[2]
    assert {url.rsplit("/", 2)[1] for url in failed if f"/items/{number}/" in url} >= {"explanation", "neighbours"}
    page.wait_for_selector(BENCH)
