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
def delivery(settings: Any, tmp_path: Path) -> Feed:
    return make_feed(settings, tmp_path)


def test_one_signature_publishes_nothing(delivery: Feed) -> None:
    release = releases.propose(make_real_bundle(), "canary", delivery.engineer)
    assert delivery.sign(release, delivery.engineer) is None
    assert feed.newest("timestamp") is None
    assert not Publication.objects.exists()


def test_two_signatures_publish_the_bundle_with_its_receipt_inside(delivery: Feed) -> None:
    bundle = make_real_bundle()
    published = delivery.publish(bundle)
    target = feed.needed("targets").signed.targets["canary/http.onnx"]
    assert target.hashes["sha256"] == published.outcomes.get().release.digest != bundle.digest
    assert target.custom["bundle"] == bundle.metadata["bundle"]
    delivered = read_metadata(storage.get_bytes(published.outcomes.get().release.path))
    assert delivered["bundle"] == bundle.metadata["bundle"]
    assert delivered["latency"]["p99"] == 80.0


def test_two_engineers_are_not_two_roles(delivery: Feed) -> None:
    other = make_user(Role.ENGINEER)
    make_approver(delivery, other)
    install_root(delivery)
    release = releases.propose(make_real_bundle(), "canary", delivery.engineer)
    assert delivery.sign(release, delivery.engineer, other) is None
    assert delivery.sign(release, delivery.senior) is not None


def test_nobody_signs_twice_and_nobody_for_another(delivery: Feed) -> None:
    release = releases.propose(make_real_bundle(), "canary", delivery.engineer)
    delivery.sign(release, delivery.engineer)
    with pytest.raises(ReleaseRefused, match="signed it already"):
        delivery.sign(release, delivery.engineer)
    keyid, _values = signatures(release, delivery.signers[delivery.senior.username])
    with pytest.raises(ReleaseRefused, match="does not fit"):
        releases.sign(release, keyid, signatures(release, CryptoSigner.generate_ed25519())[1])


def test_a_key_that_no_root_names_signs_nothing(delivery: Feed) -> None:
    other = make_user(Role.SENIOR)
    make_approver(delivery, other)
    release = releases.propose(make_real_bundle(), "canary", delivery.engineer)
    with pytest.raises(ReleaseRefused, match="does not name this key"):
        delivery.sign(release, other)


def test_a_release_is_stale_once_another_is_published(delivery: Feed) -> None:
    one, other = (releases.propose(make_real_bundle(at), "canary", delivery.engineer) for at in (0.6, 0.8))
    delivery.sign(one)
    with pytest.raises(ReleaseRefused, match="moved on"):
        delivery.sign(other, delivery.senior)


def test_stable_comes_after_canary(delivery: Feed) -> None:
    version = make_version(stage="active")
    bundle = make_real_bundle(0.7, version=version)
    with pytest.raises(ReleaseRefused, match="canary"):
        releases.propose(bundle, "stable", delivery.engineer)
    delivery.publish(bundle)
    release = releases.propose(bundle, "stable", delivery.senior)
    assert delivery.sign(release) is not None


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


def test_a_customer_has_an_opaque_role_of_his_own(delivery: Feed) -> None:
    customer = make_customer(name="Synthetic shop")
    bundle = make_real_bundle()
    delivery.publish(bundle)
    published = delivery.publish(bundle, "customer", customer)
    customer.refresh_from_db()
    role = feed.needed(customer.feed_role).signed
    assert list(role.targets) == [f"{customer.feed_role}/http.onnx"]
    assert published.customer == customer
    assert "shop" not in feed.newest_file("targets").body.lower()  # type: ignore[union-attr]
    assert feed.needed("snapshot").signed.meta[f"{customer.feed_role}.json"].version == 2


def test_a_receipt_of_the_reference_machine_decides(delivery: Feed, settings: Any) -> None:
    settings.ETALON_REFERENCE_MACHINE = "test machine"
    bundle = make_real_bundle()
    make_receipt(bundle=bundle, p99=130.0)
    with pytest.raises(ReleaseRefused, match="p99 is 130"):
        releases.propose(bundle, "canary", delivery.engineer)


def test_the_clock_signs_anew_before_the_timestamp_runs_out(delivery: Feed) -> None:
    delivery.publish(make_real_bundle())
    now = timezone.now()
    assert not feed.refresh(now)
    assert feed.refresh(now + timedelta(days=2))
    assert FeedFile.objects.filter(role="timestamp").count() == 2


def test_a_root_needs_its_predecessors_signature(delivery: Feed) -> None:
    other = CryptoSigner.generate_ed25519()
    with pytest.raises(feed.RootRefused):
        install_root(delivery, other, keys=(other,))
    assert install_root(delivery, delivery.root_signer, other, keys=(other,)).version == 2


def test_a_lost_approver_key_is_replaced_by_a_new_root(delivery: Feed) -> None:
    delivery.publish(make_real_bundle())
    delivery.senior.approver_keys.update(revoked_at=timezone.now())
    make_approver(delivery, delivery.senior)
    install_root(delivery)
    again = releases.propose_again(delivery.engineer, "a key was lost")
    assert delivery.sign(again) is None  # no bundle: nothing is published, but the feed is signed by the new keys
    assert tuf.trusts(feed.needed("root"), "targets", feed.needed("targets"))
