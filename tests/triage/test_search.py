"""The field on top of every page finds what has a number, a name or a digest, for those who may open it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.roles import Role
from labeling.models import Item, ItemHost
from tests import factories
from triage.services import search
from triage.services.search import Found

pytestmark = pytest.mark.django_db


def found(asked: str, role: Role = Role.SENIOR) -> list[str]:
    return [one.url for one in search.search(asked, factories.make_user(role))]


@pytest.fixture
def named():
    """One of everything that has a name."""
    version = factories.make_version()
    queue = factories.make_queue(detector=version.detector)
    item = factories.make_session_item(queue=queue, version=version, title="GET intranet.example/cgi-bin/N")
    ItemHost.objects.create(item=item, host="10.77.4.22")
    bundle = factories.make_bundle()
    factories.make_customer(name="ACME Networks")
    return {"version": version, "item": item, "bundle": bundle, "complaint": factories.make_complaint(version=version)}


def test_an_item_by_number_host_and_words_of_its_title(named):
    url = reverse("labeling:item", args=[named["item"].pk])
    for asked in (f"#{named['item'].pk}", f"{named['item'].pk} ", "10.77.4.22", "10.77.", "intranet.EXAMPLE/cgi"):
        assert url in found(asked), asked
    assert url not in found("0.77.4.22")


def test_a_complaint_by_its_number(named):
    complaint = named["complaint"]
    for asked in (complaint.number, complaint.number.lower(), str(complaint.pk)):
        assert reverse("triage:complaint", args=[complaint.pk]) in found(asked)


def test_versions_detectors_bundles_customers_and_lists_by_name(named):
    version, name = named["version"], named["version"].detector.name
    known = factories.make_indicator_list()
    assert reverse("models_registry:version", args=[name, version.number]) in found(f"{name}:{version.number}")
    assert reverse("models_registry:version", args=[name, version.number]) in found(f"{name[:4]}:")
    assert reverse("models_registry:detector", args=[name]) in found(name[1:5])
    assert reverse("models_registry:bundle", args=[named["bundle"].pk]) in found(named["bundle"].digest[:8].upper())
    assert any("/customers/" in url for url in found("acme", Role.SUPPORT))
    assert reverse("models_registry:indicator-list", args=[known.name]) in found(known.name)


@pytest.mark.parametrize("role", list(Role))
def test_nobody_finds_what_he_may_not_open(client, named, role):
    user = factories.make_user(role)
    client.force_login(user)
    asked = [f"#{named['item'].pk}", "acme", named["complaint"].number, named["version"].detector.name, "intranet"]
    for url in {one.url for text in asked for one in search.search(text, user)}:
        assert client.get(url).status_code == 200, url
    items = [one for one in search.search(asked[0], user) if "/items/" in one.url]
    assert bool(items) == (role != Role.SUPPORT)


@pytest.mark.parametrize(
    "asked", ["", " ", "\x00", "%", "_", "'\"<b>", "C-", ":", ":x", "a:1" + "9" * 40, "9" * 30, "#²", "x" * 5000]
)
def test_odd_questions_find_nothing_and_break_nothing(expert_client, named, asked):
    page = expert_client.get(reverse("triage:search"), {"q": asked})
    assert page.status_code == 200
    assert "<b>" not in page.text


def test_what_attackers_wrote_is_shown_as_text(expert_client):
    factories.make_session_item(title="GET <script>alert(1)</script>.example/")
    page = expert_client.get(reverse("triage:search"), {"q": "script"}, headers={"hx-request": "true"}).text
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<html" not in page  # below the field: the answers alone


def test_it_says_what_can_be_asked_when_nothing_is_found(expert_client):
    assert "Nothing of that name" in expert_client.get(reverse("triage:search"), {"q": "nowhere"}).text


def test_hosts_go_by_their_index(named):
    hosts = ItemHost.objects.filter(search._starts("host", "10.77."))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
    assert "item_host_by_host" in hosts.explain()


def test_words_are_looked_for_among_the_newest_only(monkeypatch):
    monkeypatch.setattr(search, "NEWEST", 3)
    old = factories.make_session_item(title="GET needle.example/")
    for _ in range(3):
        factories.make_session_item(queue=old.queue, version=old.version)
    assert found("needle") == []
    assert reverse("labeling:item", args=[old.pk]) in found(f"#{old.pk}")


def test_a_question_costs_the_same_however_much_there_is(named):
    reader = factories.make_user(Role.SENIOR)

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            search.search("GET", reader)
        return len(asked)

    before = cost()
    for _ in range(20):
        factories.make_session_item(queue=named["item"].queue, version=named["version"])
    assert cost() == before <= 10
    assert len([one for one in search.search("GET", reader) if isinstance(one, Found)]) <= 2 * search.EACH
    assert Item.objects.count() > 20


@pytest.mark.django_db(transaction=True)
def test_a_search_by_keyboard_alone(page, sign_in, named):
    tab = sign_in(factories.make_user(Role.SENIOR))
    tab.goto(reverse("labeling:queues"))
    tab.keyboard.press("j")
    tab.wait_for_selector("main a:focus")
    tab.keyboard.press("/")
    tab.wait_for_selector("[data-search]:focus")
    tab.keyboard.type("10.77.4")
    tab.wait_for_selector("#found a")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("main a:focus")
    assert tab.locator("#found").is_hidden()
    tab.keyboard.press("/")
    tab.keyboard.type("10.77.4")
    tab.wait_for_selector("#found a")
    tab.keyboard.press("ArrowDown")
    tab.wait_for_selector("#found a:focus")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/items/{named['item'].pk}/")
    tab.keyboard.press("?")
    tab.wait_for_selector("#keys-help[open]")


@pytest.mark.django_db(transaction=True)
def test_every_page_lists_its_keys(page, sign_in, named):
    tab = sign_in(factories.make_user(Role.SENIOR))
    tab.goto(reverse("labeling:queue", args=[named["item"].queue.slug]))
    tab.keyboard.press("?")
    tab.wait_for_selector("#keys-help[open]")
    told = tab.locator("#keys-help").inner_text()
    assert "Work" in told
    assert "Queues" in told
    tab.keyboard.press("?")
    tab.wait_for_selector("#keys-help:not([open])", state="attached")
