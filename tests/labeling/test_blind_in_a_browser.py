"""A proof item is answered blind: nothing that travels to the tab tells what a model, a rule or anybody said of it."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemHost, Label, Queue
from labeling.services import claims, labels
from tests import factories
from tests.factories import make_proof_item, make_row

BENCH = "#workbench:focus"
HIT = {
    "signature": "ET Sekret rule",
    "category": "Web Application Attack",
    "sid": 4711,
    "severity": 1,
    "scope": "transaction",
}
SECRETS = (
    "0.9137",  # score, here as the item and its record hold it
    "0.913",
    "91.3",
    "2.3593",  # raw
    "0.6543",  # threshold
    "ET Sekret rule",
    "4711",
    "clean",
    "10.77.0.77",  # a host of the group
    "stands for",
    "sealed-envelope",  # the queue
    'id="explanation"',
    "contribution",
    "<mark",
    "clearly a scan",  # what a colleague wrote
    "petrov",
    "unique",
    "flagged",
    "probability",
    "stratum",
    "wrong",  # "why was the model wrong?" would tell that it flagged
)


@pytest.fixture
def drawn(trained_version, db):
    """Three drawn sessions, two that the version flagged and one it let pass, each with a colleague's answer."""
    queue = factories.make_queue(kind=Queue.Kind.PROOF, slug="sealed-envelope", detector=trained_version.detector)
    petrov = factories.make_user(username="petrov")
    score = {"version": trained_version.number, "stage": "silent", "score": 0.9137, "raw": 2.3593, "threshold": 0.6543}
    for number in range(3):
        uri = f"/cgi-bin/{number}.sh?id=1%27"
        row = make_row(flow_id=number, uri=uri, uri_decoded=f"/cgi-bin/{number}.sh?id=1'", hits=[HIT])
        item = make_proof_item(
            queue,
            row,
            version=trained_version,
            priority=-number,
            labels_needed=2,
            title=f"GET intranet.example/{number}",
            cell="unique" if number != 1 else "quiet",
            stratum="" if number != 1 else "clean/low",
            decision={"score": 0.9137, "threshold": 0.6543, "rule_verdict": "clean", "probability": 0.4242},
            record={"scores": f"[{json.dumps(score | {'verdict': number != 1})}]"},
        )
        ItemHost.objects.create(item=item, host="10.77.0.77")
        claims.claim(item, petrov)
        labels.submit(item, petrov, "positive", note="clearly a scan")
    return queue


class Heard:
    """Everything that the server sent to a tab and the tab sent to the server."""

    def __init__(self, page) -> None:
        self.answers: list = []
        page.on("response", lambda response: self.answers.append(response))

    def texts(self) -> list[tuple[str, str]]:
        """Return what came from the pages of the house, headers and bodies; its own scripts and styles say nothing."""
        return [
            (f"{answer.request.method} {answer.url}", self._text(answer))
            for answer in self.answers
            if "/static/" not in answer.url
        ]

    @staticmethod
    def _text(answer) -> str:
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie")
        return headers + "\n" + (answer.text() if answer.status == 200 else "")


def assert_silent(told: list[tuple[str, str]]) -> None:
    assert told
    for where, text in told:
        for secret in SECRETS:
            assert secret.lower() not in text.lower(), (where, secret)


def work(page, slug: str) -> None:
    page.goto(f"/queues/{slug}/work/")
    page.wait_for_selector(BENCH)


def action(page) -> str:
    return page.locator("#verdict").get_attribute("action")


def press(page, key: str) -> None:
    """Answer by key; wait for another item with the focus on the bench."""
    before = action(page)
    page.keyboard.press(key)
    page.wait_for_selector(f"#verdict:not([action='{before}'])")
    page.wait_for_selector(BENCH)


