"""A delivery feed for tests: throw-away keys, a root, two approvers, bundles that may be released."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from accounts.models import Token, User
from accounts.roles import Role
from detection.bundle import build_bundle, read_metadata
from detection.bundle_config import parse_config
from models_registry.models import (
    Appliance,
    ApplianceReport,
    ApproverKey,
    Bundle,
    BundleEntry,
    BundleReceipt,
    Channel,
    Customer,
    FeedFile,
    Publication,
    Release,
    ReleaseSignature,
    Site,
)
from models_registry.services import feed, releases
from models_registry.services import feed_metadata as tuf
from tests.detection.make_models import make_member
from tests.factories import (
    SOME_TIME,
    digest,
    make_bundle,
    make_customer,
    make_gate_report,
    make_token,
    make_user,
    make_version,
)
from traffic import storage

MEASURED = {"p50": 40.0, "p99": 80.0, "cpu": "test machine", "unit": "us"}


@dataclass
class Feed:
    """A feed with the keys that a test may sign with, or lose."""

    root_signer: CryptoSigner
    engineer: User
    senior: User
    signers: dict[str, CryptoSigner] = field(default_factory=dict)  # by user name

    def sign(self, release: Release, *users: User) -> Publication | None:
        published = None
        for user in users or (self.engineer, self.senior):
            published = releases.sign(release, *signatures(release, self.signers[user.username]))
        return published

    def publish(self, bundle: Bundle, channel: str = "canary", customer: Customer | None = None) -> Publication:
        release = releases.propose(bundle, channel, self.engineer, customer=customer)
        published = self.sign(release)
        assert published is not None
        return published


def signatures(release: Release, signer: CryptoSigner) -> tuple[str, dict[str, str]]:
    values = {role: signer.sign(tuf.read(part).signed_bytes).signature for role, part in release.parts.items()}
    return signer.public_key.keyid, values


def make_approver(made: Feed, user: User) -> ApproverKey:
    signer = CryptoSigner.generate_ed25519()
    made.signers[user.username] = signer
    public = tuf.key_values(signer.public_key)
    return ApproverKey.objects.create(user=user, keyid=signer.public_key.keyid, public=public)


def install_root(made: Feed, *signers: CryptoSigner, keys: tuple[CryptoSigner, ...] = ()) -> FeedFile:
    """Install the next root, signed by these keys (default: the feed's root key)."""
    root = feed.prepare_root([one.public_key for one in keys or (made.root_signer,)], 1, SOME_TIME)
    for signer in signers or (made.root_signer,):
        root.sign(signer, append=True)
    return feed.install_root(tuf.text_of(root).encode())


def make_feed(settings: Any, folder: Path) -> Feed:
    settings.ETALON_FEED_KEYS = str(folder / "feed-keys")
    made = Feed(CryptoSigner.generate_ed25519(), make_user(Role.ENGINEER), make_user(Role.SENIOR))
    for user in (made.engineer, made.senior):
        make_approver(made, user)
    install_root(made)
    return made


def make_real_bundle(threshold: float = 0.7, *, is_silent: bool = True, **fields: Any) -> Bundle:
    """Return a one-model bundle with its file; a silent one needs no gate."""
    version = fields.pop("version", None) or make_version()
    name = version.detector.name
    voice = str(is_silent).lower()
    text = (
        f"models:\n- registry_name: {name}\n  version: {version.number}\n"
        f"  threshold: {threshold}\n  is_silent: {voice}\n"
    )
    [entry] = parse_config(text)
    data = build_bundle(
        [make_member(entry, 1)], config_text=text, min_product_version=fields.pop("min_product_version", "")
    )
    sha = hashlib.sha256(data).hexdigest()
    storage.put_bytes(f"bundles/{sha}.onnx", data)
    made = make_bundle(
        **{"digest": sha, "path": f"bundles/{sha}.onnx", "bytes": len(data), "metadata": read_metadata(data)} | fields
    )
    gate = None if is_silent else make_gate_report(version=version, threshold=threshold)
    BundleEntry.objects.create(bundle=made, version=version, threshold=threshold, is_silent=is_silent, gate_report=gate)
    make_receipt(bundle=made)
    return made


def make_receipt(**fields: Any) -> BundleReceipt:
    values = {"measured": MEASURED, "p50": 40.0, "p99": 80.0, "machine": "test machine"}
    return BundleReceipt.objects.create(**{"bundle": fields.get("bundle") or make_bundle()} | values | fields)


def make_feed_file(**fields: Any) -> FeedFile:
    return FeedFile.objects.create(**{"role": "root", "version": 1, "body": "{}", "expires_at": SOME_TIME} | fields)


def make_release(**fields: Any) -> Release:
    by = fields.pop("by", None) or make_user(Role.ENGINEER)
    values = {"bundle": fields.pop("bundle", None) or make_bundle(), "channel": "canary", "parts": {}, "after": 0}
    return Release.objects.create(**{"by": by, "role": by.role} | values | fields)


def make_approver_key(**fields: Any) -> ApproverKey:
    user = fields.pop("user", None) or make_user(Role.ENGINEER)
    return ApproverKey.objects.create(**{"user": user, "keyid": digest(), "public": {}} | fields)


def make_release_signature(**fields: Any) -> ReleaseSignature:
    values = {"release": make_release(), "key": make_approver_key(), "role": "engineer", "values": {}}
    return ReleaseSignature.objects.create(**values | fields)


def make_publication(**fields: Any) -> Publication:
    bundle = fields.pop("bundle", None) or make_bundle()
    return Publication.objects.create(**{"bundle": bundle, "channel": Channel.STABLE} | fields)


def make_site(**fields: Any) -> Site:
    return Site.objects.create(
        **{"customer": fields.pop("customer", None) or make_customer(), "name": "north"} | fields
    )


def make_appliance(**fields: Any) -> Appliance:
    token = fields.pop("token", None) or make_token(Token.Kind.APPLIANCE, "north")[0]
    values = {"site": fields.pop("site", None) or make_site(), "name": digest()[-20:], "public_key": digest()}
    return Appliance.objects.create(**values | {"channel": "stable", "token": token} | fields)


def make_report(**fields: Any) -> ApplianceReport:
    values = {"appliance": fields.pop("appliance", None) or make_appliance(), "digest": digest(), "protocol": "http"}
    return ApplianceReport.objects.create(**values | {"since": SOME_TIME} | fields)
