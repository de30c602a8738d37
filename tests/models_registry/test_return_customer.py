"""A customer comes back to his channel: by two signatures, through the page, the command and the API."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.roles import Role
from accounts.services import tokens
from models_registry.models import BundleEntry, Customer, LedgerEntry, Publication, Release
from models_registry.services import appliances, builder, feed, holds, ledger_check, publications, releases, returns
from models_registry.services.releases import ReleaseRefused
from tests.factories import make_bundle, make_customer, make_gate_report, make_user, make_version
from tests.feeds import (
    Feed,
    make_appliance,
    make_feed,
    make_publication,
    make_real_bundle,
    make_report,
    make_site,
    signatures,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery(settings: Any, tmp_path: Path) -> Feed:
    return make_feed(settings, tmp_path)


@pytest.fixture
def customer(delivery: Feed) -> Customer:
    """A customer with a bundle of his own, whose stable channel has got another since."""
    found = make_customer(name="Synthetic shop")
    first, later = make_real_bundle(0.6), make_real_bundle(0.8)
    delivery.publish(first)
    delivery.publish(first, "stable")
    delivery.publish(first, "customer", found)
    delivery.publish(later)
    delivery.publish(later, "stable")
    return Customer.objects.get(pk=found.pk)


def page_of(customer: Customer) -> str:
    return reverse("models_registry:customer-bundles", args=[customer.pk])


def in_force(customer: Customer) -> list[tuple[str, bool]]:
    return [(str(one.publication.bundle), one.is_own) for one in publications.standings(customer)]


def test_with_two_signatures_the_channel_reaches_him_again(delivery: Feed, customer: Customer) -> None:
    [own] = returns.of(customer)
    later = Publication.objects.on("stable", "http")[0].bundle
    assert (own.missed, own.objection, own.gets[0].publication.bundle) == (1, "", later)  # type: ignore[union-attr]
    release = releases.propose_return(customer, "http", delivery.engineer, "he asked for it")
    version = feed.version(customer.feed_role)
    assert delivery.sign(release, delivery.engineer) is None
    assert in_force(customer) == [(str(own.publication.bundle), True)]
    back = delivery.sign(release, delivery.senior)
    assert back is not None and (back.channel, back.customer, back.bundle) == ("stable", customer, later)
    assert feed.needed(customer.feed_role).signed.targets == {}
    assert feed.version(customer.feed_role) == version + 1
    assert in_force(customer) == [(str(later), False)]
    assert returns.of(customer) == []
    newest = make_real_bundle(0.9)
    delivery.publish(newest)
    delivery.publish(newest, "stable")
    assert in_force(customer) == [(str(newest), False)]


def test_it_stands_in_the_ledger_and_the_ledger_still_holds(delivery: Feed, customer: Customer) -> None:
    delivery.sign(releases.propose_return(customer, "http", delivery.engineer))
    assert LedgerEntry.objects.filter(kind="publication", subject__contains="Synthetic shop by stable").exists()
    assert ledger_check.verify(files=False).findings == []


def test_a_bundle_of_his_own_may_come_again(delivery: Feed, customer: Customer) -> None:
    own = returns.of(customer)[0].publication.bundle
    delivery.sign(releases.propose_return(customer, "http", delivery.engineer))
    again = delivery.publish(own, "customer", customer)
    assert again.pk == Publication.objects.latest("pk").pk
    assert in_force(customer) == [(str(own), True)]


def test_what_one_customer_comes_back_to_is_nothing_new_to_others(delivery: Feed, customer: Customer) -> None:
    other = make_customer(name="Synthetic clinic")
    before = [one.pk for one in Publication.objects.reaching(other)]
    delivery.sign(releases.propose_return(customer, "http", delivery.engineer))
    assert [one.pk for one in Publication.objects.reaching(other)] == before
    assert builder.in_force("http") == Publication.objects.on("stable", "http")[0].bundle


def test_each_protocol_and_each_channel_for_itself() -> None:
    customer = make_customer()
    http, tls, own, new = (
        make_bundle(metadata={"contract": {"name": name}}) for name in ("http", "tls", "http", "http")
    )
    for bundle in (http, tls):
        make_publication(bundle=bundle, channel="canary")
        make_publication(bundle=bundle)
    make_publication(bundle=own, channel="customer", customer=customer)
    make_publication(bundle=new, channel="canary")
    assert publications.in_force(customer, "http") == own
    make_publication(bundle=new, channel="canary", customer=customer)
    make_publication(bundle=http, channel="stable", customer=customer)
    reaching = Publication.objects.reaching
    assert [one.bundle for one in reaching(customer, "stable", "http")] == [http, own, http]
    assert [one.bundle for one in reaching(customer, "canary", "http")] == [new, own, http]
    assert publications.in_force(customer, "tls") == tls


def test_nobody_comes_back_who_never_left_or_whose_channel_has_nothing(delivery: Feed) -> None:
    customer = make_customer()
    with pytest.raises(ReleaseRefused, match="has no http bundle of his own"):
        releases.propose_return(customer, "http", delivery.engineer)
    bundle = make_real_bundle()
    delivery.publish(bundle)
    delivery.publish(bundle, "customer", customer)
    with pytest.raises(ReleaseRefused, match="channel stable has no http bundle"):
        releases.propose_return(customer, "http", delivery.engineer)
    make_appliance(site=make_site(customer=customer), channel="canary")
    assert releases.propose_return(customer, "http", delivery.engineer).takes_back == "http"


def test_a_channel_whose_bundle_is_held_takes_nobody_back(delivery: Feed) -> None:
    customer, report = make_customer(), make_gate_report(version=make_version(stage="active"))
    own, held = make_real_bundle(0.9), make_bundle(metadata={"contract": {"name": "http"}})
    BundleEntry.objects.create(bundle=held, version=report.version, threshold=0.7, is_silent=False, gate_report=report)
    for channel, to in (("canary", None), ("customer", customer)):
        delivery.publish(own, channel, to)
    make_publication(bundle=held)
    release = releases.propose_return(customer, "http", delivery.engineer)
    holds.place(report.version, 0.9, "C-7", "an open complaint")
    with pytest.raises(ReleaseRefused, match="C-7: an open complaint"):
        delivery.sign(release)  # what was true when it was proposed is not so any more
    holds.lift("C-7")
    assert delivery.sign(release, delivery.senior) is not None  # the engineer has signed


def test_by_the_page_and_the_command(
    delivery: Feed, customer: Customer, tmp_path: Path, engineer_client: Client
) -> None:
    page = engineer_client.get(page_of(customer)).text
    assert "1 bundle of his channel did not reach him" in page
    address = reverse("models_registry:return-customer", args=[customer.pk])
    page = engineer_client.post(address, {"protocol": "http", "reason": "fixed for all"}, follow=True).text
    release = Release.objects.get(takes_back="http")
    assert "his appliances take what their channel has" in page and customer.feed_role in page
    assert f"R-{release.pk}" in engineer_client.get(page_of(customer)).text
    for user in (delivery.engineer, delivery.senior):
        key = tmp_path / f"{user.username}.pem"
        key.write_bytes(delivery.signers[user.username].private_bytes)
        call_command("approve", str(release.pk), key=key, yes=True, stdout=(out := io.StringIO()))
        assert "NOTHING: the appliances of this role take what their channel has" in out.getvalue()
    assert "published" in out.getvalue()
    page = engineer_client.get(page_of(customer)).text
    assert "No bundle is his alone" in page
    assert "Synthetic shop, back on stable" in engineer_client.get(reverse("models_registry:releases")).text


def test_by_the_api_where_a_token_proposes_and_only_keys_sign(delivery: Feed, customer: Customer) -> None:
    def script(user: User) -> Client:
        return Client(headers={"Authorization": f"Bearer {tokens.make_own_token(user, 'script')[1]}"})

    def post(user: User, name: str, body: dict[str, Any], *args: Any) -> Any:
        return script(user).post(reverse(name, args=args), json.dumps(body), "application/json")

    asked = {"customer": customer.name, "protocol": "http"}
    made = post(delivery.engineer, "api:returns", asked)
    assert made.status_code == 201 and made.json()["state"] == "waits"
    number = made.json()["id"]
    for user in (delivery.engineer, delivery.senior):
        keyid, values = signatures(Release.objects.get(pk=number), delivery.signers[user.username])
        told = {"keyid": keyid, "signatures": values}
        answer = post(delivery.engineer, "api:signatures", told, number)  # whose it is says the key
        assert answer.status_code == 201, answer.content
    read = script(delivery.senior).get(reverse("api:release", args=[number])).json()
    assert (read["state"], len(read["signed_by"])) == ("in the feed", 2)
    assert post(delivery.engineer, "api:returns", asked).status_code == 400  # he has come back already
    assert post(delivery.engineer, "api:returns", asked | {"customer": "nobody"}).status_code == 400


def test_one_person_takes_nothing_back(delivery: Feed, customer: Customer) -> None:
    """Twice his own hand, by the page; and the second person's file from his hand."""
    release = releases.propose_return(customer, "http", delivery.engineer)
    alone = Client()
    alone.force_login(delivery.engineer)
    own = delivery.signers[delivery.engineer.username]
    hers = delivery.signers[delivery.senior.username].public_key.keyid
    keyid, values = signatures(release, own)
    told = []
    for name in (keyid, keyid, hers):
        file = ContentFile(json.dumps({"keyid": name, "signatures": values}), "signatures.json")
        told.append(
            alone.post(reverse("models_registry:sign-release", args=[release.pk]), {"signatures": file}, follow=True)
        )
    assert "has signed it already" in told[1].text and "does not fit" in told[2].text
    assert returns.of(customer) != []


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.AUDITOR, Role.EXPERT, Role.SUPPORT])
def test_others_propose_nothing(delivery: Feed, customer: Customer, role: Role) -> None:
    with pytest.raises(ReleaseRefused):
        releases.propose_return(customer, "http", make_user(role))


def test_the_page_of_sites_says_what_is_in_force_for_each(
    delivery: Feed, customer: Customer, engineer_client: Client
) -> None:
    site = make_site(customer=customer)
    make_appliance(site=site)
    [one] = appliances.running()
    own = returns.of(customer)[0].publication.bundle
    assert [(sent.bundle, sent.is_own) for sent in one.sent] == [(own, True)]
    page = engineer_client.get(reverse("models_registry:sites")).text
    assert "his own" in page and "0 of 1 run what is in force for them" in page
    make_report(appliance=one.appliance, bundle=own)
    assert "1 of 1 run what is in force" in engineer_client.get(reverse("models_registry:sites")).text
    delivery.sign(releases.propose_return(customer, "http", delivery.senior))
    [one] = appliances.running()
    assert [(sent.bundle, sent.is_own) for sent in one.sent] == [(builder.in_force("http"), False)]
    assert one.sent[0].since == Publication.objects.latest("pk").published_at
