"""A whole shift without a mouse: item after item with the focus asserted, undo, a group at once, and a colleague who
disagrees until a senior decides. Two hundred items in the slow run, twenty in the daily one."""

from __future__ import annotations

from itertools import cycle

import pytest

from accounts.roles import Role
from labeling.models import Item, ItemState, Label
from labeling.services import claims, labels
from tests import factories

BENCH = "#workbench:focus"
# what an expert presses for one item, and the answer that it is
PRESSES = ((("m",), "positive"), (("b", "3"), "negative"), (("n",), "undecided"), (("b", "Enter"), "negative"))
ALIKE = 3  # open look-alikes of the item that is answered as a group


@pytest.fixture
def make_line(trained_version):
    """Return a function that makes a queue of so many items, most urgent first, and one with look-alikes at its end."""

    def make(count):
        queue = factories.make_queue(detector=trained_version.detector)
        for number in range(count):
            uri = f"/cgi-bin/{number}.sh?id=1%27"
            row = factories.make_row(flow_id=number, uri=uri, uri_decoded=uri.replace("%27", "'"))
            factories.make_session_item(
                queue, row, version=trained_version, priority=-number, title=f"GET a.example/{number}"
            )
        return queue

    return make


def focused(tab) -> str:
    """Return the id of the element that keys go to: the reason this test exists."""
    return tab.evaluate("document.activeElement.id")


def shown(tab) -> str:
    return tab.locator("#verdict").get_attribute("action")


def next_item(tab, before: str) -> None:
    tab.wait_for_selector(f"#verdict:not([action='{before}']), #workbench:not(:has(#verdict))")
    tab.wait_for_selector(BENCH)
    assert focused(tab) == "workbench"


def answer_all(tab, count: int) -> list[str]:
    """Answer so many items by keyboard; return the answers in their order."""
    given = []
    for _, (keys, answer) in zip(range(count), cycle(PRESSES), strict=False):
        before = shown(tab)
        for key in keys:
            tab.keyboard.press(key)
        next_item(tab, before)
        given.append(answer)
    return given


def shift(tab, queue, expert, count: int) -> None:
    """Answer `count` items, take every tenth back and answer it again."""
    tab.goto(f"/queues/{queue.slug}/work/")
    tab.wait_for_selector(BENCH)
    done = 0
    while done < count:
        some = min(10, count - done)
        answer_all(tab, some)
        done += some
        before = shown(tab)
        tab.keyboard.press("u")
        next_item(tab, before)
        again = shown(tab)
        assert again != before
        tab.keyboard.press("n")
        next_item(tab, again)
    current = Label.objects.current().filter(expert=expert)
    assert current.count() == count == current.values("item").distinct().count()
    assert Label.objects.filter(expert=expert, answer="withdrawn").count() == count // 10


@pytest.mark.django_db(transaction=True)
def test_twenty_items_by_keyboard_alone(sign_in, expert, make_line):
    shift(sign_in(expert), make_line(21), expert, 20)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_two_hundred_items_by_keyboard_alone(sign_in, expert, make_line):
    shift(sign_in(expert), make_line(201), expert, 200)


@pytest.mark.django_db(transaction=True)
def test_two_who_differ_and_the_senior_who_decides_by_keyboard(page, sign_in, expert, senior, make_line):
    queue = make_line(2)
    first = Item.objects.order_by("-priority").first()
    colleague = factories.make_user(Role.EXPERT)
    assert claims.claim(first, colleague)
    labels.submit(first, colleague, "negative", reason_code="other")
    tab = sign_in(expert)
    tab.goto(f"/queues/{queue.slug}/work/")
    tab.wait_for_selector(BENCH)
    before = shown(tab)
    tab.keyboard.press("m")
    next_item(tab, before)
    first.refresh_from_db()
    assert first.state == ItemState.CONFLICT

    tab = sign_in(senior)
    tab.goto("/queues/")
    tab.keyboard.press("g")
    tab.keyboard.press("q")
    tab.wait_for_url("**/queues/")
    tab.keyboard.press("w")
    tab.wait_for_selector(BENCH)
    assert shown(tab) == before
    assert tab.locator(".answer").count() == 2  # both answers side by side
    tab.keyboard.press("m")
    next_item(tab, before)
    first.refresh_from_db()
    assert (first.state, first.outcome) == (ItemState.SETTLED, "positive")


@pytest.mark.django_db(transaction=True)
def test_look_alikes_by_one_answer_and_one_undo(sign_in, expert, trained_version):
    make = factories.make_session_item
    origin = make(factories.make_queue(detector=trained_version.detector), version=trained_version, priority=9)
    for kind in ("uncertain", "disagreement", "missed"):
        queue = factories.make_queue(detector=trained_version.detector, kind=kind, slug=f"alike-{kind}")
        make(queue, version=trained_version, shape=origin.shape)
    tab = sign_in(expert)
    tab.goto(f"/queues/{origin.queue.slug}/work/")
    tab.wait_for_selector(BENCH)
    tab.keyboard.press("a")
    tab.wait_for_selector("#alike:not(:empty)")
    before = shown(tab)
    tab.keyboard.press("m")
    tab.wait_for_selector(f"#verdict[action='{before}']", state="detached")
    tab.wait_for_selector(BENCH)
    assert Label.objects.current().filter(expert=expert).count() > 1
    tab.keyboard.press("u")
    tab.wait_for_selector(f"#verdict[action='{before}']")
    assert focused(tab) == "workbench"
    assert not Label.objects.current().filter(expert=expert).exists()