def test_nothing_that_travels_tells_before_the_answer(drawn, live_server, sign_in, expert):
    page = sign_in(expert)
    heard = Heard(page)
    work(page, drawn.slug)
    seen = page.locator("#workbench").inner_text()
    assert "/cgi-bin/0.sh" in seen  # the session itself is all there
    press(page, "m")
    press(page, "b")  # at once: a reason is asked of those who contradict a model
    assert [label.answer for label in Label.objects.filter(expert=expert)] == ["positive", "negative"]
    page.keyboard.press("r")
    page.wait_for_selector("#raw-dialog[open] >> text=request_headers")
    page.keyboard.press("r")
    page.wait_for_selector(BENCH)
    page.keyboard.press("?")
    page.wait_for_selector("#keys-help[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector(BENCH)
    press(page, "u")
    assert page.locator("text=Your answer is withdrawn").count() == 1
    page.wait_for_load_state("networkidle")
    told = heard.texts()
    assert {"GET", "POST"} <= {where.split()[0] for where, _text in told}
    assert_silent(told)
    for secret in SECRETS:
        assert secret.lower() not in page.content().lower(), secret
    assert not [where for where, _text in told if "explanation" in where]


def test_the_address_of_an_explanation_is_refused_in_the_same_tab(drawn, live_server, sign_in, expert):
    page = sign_in(expert)
    work(page, drawn.slug)
    item = Item.objects.get(claimed_by=expert)
    answer = page.request.get(reverse("labeling:explanation", args=[item.pk]))
    assert answer.status == 403
    for secret in ("0.9137", "0.6543", "10.77.0.77"):
        assert secret not in answer.text()


def test_the_reveal_comes_when_no_answer_can_be_taken_back(drawn, live_server, sign_in, expert):
    page = sign_in(expert)
    work(page, drawn.slug)
    item = Item.objects.get(claimed_by=expert)
    press(page, "m")
    item.refresh_from_db()
    assert item.state == "settled"
    page.goto(reverse("labeling:item", args=[item.pk]))
    assert_silent([("answered, and can be undone", page.content())])
    Item.objects.filter(pk=item.pk).update(settled_at=timezone.now() - labels.UNDO_WITHIN - timedelta(minutes=1))
    page.reload()
    page.wait_for_selector("#explanation table, #explanation .contribution, #explanation li", state="attached")
    shown = page.content()
    for told in ("0.9137", "0.6543", "clearly a scan", "petrov", "stands for", "sealed-envelope"):
        assert told in shown, told


@pytest.mark.django_db
def test_a_session_that_was_flagged_and_one_that_passed_look_alike(drawn, expert):
    """Byte for byte, but for what names the item: whoever counts bytes learns nothing."""
    client = Client()
    client.force_login(expert)
    pages = []
    for item in Item.objects.order_by("pk"):
        assert claims.claim(item, expert)
        Item.objects.filter(pk=item.pk).update(
            claimed_until=timezone.now().replace(microsecond=0) + timedelta(minutes=9)
        )
        page = client.get(reverse("labeling:item", args=[item.pk])).text
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|nonce="[^"]+"|hx-headers=\'[^\']+\'', "", page)
        page = re.sub(r"held until.*?</time>", "", page, flags=re.DOTALL)
        number = item.record.row[item.record.row.index("/cgi-bin/") :][9]
        page = page.replace(f"/items/{item.pk}/", "/items/N/").replace(f'value="{item.pk}"', 'value="N"')
        page = page.replace(f"/cgi-bin/{number}.sh", "/cgi-bin/X.sh").replace(f"/{number}<", "/X<")
        page = re.sub(r"(?:[0-9a-f]{2} ){4,}[0-9a-f]{2}", "HEX", page)
        pages.append(page)
        claims.release(Item.objects.get(pk=item.pk), expert)
    flagged, passed, other = pages
    assert flagged == passed == other


def test_the_list_of_the_queue_tells_no_verdict(drawn, live_server, sign_in, expert):
    page = sign_in(expert)
    page.goto(f"/queues/{drawn.slug}/")
    listed = page.content()
    assert listed.count("intranet.example/") == 3
    for secret in ("0.9137", "0.6543", "10.77.0.77", "petrov", "clean/low"):
        assert secret not in listed, secret
