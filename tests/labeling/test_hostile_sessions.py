"""Attackers write what experts read. A payload list stands in every field of a session, on every page that shows one:
nothing runs, nothing is fetched, no element appears that the page did not make itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from django.utils import timezone

from detection.sessions import COLUMNS, HIT_FIELDS, Kind
from detection.texts import storable
from labeling.models import Item, ItemHost, ItemState, ReferenceRow
from labeling.services import claims, labels
from labeling.services.records import to_json
from labeling.wire import SHOWN
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

OWN = (
    "<script>window.__pwned=1</script>",
    "</textarea><script>window.__pwned=1</script>",
    "</pre></dd></td></table></div></section></main><img src=x onerror=window.__pwned=1>",
    "\"><img src=x onerror='window.__pwned=1'>",
    "' onmouseover='window.__pwned=1' autofocus onfocus='window.__pwned=1' x='",
    "<svg/onload=window.__pwned=1>",
    "<iframe srcdoc='<script>parent.__pwned=1</script>'></iframe>",
    "<img src=https://evil.example/pixel.png>",
    "<link rel=stylesheet href=//evil.example/x.css><style>@import '//evil.example/y.css';</style>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'><base href=//evil.example/>",
    "<a href=javascript:window.__pwned=1>x</a> javascript:window.__pwned=1",
    "<img src=x hx-get=/queues/ hx-trigger=load hx-on::load='window.__pwned=1'>",
    "<div hx-post=/labels/undo/ hx-trigger='load' hx-vals='js:{x:window.__pwned=1}'></div>",
    "<body data-single-keys=off><button data-key=m hx-swap-oob=true id=workbench>",
    "{{7*7}} {% debug %} {{ request.user }} ${7*7} #{7*7} <%= 7*7 %>",
    "<!-- --!> --> ]]> <![CDATA[ <?xml <!DOCTYPE x>",
    "\0\x01\x08\x1b[31mred\x7f\u0085\u009b",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200b\u200d\ufeff \u2028\u2029",
    "\ud800 \udfff \ufffe \U000e0041\U000f0000",
    "&lt;script&gt; &amp;lt; &#60;script&#62; %3Cscript%3E \\u003cscript\\u003e \\x3cscript\\x3e",
)
TEXTS = [column.name for column in COLUMNS if column.kind is Kind.TEXT]
# whatever a text could make of itself; svg is counted apart, the page draws its own
ELEMENTS = (
    "script,img,iframe,object,embed,video,audio,style,link,meta,base,form,input,textarea,button,a,math,template,"
    "marquee,details,dialog,frameset,applet,isindex,keygen,picture,source,select,body,head"
)


def payloads(shared: Path | None) -> list[str]:
    found = list(OWN)
    listed = shared / "http-labelled" / "libinjection" / "xss-html5secorg.txt" if shared else None
    if listed and listed.exists():
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [re.sub(r"^test \S+ ", "", line) for line in lines if line and not line.startswith("#")]
    return found


def in_fields(texts: list[str]) -> Iterator[str]:
    """Yield texts that a page shows whole: several payloads in each, and each own payload alone."""
    yield from OWN
    part = ""
    for text in texts:
        if len(part) + len(text) > SHOWN - 10:
            yield part
            part = ""
        part += text[: SHOWN - 10] + " "
    yield part
    yield "<script>window.__pwned=1</script>" * 3_000  # huge


def hostile_item(queue: Any, text: str, number: int, **fields: Any) -> Item:
    """Return an item with a payload wherever a session has a text."""
    hit = dict.fromkeys(HIT_FIELDS, text) | {"sid": 1, "severity": 1}
    row = make_row(**dict.fromkeys(TEXTS, text), hits=[hit], flow_id=number)
    headers = [{"name": text, "value": text}]
    http = {"request_headers": headers, "response_headers": headers, text[:50]: text}
    bodies = {"http_request_body_printable": text, "http_response_body_printable": text}
    item = make_item(
        queue,
        title=storable(text, 255),
        subject_key=storable(f"{number}|{text}", 200),
        sessions=9,
        hosts=2,
        priority=-number,
        record={
            "row": to_json(row),
            "raw": storable(to_json({"http": http | bodies, text: text})),
            "examples": to_json([row]),
            "rule_set": storable(text, 255),
        },
        sensor=storable(text, 100),
        source=storable(text, 100),
        **fields,
    )
    ItemHost.objects.create(item=item, host=storable(text, 64))
    return item


@pytest.fixture
def watched(page: Any, live_server: Any) -> Any:
    """A tab that remembers what it was made to do."""
    page.elsewhere = []
    page.add_init_script(
        "for (const name of ['alert', 'prompt', 'confirm', 'print']) window[name] = () => { window.__pwned = name; };"
    )
    page.on(
        "request", lambda call: page.elsewhere.append(call.url) if not call.url.startswith(live_server.url) else None
    )
    page.on("popup", lambda tab: page.elsewhere.append(f"popup {tab.url}"))
    return page


COUNT = """(elements) => {
  const made = {};
  for (const node of document.querySelectorAll(elements)) made[node.tagName] = (made[node.tagName] || 0) + 1;
  return made;
}"""
STRANGERS = """() => [...document.querySelectorAll('.wire *')].filter((node) =>
  !node.matches('span.odd, mark, span.muted, a[data-row-link]') ||
  [...node.attributes].some((each) => !['class', 'title', 'href', 'data-row-link'].includes(each.name))
).map((node) => node.outerHTML.slice(0, 200))"""


def check(page: Any, before: dict[str, int] | None = None) -> dict[str, int]:
    assert page.evaluate("window.__pwned") is None
    assert page.evaluate(STRANGERS) == []
    assert page.elsewhere == []
    assert page.locator(".wire svg").count() == 0
    made = page.evaluate(COUNT, ELEMENTS)
    assert before is None or made == before
    return made


def opened(page: Any, item: Item) -> None:
    """Open an item and wait until its explanation and its raw record are there."""
    page.goto(f"/items/{item.pk}/")
    page.wait_for_selector("#explanation:not([aria-busy])")
    page.wait_for_selector("#explanation li", state="attached")
    page.keyboard.press("r")
    page.wait_for_selector("#raw-dialog[open] #raw-record:not(:empty)")


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Path | None:
    """The shared payload list where there is one; the test's own payloads do without."""
    try:
        return request.getfixturevalue("shared_data")
    except pytest.skip.Exception:
        return None


