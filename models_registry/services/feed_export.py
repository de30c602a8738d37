"""The feed as a folder for a stick: one channel, one customer's role if asked, valid for as long as it says."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from models_registry.models import Channel, Customer, FeedFile, Release
from models_registry.services import feed
from traffic import storage

TOP = "targets"


def export(channel: str, out: Path, validity: timedelta, now: datetime, customer: Customer | None = None) -> list[Path]:
    """Write metadata and bundles to a folder; return what was written. It is valid from now on for this long."""
    made = feed.sign_for_stick(now, validity)
    roles = [TOP, *([feed.feed_role(customer)] if customer else [])]
    files = [*FeedFile.objects.filter(role="root"), *made, *(one for role in roles if (one := feed.newest_file(role)))]
    written = [_metadata(out, file) for file in files]
    folders = {channel, *roles[1:]}
    for role in roles:
        newest = feed.newest(role)
        for target in newest.signed.targets.values() if newest else ():
            if target.path.partition("/")[0] in folders:
                written.append(_target(out, target))
    return written


def content(path: str) -> bytes | None:
    """Return the bundle of a target's address, `stable/<sha256>.http.onnx`; None when no release made it."""
    folder, _slash, name = path.rpartition("/")
    release = Release.objects.exclude(outcome=None).filter(digest=name.partition(".")[0]).first()
    if release is None or folder != folder_of(release):
        return None
    return storage.get_bytes(release.path)


def folder_of(release: Release) -> str:
    """Return where the targets of a release lie: its channel, or its customer's role."""
    if release.channel == Channel.CUSTOMER and release.customer is not None:
        return feed.feed_role(release.customer)
    return release.channel


def _metadata(out: Path, file: FeedFile) -> Path:
    name = f"{file.role}.json" if file.role == "timestamp" else f"{file.version}.{file.role}.json"
    path = out / "metadata" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.body, encoding="utf-8")
    return path


def _target(out: Path, target: Any) -> Path:
    digest = target.hashes["sha256"]
    folder, _slash, name = target.path.rpartition("/")
    path = out / "targets" / folder / f"{digest}.{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(storage.get_bytes(f"bundles/{digest}.onnx"))
    return path
