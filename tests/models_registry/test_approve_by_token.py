"""Signing by a key that nobody can copy: on a PKCS#11 token, played by SoftHSM."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from models_registry.models import Publication
from models_registry.services import releases
from tests.feeds import make_real_bundle

MODULES = (Path("/usr/lib/softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"))
MODULE = next((path for path in MODULES if path.exists()), None)
URI, PIN = "hsm:2?label=alice", "1234"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(importlib.util.find_spec("pkcs11") is None, reason="python-pkcs11 is not installed"),
    pytest.mark.skipif(MODULE is None or not shutil.which("softhsm2-util"), reason="SoftHSM is not installed"),
]


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A token with an EC key. Its module reads its settings once per process: there is one test."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("PYKCS11LIB", str(MODULE))
    words = ["softhsm2-util", "--init-token", "--free", "--label", "alice", "--pin", PIN, "--so-pin", "5678"]
    subprocess.run(words, check=True, capture_output=True)
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    found = pkcs11.lib(str(MODULE)).get_token(token_label="alice")
    with found.open(rw=True, user_pin=PIN) as session:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        domain = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        domain.generate_keypair(id=b"\x02", label="alice", store=True)
    return found


def say(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


def test_a_token_signs_a_root_and_a_release_and_a_wrong_pin_nothing(
    token: Any, engineer: User, senior: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = {"typed": PIN}
    monkeypatch.setattr("getpass.getpass", lambda _prompt: pin["typed"])
    say("feed", "read-token", URI, str(tmp_path / "alice.pub"))
    say("feed", "register-key", engineer.username, str(tmp_path / "alice.pub"))
    say("feed", "make-key", str(tmp_path / "bob.pem"))
    say("feed", "register-key", senior.username, str(tmp_path / "bob.pem.pub"))
    root = str(tmp_path / "root.json")
    say("feed", "prepare-root", root, "--root-key", str(tmp_path / "alice.pub"))
    assert "1 signatures" in say("feed", "sign-root", root, "--pkcs11", URI)
    say("feed", "install-root", root)
    release = releases.propose(make_real_bundle(), "canary", engineer)
    pin["typed"] = "0000"
    with pytest.raises(CommandError, match="PinIncorrect"):
        say("approve", str(release.pk), pkcs11=URI, yes=True)
    assert release.signatures.count() == 0
    pin["typed"] = PIN
    file = tmp_path / "release.json"
    file.write_bytes(releases.document(release))
    say("approve", str(file), pkcs11=URI, public=tmp_path / "alice.pub", yes=True)
    releases.sign(release, *releases.read_signatures(Path(f"{file}.signed.json").read_bytes()))
    assert "published" in say("approve", str(release.pk), key=tmp_path / "bob.pem", yes=True)
    assert Publication.objects.get().channel == "canary"
