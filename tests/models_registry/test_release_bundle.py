"""Releases: composed by the server, signed by an engineer and a senior expert, told by the feed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from securesystemslib.signer import CryptoSigner

from accounts.roles import Role
from detection.bundle import read_metadata
from models_registry.models import BundleEntry, FeedFile, Publication
from models_registry.services import feed, holds, releases
from models_registry.services import feed_metadata as tuf
from models_registry.services.releases import ReleaseRefused
from tests.factories import make_bundle, make_customer, make_gate_report, make_user, make_version
from tests.feeds import Feed, install_root, make_approver, make_feed, make_real_bundle, make_receipt, signatures
from traffic import storage

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(settings: Any, tmp_path: Path) -> Feed:
    return make_feed(settings, tmp_path)


def test_one_signature_publishes_nothing(house: Feed) -> None:
    release = releases.propose(make_real_bundle(), "canary", house.engineer)
    assert house.sign(release, house.engineer) is None
    assert feed.newest("timestamp") is None
    assert not Publication.objects.exists()


def test_two_signatures_publish_the_bundle_with_its_receipt_inside(house: Feed) -> None:
    bundle = make_real_bundle()
    published = house.publish(bundle)
    target = feed.needed("targets").signed.targets["canary/http.onnx"]
    assert target.hashes["sha256"] == published.outcomes.get().release.digest != bundle.digest
    assert target.custom["bundle"] == bundle.metadata["bundle"]
    delivered = read_metadata(storage.get_bytes(published.outcomes.get().release.path))
    assert delivered["bundle"] == bundle.metadata["bundle"]
    assert delivered["latency"]["p99"] == 80.0


def test_two_engineers_are_not_two_roles(house: Feed) -> None:
    other = make_user(Role.ENGINEER)
    make_approver(house, other)
    install_root(house)
    release = releases.propose(make_real_bundle(), "canary", house.engineer)
    assert house.sign(release, house.engineer, other) is None
    assert house.sign(release, house.senior) is not None


def test_nobody_signs_twice_and_nobody_for_another(house: Feed) -> None:
    release = releases.propose(make_real_bundle(), "canary", house.engineer)
    house.sign(release, house.engineer)
    with pytest.raises(ReleaseRefused, match="signed it already"):
        house.sign(release, house.engineer)
    keyid, _values = signatures(release, house.signers[house.senior.username])
    with pytest.raises(ReleaseRefused, match="does not fit"):
        releases.sign(release, keyid, signatures(release, CryptoSigner.generate_ed25519())[1])


def test_a_key_that_no_root_names_signs_nothing(house: Feed) -> None:
    other = make_user(Role.SENIOR)
    make_approver(house, other)
    release = releases.propose(make_real_bundle(), "canary", house.engineer)
    with pytest.raises(ReleaseRefused, match="does not name this key"):
        house.sign(release, other)


def test_a_release_is_stale_once_another_is_published(house: Feed) -> None:
    one, other = (releases.propose(make_real_bundle(threshold), "canary", house.engineer) for threshold in (0.6, 0.8))
    house.sign(one)
    with pytest.raises(ReleaseRefused, match="moved on"):
        house.sign(other, house.senior)


def test_stable_comes_after_canary_and_not_while_a_complaint_is_open(house: Feed) -> None:
    version = make_version(stage="active")
    bundle = make_real_bundle(0.7, version=version)
    with pytest.raises(ReleaseRefused, match="canary"):
        releases.propose(bundle, "stable", house.engineer)
    house.publish(bundle)
    release = releases.propose(bundle, "stable", house.senior)
    assert house.sign(release) is not None


@pytest.mark.parametrize(("threshold", "is_held"), [(0.7, True), (0.8, True), (0.6, False)])
def test_a_hold_speaks_about_its_threshold_and_lower_ones(threshold: float, is_held: bool) -> None:
    report = make_gate_report()
    version, bundle = report.version, make_bundle()
    BundleEntry.objects.create(bundle=bundle, version=version, threshold=0.7, is_silent=False, gate_report=report)
    hold = holds.place(version, threshold, "C-1", "an open complaint")
    assert holds.place(version, threshold, "C-1", "told twice") == hold
    assert holds.against(bundle) == ([hold] if is_held else [])
    assert holds.lift("C-1") == 1
    assert holds.against(bundle) == []


def test_a_hold_does_not_speak_about_silent_entries() -> None:
    bundle = make_real_bundle(0.7)
    holds.place(bundle.entries.get().version, 0.9, "C-1", "an open complaint")
    assert holds.against(bundle) == []


def test_a_customer_has_an_opaque_role_of_his_own(house: Feed) -> None:
    customer = make_customer(name="Synthetic shop")
    bundle = make_real_bundle()
    house.publish(bundle)
    published = house.publish(bundle, "customer", customer)
    customer.refresh_from_db()
    role = feed.needed(customer.feed_role).signed
    assert list(role.targets) == [f"{customer.feed_role}/http.onnx"]
    assert published.customer == customer
    assert "shop" not in feed.newest_file("targets").body.lower()  # type: ignore[union-attr]
    assert feed.needed("snapshot").signed.meta[f"{customer.feed_role}.json"].version == 2


def test_a_receipt_of_the_reference_machine_decides(house: Feed, settings: Any) -> None:
    settings.ETALON_REFERENCE_MACHINE = "test machine"
    bundle = make_real_bundle()
    make_receipt(bundle=bundle, p99=130.0)
    with pytest.raises(ReleaseRefused, match="p99 is 130"):
        releases.propose(bundle, "canary", house.engineer)


def test_the_clock_signs_anew_before_the_timestamp_runs_out(house: Feed) -> None:
    house.publish(make_real_bundle())
    now = timezone.now()
    assert not feed.refresh(now)
    assert feed.refresh(now + timedelta(days=2))
    assert FeedFile.objects.filter(role="timestamp").count() == 2


def test_a_root_needs_its_predecessors_signature(house: Feed) -> None:
    other = CryptoSigner.generate_ed25519()
    with pytest.raises(feed.RootRefused):
        install_root(house, other, keys=(other,))
    assert install_root(house, house.root_signer, other, keys=(other,)).version == 2


def test_a_lost_approver_key_is_replaced_by_a_new_root(house: Feed) -> None:
    house.publish(make_real_bundle())
    house.senior.approver_keys.update(revoked_at=timezone.now())
    make_approver(house, house.senior)
    install_root(house)
    again = releases.propose_again(house.engineer, "a key was lost")
    assert house.sign(again) is None  # no bundle: nothing is published, but the feed is signed by the new keys
    assert tuf.trusts(feed.needed("root"), "targets", feed.needed("targets"))
