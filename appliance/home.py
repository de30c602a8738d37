"""The appliance's folder: its keys, what enrolment told, which bundles are in force. All writes are atomic."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

KEPT = 5  # bundles of a protocol that stay on disk: the one in force and those before it


class NotReady(Exception):  # noqa: N818
    """The appliance lacks something; the message says what to do."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A bundle that this appliance runs."""

    digest: str  # of the file
    bundle: str  # id of the bundle, the same whatever receipt lies in the file
    since: str  # ISO 8601, UTC


class Home:
    """The folder of one appliance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def telemetry(self) -> Path:
        return self.folder / "telemetry"

    # What enrolment told

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] | None = self.read("config.json")
        if found is None:
            raise NotReady(f"{self.folder} holds no enrolled appliance: run `python -m appliance enroll` first")
        return found

    def vendor(self, otherwise: str) -> str:
        """Return the vendor's address. NotReady with the other way where none was given: all goes by stick."""
        server = str(self.config().get("server") or "").rstrip("/")
        if not server:
            raise NotReady(f"no address of the vendor is known here: {otherwise}")
        return server

    def key(self) -> Ed25519PrivateKey:
        """Return the appliance's own key, made when first needed. It never leaves this folder."""
        return Ed25519PrivateKey.from_private_bytes(self._secret("key", _new_key))

    def public_key(self) -> str:
        return self.key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def name_key(self) -> bytes:
        """Return the customer's key that hides names in kits. Only the customer can tell what a name stands for."""
        return self._secret("names.key", lambda: secrets.token_bytes(32))

    def next_counter(self) -> int:
        """Return the number of the next message; it only grows, also over restarts."""
        with self.locked("counter.lock"):
            number = int((self.read("counter.json") or {"counter": 0})["counter"]) + 1
            self.write("counter.json", {"counter": number})
        return number

    # Bundles

    def in_force(self, protocol: str | None = None) -> dict[str, InForce]:
        """Return the bundle in force by protocol."""
        found = self.read("in_force.json") or {}
        return {name: InForce(**history[0]) for name, history in found.items() if history and protocol in (None, name)}

    def path_of(self, digest: str) -> Path:
        return self.bundles / f"{digest}.onnx"

    def switch(self, protocol: str, to: InForce) -> None:
        """Put a bundle in force; whoever scores sees the one before or this one, never half of it."""
        with self.locked("in_force.lock"):
            found = self.read("in_force.json") or {}
            kept = [one for one in found.get(protocol, []) if one["digest"] != to.digest]
            found[protocol] = [asdict(to), *kept][:KEPT]
            self.write("in_force.json", found)
        self._discard(found)

    def before(self, protocol: str) -> InForce | None:
        """Return the bundle that was in force before the one now."""
        history = (self.read("in_force.json") or {}).get(protocol, [])
        return InForce(**history[1]) if len(history) > 1 else None

    def _discard(self, found: dict[str, Any]) -> None:
        known = {one["digest"] for history in found.values() for one in history}
        for path in self.bundles.glob("*.onnx"):
            if path.stem not in known:
                path.unlink(missing_ok=True)

    # Files

    def read(self, name: str) -> Any:
        """Return a JSON file of the folder, None when there is none."""
        try:
            return json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, value: Any) -> None:
        write_atomically(self.folder / name, json.dumps(value, indent=1).encode())

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock of the folder against other processes of this appliance."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / name).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _secret(self, name: str, make: Any) -> bytes:
        path = self.folder / name
        if not path.exists():
            write_atomically(path, make(), mode=0o600)
        return path.read_bytes()


def write_atomically(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write a file whole or not at all, also when the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
