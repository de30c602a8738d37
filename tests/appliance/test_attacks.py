"""What an appliance says to a feed that lies. Every attack leaves the bundle in force where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from securesystemslib.signer import CryptoSigner

from appliance import enrol
from appliance.home import Home
from appliance.update import UpdateRefused, rollback, stale_hours, update
from models_registry.models import Customer, Publication
from models_registry.services import appliances, feed, feed_export, releases
from models_registry.services import feed_metadata as tuf
from tests.factories import make_customer
from tests.feeds import Feed, install_root, make_approver, make_feed, make_real_bundle, make_site, signatures

pytestmark = pytest.mark.django_db
SERVER = "https://vendor.example"


@dataclass
class Scene:
    house: Feed
    home: Home
    stick: Path
    published: Publication

    def export(self, days: int = 30) -> Path:
        shutil.rmtree(self.stick, ignore_errors=True)
        feed_export.export("canary", self.stick, timedelta(days=days), timezone.now(), self.customer)
        return self.stick

    @property
    def customer(self) -> Any:
        return Customer.objects.get(name="Synthetic shop")

    def in_force(self) -> str:
        return self.home.in_force()["http"].digest

    def metadata(self, role: str) -> Path:
        [path] = (self.stick / "metadata").glob(f"*{role}.json" if role == "timestamp" else f"*.{role}.json")
        return path


def enrolled(folder: Path, site: Any, channel: str = "canary", product_version: str = "5.1") -> Home:
    home = Home(folder)
    code = appliances.make_code(site, channel)
    answer = appliances.enrol(**enrol.request(home, code))
    enrol.accept(home, answer, SERVER, product_version)
    return home


@pytest.fixture
def scene(settings: Any, tmp_path: Path) -> Scene:
    house = make_feed(settings, tmp_path)
    site = make_site(customer=make_customer(name="Synthetic shop"))
    published = house.publish(make_real_bundle(0.6))
    made = Scene(house, enrolled(tmp_path / "home", site), tmp_path / "stick", published)
    update(made.home, str(made.export()))
    return made


def refused(scene: Scene, reason: str) -> str:
    before = scene.in_force()
    with pytest.raises(UpdateRefused) as refusal:
        update(scene.home, str(scene.stick))
    assert refusal.value.reason == reason, refusal.value
    assert scene.in_force() == before
    print(f"  refused ({reason}): {refusal.value}")  # noqa: T201 - `-s -v` prints the table of attacks
    return str(refusal.value)


def test_a_honest_feed_is_taken(scene: Scene) -> None:
    assert scene.in_force() == scene.published.outcomes.get().release.digest
    newer = scene.house.publish(make_real_bundle(0.7))
    [done] = update(scene.home, str(scene.export()))
    assert (done.is_new, done.digest) == (True, newer.outcomes.get().release.digest)
    assert rollback(scene.home, "http").digest == scene.published.outcomes.get().release.digest


def _edited(scene: Scene, role: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = scene.metadata(role)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_forged_target(scene: Scene) -> None:
    """Somebody who holds the server signs a target himself, and every online role after it."""
    scene.house.publish(make_real_bundle(0.7))
    targets = feed.needed("targets")
    targets.signed.version += 1
    targets.signatures.clear()
    for _number in range(2):
        targets.sign(CryptoSigner.generate_ed25519(), append=True)
    feed.publish_parts({"targets": targets})
    scene.export()
    assert "not signed by those" in refused(scene, "signature")


def test_one_approver_only(scene: Scene) -> None:
    targets = tuf.next_targets(feed.needed("targets"), feed.approver_keys().values(), [], timezone.now())
    tuf.sign(targets, scene.house.signers[scene.house.engineer.username])
    feed.publish_parts({"targets": targets})
    scene.export()
    assert "1/2 keys" in refused(scene, "signature")


@pytest.mark.parametrize("where", [0, 1000, -1])
def test_a_flipped_byte(scene: Scene, where: int) -> None:
    newer = scene.house.publish(make_real_bundle(0.7)).outcomes.get().release.digest
    [path] = (scene.export() / "targets" / "canary").glob(f"{newer}.*")
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    refused(scene, "tampered")


def test_old_metadata_replayed(scene: Scene) -> None:
    old = scene.stick.with_name("old")
    shutil.copytree(scene.stick, old)
    scene.house.publish(make_real_bundle(0.7))
    update(scene.home, str(scene.export()))
    shutil.rmtree(scene.stick)
    old.rename(scene.stick)
    refused(scene, "older")


def test_expired_metadata_leave_the_bundle_in_force_and_tell_their_age(scene: Scene, time_machine: Any) -> None:
    time_machine.move_to(datetime.now(UTC) + timedelta(days=32))
    assert "scoring goes on" in refused(scene, "expired")
    assert stale_hours(scene.home) == 48


def test_a_mixed_snapshot(scene: Scene) -> None:
    """New targets beside an old snapshot: each is signed, together they never were."""
    old = scene.metadata("snapshot").read_text()
    name = scene.metadata("snapshot").name
    scene.house.publish(make_real_bundle(0.7))
    scene.export()
    newer = scene.metadata("snapshot")
    newer.write_text(old)
    assert name != newer.name
    refused(scene, "tampered")


def test_endless_data(scene: Scene) -> None:
    newer = scene.house.publish(make_real_bundle(0.7)).outcomes.get().release.digest
    [path] = (scene.export() / "targets" / "canary").glob(f"{newer}.*")
    with path.open("ab") as file:
        file.truncate(64 * 2**20)
    assert "more data than announced" in refused(scene, "endless")
    with scene.metadata("timestamp").open("ab") as file:
        file.truncate(64 * 2**20)
    refused(scene, "endless")


def test_another_customers_role(scene: Scene) -> None:
    """Both are signed by the same approvers: what the other gets lies under a name that this one never asks for."""
    other = make_customer(name="Synthetic clinic")
    scene.house.publish(scene.published.bundle, "customer", other)
    scene.house.publish(scene.published.bundle, "customer", scene.customer)
    theirs = make_real_bundle(0.9)
    scene.house.publish(theirs)
    for _number in range(2):  # so that both roles have the same number
        scene.house.publish(theirs, "customer", other)
    scene.house.publish(scene.published.bundle, "customer", scene.customer)
    scene.export()
    assert not list(scene.stick.rglob(f"*{other.feed_role}*"))
    mine = scene.metadata(scene.customer.feed_role)
    other.refresh_from_db()
    mine.write_text(feed.newest_file(other.feed_role).body)  # type: ignore[union-attr]
    [done] = update(scene.home, str(scene.stick))
    assert (done.is_new, done.bundle) == (True, theirs.metadata["bundle"])  # of the channel it listens to


def test_a_bundle_of_his_own_comes_before_the_channels(scene: Scene) -> None:
    own = scene.house.publish(scene.published.bundle, "customer", scene.customer)
    assert own.customer == scene.customer
    special = make_real_bundle(0.9)
    scene.house.publish(special)
    scene.house.publish(special, "customer", scene.customer)
    scene.house.publish(make_real_bundle(0.8))
    [done] = update(scene.home, str(scene.export()))
    assert done.bundle == special.metadata["bundle"]


def own_bundle(scene: Scene) -> Publication:
    """Give the customer a bundle of his own, and the channel a later one that does not reach him."""
    special = make_real_bundle(0.9)
    scene.house.publish(special)
    own = scene.house.publish(special, "customer", scene.customer)
    later = scene.house.publish(make_real_bundle(0.8))
    [done] = update(scene.home, str(scene.export()))
    assert (done.bundle, own.pk < later.pk) == (special.metadata["bundle"], True)
    return later


def test_taking_a_bundle_back_with_one_signer_only(scene: Scene) -> None:
    own_bundle(scene)
    house = scene.house
    release = releases.propose_return(scene.customer, "http", house.engineer)
    assert house.sign(release, house.engineer) is None
    update(scene.home, str(scene.export()))  # nothing of it is in the feed
    keyid, values = signatures(release, house.signers[house.engineer.username])
    feed.publish_parts({role: tuf.signed_with(part, {keyid: values[role]}) for role, part in release.parts.items()})
    scene.export()
    assert "1/2 keys" in refused(scene, "signature")


def test_a_bundle_that_was_taken_back_is_replayed(scene: Scene) -> None:
    """The role that still names it is signed by both; it is older than what the appliance has seen."""
    later = own_bundle(scene)
    before = scene.stick.with_name("before")
    shutil.copytree(scene.stick, before)
    old = scene.metadata(scene.customer.feed_role).read_text()
    scene.house.sign(releases.propose_return(scene.customer, "http", scene.house.senior))
    [done] = update(scene.home, str(scene.export()))
    assert done.bundle == later.bundle.metadata["bundle"]  # by stick, what the channel has
    scene.metadata(scene.customer.feed_role).write_text(old)  # the old role under the new name
    (scene.home.metadata / f"{scene.customer.feed_role}.json").unlink()  # or it would look there
    assert "older" in refused(scene, "older")
    shutil.rmtree(scene.stick)
    before.rename(scene.stick)  # the whole feed of before
    refused(scene, "older")


def test_a_server_that_signs_the_old_role_in_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the online keys writes a snapshot that names the role's former version."""
    own_bundle(scene)
    role, version = scene.customer.feed_role, feed.version
    scene.house.sign(releases.propose_return(scene.customer, "http", scene.house.engineer))
    update(scene.home, str(scene.export()))
    monkeypatch.setattr(feed, "version", lambda name: version(name) - (name == role))
    feed.publish_parts({})
    scene.export()
    assert "older" in refused(scene, "older")


