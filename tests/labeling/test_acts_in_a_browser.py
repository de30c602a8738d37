"""Group verdict, postponing and bulk verdict by keyboard alone, in a real browser: the focus stays under the hand."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labeling.models import BulkVerdict, GroupCheck, Item, Label, Queue, Skip
from labeling.services import queues
from tests.factories import make_row
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db(transaction=True)
BENCH = "#workbench:focus"
KINDS = (Queue.Kind.UNIQUE, Queue.Kind.DISAGREEMENT, Queue.Kind.UNCERTAIN, Queue.Kind.DUMP)


@pytest.fixture
def line(trained_version):
    """A queue of two looks; of the first one there are three more items in other queues."""
    for number, kind in enumerate(KINDS):
        queue = queues.queue_of(trained_version.detector, kind)
        row = make_row(flow_id=number, src_ip=f"10.1.4.{number + 1}")
        make_item(queue, row, version=trained_version, shape="a" * 64, sessions=10, priority=9)
    unique = queues.queue_of(trained_version.detector, Queue.Kind.UNIQUE)
    make_item(unique, make_row(flow_id=9), version=trained_version, title="GET other.example/")
    return unique


@pytest.fixture
def bench(line, live_server, sign_in, expert):
    page = sign_in(expert)
    page.goto(f"/queues/{line.slug}/work/")
    page.wait_for_selector(BENCH)
    return page


def shown(page) -> str:
    return page.locator("#verdict").get_attribute("action")


def next_item(page, before: str) -> None:
    page.wait_for_selector(f"#verdict:not([action='{before}'])")
    page.wait_for_selector(BENCH)


def test_two_keys_answer_all_look_alikes_and_one_takes_it_back(bench, accessible):
    first = shown(bench)
    bench.keyboard.press("a")
    bench.wait_for_selector("#alike:has-text('and 2 more items, 30 sessions · 1 kept as a check')")
    bench.wait_for_selector(BENCH)  # the verdict key is the next one
    accessible(bench)
    bench.keyboard.press("a")
    bench.locator("#alike").wait_for(state="hidden")
    bench.keyboard.press("a")
    bench.keyboard.press("m")
    next_item(bench, first)
    assert bench.locator("[role=status]:has-text('Answered 3 look-alikes as one; 1 is kept')").count() == 1
    assert Label.objects.filter(answer="positive").count() == 3
    assert not bench.locator("[name=alike]").is_checked()

    second = shown(bench)
    bench.keyboard.press("u")
    next_item(bench, second)
    assert shown(bench) == first
    assert bench.locator("[role=status]:has-text('3 look-alikes is withdrawn')").count() == 1
    assert not Label.objects.current().exists()
    assert not GroupCheck.objects.exists()


def test_a_negative_for_all_takes_its_one_reason(bench):
    first = shown(bench)
    for key in ("a", "b", "3"):
        bench.keyboard.press(key)
    next_item(bench, first)
    assert set(Label.objects.values_list("answer", "reason_code")) == {("negative", "own-test")}
    assert Label.objects.count() == 3


def test_an_answer_for_a_time_by_keys(bench):
    first = shown(bench)
    bench.keyboard.press("e")
    bench.wait_for_selector("select[name=expires]:focus")
    bench.keyboard.press("ArrowDown")
    bench.keyboard.press("ArrowDown")
    bench.keyboard.press("Escape")
    bench.wait_for_selector(BENCH)
    bench.keyboard.press("m")
    next_item(bench, first)
    label = Label.objects.get()
    assert round((label.expires_at - label.created_at).total_seconds() / 86400) == 7


def test_postponing_by_keys(bench, expert):
    first = shown(bench)
    bench.keyboard.press("p")
    bench.wait_for_selector("#postpone button[value='1h']:focus")
    bench.keyboard.press("b")  # another panel opens, this one closes
    bench.wait_for_selector("#reasons [data-default]:focus")
    assert bench.locator("#postpone").is_hidden()
    bench.keyboard.press("Escape")
    bench.wait_for_selector(BENCH)
    bench.keyboard.press("p")
    bench.keyboard.press("2")
    next_item(bench, first)
    assert Skip.objects.get().expert == expert
    assert not Label.objects.exists()
    bench.goto("/postponed/")
    bench.locator("button:has-text('Take back')").click()
    bench.wait_for_url("**/items/*/")
    bench.wait_for_selector(BENCH)
    assert shown(bench) == first


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_a_bulk_verdict_by_keys(line, live_server, sign_in, expert, accessible, run_jobs, scheme):
    page = sign_in(expert)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/queues/{line.slug}/?text=intranet")
    page.locator("a:has-text('One answer for all that match')").click()
    page.wait_for_selector("#verdict")
    accessible(page)
    page.keyboard.press("m")  # without a note nothing is sent: the browser asks for it
    page.wait_for_selector("#bulk-note:focus")
    page.keyboard.type("mnb: the drill of March")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.wait_for_selector("#reasons [data-default]:focus")
    page.keyboard.press("3")
    page.wait_for_url("**/bulk/*/")
    run_jobs()
    page.wait_for_selector("text=Every item that was shown got this answer")
    accessible(page)
    assert set(Label.objects.values_list("answer", "reason_code", "note")) == {
        ("negative", "own-test", "mnb: the drill of March")
    }
    page.keyboard.press("u")
    page.wait_for_selector("text=being undone")
    run_jobs()
    page.wait_for_selector("text=undone >> nth=0")
    assert not Label.objects.current().exists()
    assert Item.objects.filter(state="open").count() == 5
    page.goto(reverse("labeling:bulk-verdicts"))
    accessible(page)
    assert BulkVerdict.objects.get().withdrawn == 1
