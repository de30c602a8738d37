"""A person of support reads no name of a customer they do not serve: on no page, no fragment, by no API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from accounts.roles import Role
from models_registry.models import BundleEntry, Customer, Hold
from tests import factories, feeds, field
from tests.test_rights import read_table
from triage.models import Serving

pytestmark = pytest.mark.django_db
LINKS = re.compile(r'(?:href|hx-get)="(/[^"#?]*)')
MINE, OTHER = "ACME", "Globex"
DEEP = 120  # pages that are walked


@pytest.fixture
def house():
    """A bundle that two customers run, each with a site, a release, a complaint of the same look, and an incident."""
    version, bundle = factories.make_version(), factories.make_bundle()
    day = timezone.now().date() - timedelta(days=1)
    field.make_divergence_day(version, day)
    report = factories.make_gate_report(version=version)
    BundleEntry.objects.create(bundle=bundle, version=version, threshold=0.7, is_silent=False, gate_report=report)
    for name in (MINE, OTHER):
        customer = factories.make_customer(name=name)
        site = feeds.make_site(customer=customer, name=f"hall of {name}")
        feeds.make_report(appliance=feeds.make_appliance(site=site), bundle=bundle)
        feeds.make_publication(bundle=bundle, channel="customer", customer=customer)
        feeds.make_release(bundle=bundle, channel="customer", customer=customer)
        field.make_stream(customer, version, until=day, changed=2)
        field.make_incident(customer=customer, version=factories.make_version(detector=version.detector))
        factories.make_complaint(customer=customer, version=version, bundle=bundle, note=f"from {name}")
        Hold.objects.create(version=version, threshold=0.7, source=f"of {name}", reason=f"open complaint of {name}")
    return customer


def signed_in(role: Role, serves: str = "") -> Client:
    user, client = factories.make_user(role, serves_all=False), Client()
    if serves:
        Serving.objects.create(user=user, customer_id=_key(serves))
    client.force_login(user)
    return client


def _key(name: str) -> int:
    return Customer.objects.get(name=name).pk


def walked(client: Client, role: Role) -> Iterator[tuple[str, str]]:
    """Walk from every page that needs no argument, link by link; give each address with what it says."""
    waiting = []
    for name, row in read_table().items():
        if role in row.people.get("GET", ()) and name not in ("account_logout", "api:schema", "api:docs"):
            try:
                waiting.append(reverse(name))
            except Exception:
                continue
    seen = set(waiting)
    while waiting and len(seen) < DEEP + 100:
        url = waiting.pop(0)
        answer = client.get(url)
        if answer.status_code != 200 or answer.streaming:
            continue
        text = answer.content.decode()
        yield url, text
        for link in LINKS.findall(text):
            if link not in seen and not link.startswith("/static/") and _leads_somewhere(link):
                seen.add(link)
                waiting.append(link)


def _leads_somewhere(url: str) -> bool:
    try:
        return resolve(url).view_name not in ("account_logout", "models_registry:viewer")
    except Resolver404:
        return False


def test_support_reads_the_names_of_the_customers_they_serve_alone(house):
    said = dict(walked(signed_in(Role.SUPPORT, MINE), Role.SUPPORT))
    assert [url for url, text in said.items() if OTHER in text] == []
    naming = {resolve(url).view_name for url, text in said.items() if MINE in text}
    assert naming >= {
        "triage:complaints", "triage:complaint", "triage:file-complaint", "triage:customer", "triage:customers",
        "triage:fleet", "triage:incidents", "triage:figures", "triage:site-telemetry", "api:complaints",
    }  # fmt: skip
    assert "models_registry:bundle" in {resolve(url).view_name for url in said}


def test_lists_and_bundles_name_customers_to_whoever_works_for_all(house):
    bundle = house.publications.get().bundle_id
    waits = f'<a href="{reverse("triage:complaints")}?customer={house.pk}">1</a>'
    for role in Role:
        is_support = role is Role.SUPPORT
        client = signed_in(role, OTHER if is_support else "")
        page = client.get(reverse("triage:customers"))
        assert page.status_code == (403 if role in (Role.EXPERT, Role.SENIOR) else 200), role
        if page.status_code == 200:
            assert f"hall of {OTHER}" in page.text
            assert waits in page.text
            assert (MINE in page.text) is not is_support, role
        page = client.get(reverse("models_registry:bundle", args=[bundle])).text
        assert (OTHER in page) is not is_support, role
        assert "held back" in page
        for name in ("models_registry:releases", "models_registry:sites"):
            assert client.get(reverse(name)).status_code == (403 if is_support else 200), role


def test_a_customers_page_says_what_runs_at_his_sites_and_who_serves_nobody_is_told_so(house):
    page = signed_in(Role.SUPPORT, MINE).get(reverse("triage:customer", args=[_key(MINE)])).text
    assert f"hall of {MINE}" in page
    assert "quiet" in page
    assert "You serve none yet" in signed_in(Role.SUPPORT).get(reverse("triage:customers")).text
