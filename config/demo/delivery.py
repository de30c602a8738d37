"""Delivery in the demo: throw-away keys, a feed, and bundles that two simulated people sign.

In a real house nobody's private key lies on the server; here all of them do, and `make demo-reset` deletes them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import User
from config.demo.experts import NotAsExpected, Visitor
from models_registry.models import Bundle, Customer, Release, Version
from models_registry.services import feed, holds

FOLDER = "approvers"  # beside the server's own keys


def key_of(user: User) -> Path:
    return Path(settings.ETALON_FEED_KEYS).parent / FOLDER / f"{user.username}.pem"


def make_feed(engineer: User, senior: User) -> None:
    """Make keys and a first root, once."""
    if feed.newest_file("root") is not None:
        return
    root_key = Path(settings.ETALON_FEED_KEYS).parent / FOLDER / "root.pem"
    root = root_key.with_name("root.json")
    for path in (root_key, key_of(engineer), key_of(senior)):
        if not path.exists():
            _command("make-key", str(path))
    for user in (engineer, senior):
        _command("register-key", user.username, f"{key_of(user)}.pub")
    _command("prepare-root", str(root), "--root-key", f"{root_key}.pub")
    _command("sign-root", str(root), "--key", str(root_key))
    _command("install-root", str(root))


def build(models: Sequence[tuple[Version, bool]]) -> Bundle:
    """Build a bundle of versions, each loud or silent. Raises NotAsExpected where the house refuses."""
    config = {
        "models": [
            {
                "registry_name": version.detector.name,
                "version": version.number,
                "threshold": version.threshold,
                "is_silent": "false" if loud else "true",
            }
            for version, loud in models
        ]
    }
    with tempfile.TemporaryDirectory() as folder:
        written, out = Path(folder) / "build_config.yml", io.StringIO()
        written.write_text(yaml.safe_dump(config, sort_keys=False))
        try:
            call_command("build_bundle", written, out=str(Path(folder) / "bundle.onnx"), json=True, stdout=out)
        except CommandError as error:
            raise NotAsExpected(f"build_bundle: {error}") from error
    return Bundle.objects.get(digest=orjson.loads(out.getvalue())["digest"])


def deliver(bundle: Bundle, engineer: Visitor, senior: User) -> str:
    """Bring a bundle to the canary channel and from there to stable; return what came of it."""
    for channel in ("canary", "stable"):
        if channel == "stable" and (held := holds.against(bundle)):
            return f"{bundle} stays on canary: {', '.join(hold.source for hold in held)}"
        if bundle.publications.filter(channel=channel).exists():
            continue
        if not release(bundle, channel, engineer, senior):
            return f"{bundle} was not let onto the {channel} channel"
    return f"{bundle} is on the stable channel, signed by {engineer.user} and {senior}"


def release(bundle: Bundle, channel: str, engineer: Visitor, senior: User, *, customer: Customer | None = None) -> bool:
    """Let two people sign a bundle for a channel, or for a customer alone; say whether it was let onto it."""
    page = engineer.get(reverse("models_registry:bundle", args=[bundle.pk]))
    whom = {"customer": customer.pk} if customer else {}
    engineer.send(page, reverse("models_registry:propose-release", args=[bundle.pk]), channel=channel, **whom)
    proposed = Release.objects.filter(bundle=bundle, channel=channel, customer=customer).first()
    if proposed is None:
        return False
    for user in (engineer.user, senior):
        try:
            call_command("approve", str(proposed.pk), key=key_of(user), yes=True, stdout=io.StringIO())
        except CommandError as error:
            raise NotAsExpected(f"approve {proposed} as {user}: {error}") from error
    return True


def _command(*words: str) -> None:
    call_command("feed", *words, stdout=io.StringIO())
