"""A day's work without a mouse, in a real browser: one key per verdict, and the focus where the hand expects it."""

from __future__ import annotations

import pytest

from labeling.models import Item, Label, Skip
from labeling.services import claims, labels
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

BENCH = "#workbench:focus"  # a selector and no script: the content policy forbids evaluating texts


@pytest.fixture
def line(trained_version):
    """A queue of four items whose scores can be explained."""
    queue = factories.make_queue(detector=trained_version.detector)
    for number in range(4):
        row = make_row(flow_id=number, uri=f"/cgi-bin/{number}.sh?id=1%27", uri_decoded=f"/cgi-bin/{number}.sh?id=1'")
        make_item(queue, row, version=trained_version, priority=-number, title=f"GET intranet.example/{number}")
    return queue


@pytest.fixture
def bench(line, live_server, sign_in, expert):
    """The labelling page, opened by `expert`, with the focus on it."""
    page = sign_in(expert)
    page.goto(f"/queues/{line.slug}/work/")
    page.wait_for_selector(BENCH)
    return page


def shown(page) -> str:
    """Return where the answer to the item on the page would go."""
    return page.locator("#verdict").get_attribute("action")


def next_item(page, before: str) -> None:
    """Wait until another item stands there and the focus is on it."""
    page.wait_for_selector(f"#verdict:not([action='{before}'])")
    page.wait_for_selector(BENCH)


def test_a_day_by_keyboard(bench, expert):
    first = shown(bench)
    assert bench.locator("#wire-uri").text_content() == "/cgi-bin/0.sh?id=1%27"

    bench.keyboard.press("m")
    next_item(bench, first)
    assert [label.answer for label in Label.objects.all()] == ["positive"]

    second = shown(bench)
    bench.keyboard.press("b")
    bench.wait_for_selector("button[value='negative:other']:focus")
    assert bench.locator("[aria-controls=reasons]").get_attribute("aria-expanded") == "true"
    bench.keyboard.press("Escape")
    bench.wait_for_selector(BENCH)
    assert bench.locator("#reasons").is_hidden()
    bench.keyboard.press("3")  # a reason without its panel is no answer
    bench.keyboard.press("b")
    bench.keyboard.press("3")
    next_item(bench, second)
    assert Label.objects.latest("id").reason_code == "own-test"

    third = shown(bench)
    bench.keyboard.press("b")
    bench.keyboard.press("Enter")
    next_item(bench, third)
    assert Label.objects.latest("id").reason_code == "other"

    fourth = shown(bench)
    bench.keyboard.press("u")
    next_item(bench, fourth)
    assert shown(bench) == third
    assert Label.objects.latest("id").answer == "withdrawn"

    bench.keyboard.press("n")
    next_item(bench, third)
    assert Label.objects.latest("id").answer == "undecided"
    assert Label.objects.current().count() == 3

    bench.keyboard.press("s")
    bench.wait_for_selector("text=Nothing waits for you here")
    bench.wait_for_selector(BENCH)
    assert Skip.objects.get().expert == expert


def test_typing_is_not_answering(bench):
    before = shown(bench)
    bench.keyboard.press(".")
    bench.wait_for_selector("textarea[name=note]:focus")
    bench.keyboard.type("mbnsu")
    bench.keyboard.press("Escape")
    bench.wait_for_selector(BENCH)
    bench.keyboard.press("f")
    bench.keyboard.type("SQL injection")
    bench.keyboard.press("Escape")
    bench.keyboard.press("t")
    assert not Label.objects.exists()
    bench.keyboard.press("m")
    next_item(bench, before)
    label = Label.objects.get()
    assert (label.note, label.family, label.authorised) == ("mbnsu", "SQL injection", True)


def test_keys_with_ctrl_alt_or_meta_belong_to_the_browser(bench):
    for key in ("Control+m", "Alt+m", "Meta+m"):
        bench.keyboard.press(key)
    assert not Label.objects.exists()


def test_a_key_held_down_is_one_answer(bench):
    before = shown(bench)
    bench.keyboard.down("m")
    for _ in range(5):
        bench.keyboard.down("m")
    bench.keyboard.up("m")
    next_item(bench, before)
    assert Label.objects.count() == 1


def test_dialogs_open_and_close_by_key_and_give_the_focus_back(bench):
    bench.keyboard.press("r")
    bench.wait_for_selector("#raw-dialog[open] >> text=request_headers")
    bench.keyboard.press("m")  # behind a dialog nothing answers
    bench.keyboard.press("r")
    bench.wait_for_selector(BENCH)
    bench.keyboard.press("?")
    bench.wait_for_selector("#keys-help[open]")
    bench.keyboard.press("Escape")
    bench.wait_for_selector(BENCH)
    assert not Label.objects.exists()


def test_views_of_the_request_target_follow_each_other(bench):
    for visible in (".uri--raw", ".uri--hex", ".uri--decoded"):
        bench.keyboard.press("v")
        bench.wait_for_selector(visible)


def test_somebody_who_lost_the_item_goes_on_by_enter(bench, line, expert, senior):
    item = Item.objects.get(claimed_by=expert)
    claims.release(item, expert)
    claims.claim(item, senior)
    bench.keyboard.press("m")
    bench.wait_for_selector(f"text={senior} holds this item now")
    bench.wait_for_selector("[data-focus]:focus")
    bench.keyboard.press("Enter")
    bench.wait_for_url(f"**/queues/{line.slug}/work/")
    bench.wait_for_selector(BENCH)
    assert not Label.objects.exists()


def test_single_keys_can_be_switched_off(line, live_server, sign_in, expert):
    expert.single_keys = False
    expert.save()
    page = sign_in(expert)
    page.goto(f"/queues/{line.slug}/work/")
    page.wait_for_selector("mark", state="attached")
    page.keyboard.press("m")
    page.keyboard.press("s")
    assert not Label.objects.exists()
    assert not Skip.objects.exists()
    page.locator("button[value=positive]").click()  # the mouse still works
    page.wait_for_selector(BENCH)


def test_j_and_k_walk_the_list_and_enter_opens(line, live_server, sign_in, expert):
    page = sign_in(expert)
    page.goto(f"/queues/{line.slug}/")
    for key, row in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        page.wait_for_selector(f"a:focus:text-is('GET intranet.example/{row}')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/*/")
    page.keyboard.press("t")
    page.wait_for_selector("button[value=positive]")
    page.wait_for_selector(BENCH)
    assert Item.objects.get(claimed_by=expert).title == "GET intranet.example/1"


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_the_page_can_be_used_by_everybody(bench, scheme, accessible):
    bench.emulate_media(color_scheme=scheme)
    bench.wait_for_selector("mark", state="attached")
    accessible(bench)
    bench.keyboard.press("b")
    accessible(bench)


def test_the_senior_decides_a_conflict_by_key(line, live_server, sign_in, expert, senior):
    other = factories.make_user()
    item = Item.objects.first()
    for person, answer in ((expert, "positive"), (other, "negative")):
        claims.claim(item, person)
        labels.submit(item, person, answer)
    page = sign_in(senior)
    page.goto(f"/queues/{line.slug}/work/")
    page.wait_for_selector(BENCH)
    assert page.locator(".answer").count() == 2
    page.keyboard.press("m")
    page.wait_for_selector(".answer", state="detached")
    item.refresh_from_db()
    assert (item.state, item.outcome) == ("settled", "positive")
