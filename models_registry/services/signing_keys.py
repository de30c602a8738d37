"""Private keys of the feed: the server's two, and files or tokens that people sign with on their own machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlparse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from django.conf import settings
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from models_registry.services.feed_metadata import ONLINE, read


class KeyRefused(ValueError):  # noqa: N818
    """The key cannot be read, or is no key for this; the message says why."""


def make_key(path: Path, password: str = "") -> SSlibKey:
    """Write a new ed25519 key and beside it its public half, `.pub`. An existing file is never overwritten."""
    private = Ed25519PrivateKey.generate()
    cover = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    _write(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cover), 0o600)
    public = private.public_key()
    public_half = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(path.with_name(path.name + ".pub"), public_half, 0o644)
    return SSlibKey.from_crypto(public)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyRefused(f"{path} exists: a key is never overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def public_key(data: bytes) -> SSlibKey:
    """Return the public key of a PEM file."""
    try:
        return SSlibKey.from_crypto(load_pem_public_key(data))
    except Exception as error:  # the library has many for one thing: this is no public key
        raise KeyRefused("this is no public key in PEM form (the file ends with .pub)") from error


def file_signer(path: Path, password: str = "") -> CryptoSigner:
    """Return the signer of a private key file."""
    try:
        private = load_pem_private_key(path.read_bytes(), password.encode() if password else None)
    except OSError as error:
        raise KeyRefused(f"{path}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise KeyRefused(f"{path} is no private key that this password opens") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyRefused(f"{path} is no ed25519 key")
    return CryptoSigner(private)


def token_key(uri: str, ask: Callable[[], str]) -> Key:
    """Return the public half of a key on a PKCS#11 token (`hsm:2?label=...`); where the token hides it, with a PIN."""
    with _of_token():
        from securesystemslib.signer import HSMSigner

        asked = urlparse(uri)
        label = dict(parse_qsl(asked.query)).get("label")
        return HSMSigner.import_(int(asked.path or HSMSigner.SCHEME_KEYID), label, lambda _what: ask())[1]


def token_signer(uri: str, public: Key, pin: str) -> Signer:
    """Return the signer of a key on a PKCS#11 token."""
    with _of_token():
        from securesystemslib.signer import HSMSigner

        return HSMSigner.from_priv_key_uri(uri, public, lambda _what: pin)


def sign_parts(signer: Signer, parts: Mapping[str, str]) -> dict[str, str]:
    """Return a signature, hex, under each of the parts. The first refusal of a token ends it: PINs are counted."""
    with _of_token():
        return {role: signer.sign(read(part).signed_bytes).signature for role, part in parts.items()}


@contextmanager
def _of_token() -> Iterator[None]:
    """Say in one way what libraries, modules and tokens refuse, each with error classes of its own."""
    try:
        yield
    except Exception as error:
        told = str(error) or type(error).__name__  # PinIncorrect, TokenNotPresent: they have no other words
        raise KeyRefused(
            f"the token cannot sign ({told}): it needs the package python-pkcs11, "
            "PYKCS11LIB with the path of its module, an EC key (P-256 or P-384) and the right PIN"
        ) from error


def pem_of(key: Key) -> bytes:
    """Return a public key as the file that is handed in."""
    return str(key.keyval["public"]).encode()


def make_online_keys() -> list[Path]:
    """Make the server's keys where they are missing; return where they lie."""
    paths = [_online_path(name) for name in ONLINE]
    for path in paths:
        if not path.exists():
            make_key(path)
    return paths


def online_signers() -> dict[str, CryptoSigner]:
    """Return the server's signers of snapshot and timestamp."""
    return {name: file_signer(_online_path(name)) for name in ONLINE}


def _online_path(name: str) -> Path:
    return Path(settings.ETALON_FEED_KEYS) / f"{name}.pem"