def test_nothing_that_a_session_says_does_anything(
    watched, trained_version, live_server, sign_in, expert, senior, auditor, shared
):
    page = watched
    queue = factories.make_queue(detector=trained_version.detector)
    texts = list(in_fields(payloads(shared)))
    twin = hostile_item(queue, "x", 1, version=trained_version)
    items = [hostile_item(queue, text, number, version=trained_version) for number, text in enumerate(texts, start=2)]
    assert len(items) >= 22

    # the labelling page, its explanation and the raw record: the same elements as for a harmless session
    sign_in(expert)
    opened(page, twin)
    harmless = check(page)
    for item in items:
        opened(page, item)
        check(page, harmless)
    page.goto(f"/items/{items[OWN.index(OWN[14])].pk}/")
    assert "{{7*7}}" in page.locator("#wire-host").text_content()
    assert page.locator("#wire-host", has_text="49").count() == 0
    page.goto(f"/items/{items[17].pk}/")
    assert "U+202E" in page.locator("#wire-host").text_content()

    # answering: the keys still are the page's own
    page.goto(f"/queues/{queue.slug}/work/")
    page.wait_for_selector("#workbench:focus")
    for _ in range(3):
        before = page.locator("#verdict").get_attribute("action")
        page.keyboard.press("m")
        page.wait_for_selector(f"#verdict:not([action='{before}'])")
        page.wait_for_selector("#explanation:not([aria-busy])")
        check(page)

    # lists
    for state in (ItemState.OPEN, ItemState.CONFLICT, ItemState.SETTLED):
        Item.objects.update(state=state, outcome="positive", settled_at=timezone.now())
        page.goto(f"/queues/{queue.slug}/?state={state.value}")
        page.wait_for_selector("[data-row]")
        check(page)
    page.goto("/queues/")
    check(page)

    # answers with notes, and the reference set, as an auditor reads them
    Item.objects.update(state=ItemState.OPEN, outcome="", settled_at=None)
    for text, item in zip(texts[:3], items[-3:], strict=True):
        for person in (senior, factories.make_user()):
            claims.claim(item, person)
            labels.submit(item, person, "positive", family=text, note=text)
    for item in items:
        ReferenceRow.objects.create(
            detector=queue.detector,
            item=item,
            subject_key=item.subject_key,
            answer="positive",
            rule_hit=False,
            role="hold-out",
            shape=item.shape,
            fingerprint=item.fingerprint,
            host=storable(texts[0], 64),
            day="2026-03-01",
            source=item.source,
            row=orjson.dumps({}).decode(),
        )
    sign_in(auditor)
    for item in items[-3:]:
        opened(page, item)
        check(page)
        assert page.locator(".answer").count() == 2
    page.goto(f"/reference/{queue.detector.name}/")
    page.wait_for_selector("[data-row]")
    check(page)
    assert urlsplit(page.url).netloc == urlsplit(live_server.url).netloc