def test_a_stick_written_for_others_says_so(scene: Scene) -> None:
    own_bundle(scene)
    scene.house.sign(releases.propose_return(scene.customer, "http", scene.house.engineer))
    scene.export()
    scene.metadata(scene.customer.feed_role).unlink()
    assert "--customer" in refused(scene, "customer")


def test_a_lost_key_is_replaced_by_a_new_root(scene: Scene) -> None:
    house = scene.house
    house.senior.approver_keys.update(revoked_at=timezone.now())
    make_approver(house, house.senior)
    install_root(house)
    scene.export()
    refused(scene, "signature")  # what the lost key helped to sign counts no more
    house.sign(releases.propose_again(house.engineer))
    update(scene.home, str(scene.export()))


def test_a_stolen_root_key_alone_rotates_nothing(scene: Scene) -> None:
    thief = CryptoSigner.generate_ed25519()
    root = feed.prepare_root([thief.public_key], 1, timezone.now())
    root.sign(thief)
    scene.export()
    (scene.stick / "metadata" / "2.root.json").write_text(tuf.text_of(root))
    refused(scene, "signature")


def test_a_bundle_for_a_newer_product(scene: Scene) -> None:
    scene.house.publish(make_real_bundle(0.7, min_product_version="5.10"))
    scene.export()
    assert "needs product version 5.10, this is 5.1" in refused(scene, "product")


def test_a_root_that_the_code_does_not_name(scene: Scene, tmp_path: Path) -> None:
    home = Home(tmp_path / "other")
    code = appliances.make_code(make_site(name="south"), "stable")
    answer = appliances.enrol(**enrol.request(home, code))
    with pytest.raises(enrol.EnrolmentFailed, match="in between"):
        enrol.accept(home, answer | {"root": answer["root"] + " "}, SERVER, "5.1")
