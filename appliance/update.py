"""Updates by The Update Framework: from an address or a folder, refused whole or taken whole.

Whatever happens here, scoring goes on with the bundle in force: expired metadata only make the age known."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from appliance.home import Home, InForce
from appliance.network import AddressFetcher, FolderFetcher, folder_url
from appliance.scorer import BundleScorer

LARGEST_BUNDLE = 512 * 2**20  # bytes
PROTOCOLS = ("http", "tls")
LIMITS = UpdaterConfig(max_delegations=4, targets_max_length=5_000_000, snapshot_max_length=2_000_000)


class UpdateRefused(Exception):  # noqa: N818
    """Nothing was changed; `reason` is a short word for machines, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did for one protocol."""

    protocol: str
    bundle: str
    digest: str
    is_new: bool


def update(home: Home, source: str | None = None, *, now: datetime | None = None) -> list[Updated]:
    """Take the bundles that the feed has for this appliance; `source` is an address or a folder (default: the address).

    Raises UpdateRefused, and leaves the bundles in force as they are."""
    config = home.config()
    source = source or f"{home.vendor('name the folder of a stick with --from')}/api/v1/feed"
    with home.locked("update.lock"):
        updater = _updater(home, source, config["token"])
        with _told():
            updater.refresh()
            with _for_this_customer(config["role"], source):
                found = [one for protocol in PROTOCOLS if (one := _take(home, updater, config, protocol, now))]
    if not found:
        raise UpdateRefused("nothing", f"the feed has no bundle for the channel {config['channel']}")
    return found


def rollback(home: Home, protocol: str, now: datetime | None = None) -> InForce:
    """Go back to the bundle before the one in force, until an update brings another."""
    former = home.before(protocol)
    if former is None or not home.path_of(former.digest).exists():
        raise UpdateRefused("nothing", f"there is no earlier {protocol} bundle to go back to")
    back = InForce(former.digest, former.bundle, _iso(now))
    home.switch(protocol, back)
    return back


def stale_hours(home: Home, now: datetime | None = None) -> int:
    """Return for how many hours the feed's newest word has been out of date; 0 while it counts."""
    path = home.metadata / "timestamp.json"
    if not path.exists():
        return 0
    expires: datetime = Metadata.from_file(os.fspath(path)).signed.expires
    return max(0, int(((now or datetime.now(UTC)) - expires.replace(tzinfo=UTC)).total_seconds() // 3600))


def _updater(home: Home, source: str, token: str) -> Updater:
    fetcher: FetcherInterface
    if re.match(r"https?://", source):
        base, fetcher = source, AddressFetcher(token)
    else:
        base, fetcher = folder_url(Path(source)), FolderFetcher(Path(source))
    home.metadata.mkdir(parents=True, exist_ok=True)
    home.bundles.mkdir(parents=True, exist_ok=True)
    root = (home.folder / "root.json").read_bytes()
    with _told():
        return Updater(
            os.fspath(home.metadata),
            f"{base}/metadata/",
            os.fspath(home.bundles),
            f"{base}/targets/",
            fetcher,
            LIMITS,
            bootstrap=root,
        )


def _take(home: Home, updater: Any, config: dict[str, Any], protocol: str, now: datetime | None) -> Updated | None:
    """Look into the customer's own role first, then into the channel."""
    for folder in (config["role"], config["channel"]):
        if target := updater.get_targetinfo(f"{folder}/{protocol}.onnx"):
            return _put_in_force(home, updater, target, config, protocol, now)
    return None


def _put_in_force(
    home: Home, updater: Any, target: Any, config: dict[str, Any], protocol: str, now: datetime | None
) -> Updated:
    digest, told = target.hashes["sha256"], target.custom or {}
    current = home.in_force().get(protocol)
    if current and current.digest == digest:
        return Updated(protocol, current.bundle, digest, is_new=False)
    _refuse_too_new(str(told.get("min_product_version", "")), config.get("product_version", ""))
    if target.length > LARGEST_BUNDLE:
        raise UpdateRefused("size", f"the bundle has {target.length:,} bytes, more than {LARGEST_BUNDLE:,}")
    path = home.path_of(digest)
    part = path.with_suffix(".part")
    updater.download_target(target, os.fspath(part))
    scorer = BundleScorer(part.read_bytes(), digest)  # it must load here, before it is in force
    if scorer.protocol != protocol or scorer.metadata.get("bundle") != told.get("bundle"):
        part.unlink()
        raise UpdateRefused("bundle", "the file is not the bundle that its signed name announces")
    part.replace(path)
    home.switch(protocol, InForce(digest, str(told["bundle"]), _iso(now)))
    return Updated(protocol, str(told["bundle"]), digest, is_new=True)


def _refuse_too_new(needed: str, have: str) -> None:
    if needed and _version(have) < _version(needed):
        raise UpdateRefused("product", f"the bundle needs product version {needed}, this is {have or 'unknown'}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


@contextmanager
def _for_this_customer(role: str, source: str) -> Any:
    """Name what is missing where a stick was written for others: without his role nobody knows what is his alone."""
    try:
        yield
    except exceptions.DownloadHTTPError as error:
        if f".{role}.json is not there" not in str(error):
            raise
        told = f"{source} was not written for this customer: export_feed takes his name by --customer"
        raise UpdateRefused("customer", told) from error


@contextmanager
def _told() -> Any:
    """Say in plain words what the framework found."""
    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise UpdateRefused("expired", f"the feed's word is out of date ({error}); scoring goes on") from error
    except exceptions.BadVersionNumberError as error:
        raise UpdateRefused(
            "older", f"the feed is older than what this appliance has seen, or mixed: {error}"
        ) from error
    except exceptions.UnsignedMetadataError as error:
        raise UpdateRefused("signature", f"not signed by those whom the root names: {error}") from error
    except exceptions.LengthOrHashMismatchError as error:
        raise UpdateRefused("tampered", f"a file is not what its signed description says: {error}") from error
    except exceptions.DownloadLengthMismatchError as error:
        raise UpdateRefused("endless", f"more data than announced: {error}") from error
    except exceptions.RepositoryError as error:
        raise UpdateRefused("metadata", f"the feed's metadata cannot be trusted: {error}") from error
    except exceptions.DownloadError as error:
        raise UpdateRefused("unreachable", f"the feed cannot be read: {error}") from error


def _iso(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
