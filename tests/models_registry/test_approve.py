"""Signing by the commands that people type: from the first key to a stick; what was changed does not fit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from models_registry.models import Publication, Release
from models_registry.services import releases
from tests.feeds import Feed, make_feed, make_real_bundle

pytestmark = pytest.mark.django_db


def say(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


def test_from_the_first_key_to_a_published_bundle_and_a_stick(client: Client, engineer, senior, tmp_path: Path) -> None:
    keys = {user: tmp_path / f"{user.username}.pem" for user in (engineer, senior)}
    root_key, root = tmp_path / "root.pem", tmp_path / "root.json"
    for path in (*keys.values(), root_key):
        say("feed", "make-key", str(path))
    for user, path in keys.items():
        say("feed", "register-key", user.username, f"{path}.pub")
    say("feed", "prepare-root", str(root), "--root-key", f"{root_key}.pub")
    with pytest.raises(CommandError, match="0 of 1 keys that this root itself names"):
        say("feed", "install-root", str(root))
    say("feed", "sign-root", str(root), "--key", str(root_key))
    assert "version 1 is in force" in say("feed", "install-root", str(root))
    release = releases.propose(make_real_bundle(), "canary", engineer)
    for user, path in keys.items():
        client.force_login(user)
        file = tmp_path / f"release-{user.username}.json"
        file.write_bytes(client.get(reverse("models_registry:download-release", args=[release.pk])).content)
        told = say("approve", str(file), key=path, yes=True)
        assert "canary/http.onnx" in told and "silent" in told
        signed = Path(f"{file}.signed.json").read_bytes()
        answer = client.post(
            reverse("models_registry:sign-release", args=[release.pk]), {"signatures": SimpleUploadedFile("s", signed)}
        )
        assert answer.status_code == 302
    assert Publication.objects.get().channel == "canary"
    assert "targets: version 1" in say("feed", "status")
    written = say("export_feed", channel="canary", out=tmp_path / "stick", days=30)
    assert "valid until" in written
    assert [path.parent.name for path in (tmp_path / "stick").rglob("*.onnx")] == ["canary"]


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    say("feed", "make-key", str(tmp_path / "a.pem"))
    with pytest.raises(CommandError, match="never overwritten"):
        say("feed", "make-key", str(tmp_path / "a.pem"))
    assert (tmp_path / "a.pem").stat().st_mode & 0o077 == 0


@pytest.fixture
def delivery(settings: Any, tmp_path: Path) -> Feed:
    return make_feed(settings, tmp_path)


def test_a_changed_release_file_gives_signatures_that_do_not_fit(delivery: Feed, tmp_path: Path) -> None:
    release = releases.propose(make_real_bundle(), "canary", delivery.engineer)
    value = json.loads(releases.document(release))
    value["parts"]["targets"] = value["parts"]["targets"].replace('"0.7"', '"0.1"')
    file = tmp_path / "release.json"
    file.write_text(json.dumps(value))
    key = tmp_path / "key.pem"
    key.write_bytes(delivery.signers[delivery.engineer.username].private_bytes)
    assert ">= 0.1" in say("approve", str(file), key=key, yes=True)
    keyid, values = releases.read_signatures(Path(f"{file}.signed.json").read_bytes())
    with pytest.raises(releases.ReleaseRefused, match="does not fit"):
        releases.sign(release, keyid, values)
    assert Release.objects.get().signatures.count() == 0


def test_a_feed_signed_anew_says_when_it_is_done(delivery: Feed, tmp_path: Path) -> None:
    release = releases.propose_again(delivery.engineer)
    key = tmp_path / "key.pem"
    told = []
    for user in (delivery.engineer, delivery.senior):
        key.write_bytes(delivery.signers[user.username].private_bytes)
        told.append(say("approve", str(release.pk), key=key, yes=True).splitlines()[-1])
    assert told == ["signed; another signature is needed", "signed; it is in the feed"]


def test_a_token_that_is_not_there_says_so(delivery: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = releases.propose(make_real_bundle(), "canary", delivery.engineer)
    say("feed", "make-key", str(tmp_path / "a.pem"))
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "1234")
    with pytest.raises(CommandError, match="PYKCS11LIB"):
        say("approve", str(release.pk), pkcs11="hsm:2", public=tmp_path / "a.pem.pub", yes=True)
