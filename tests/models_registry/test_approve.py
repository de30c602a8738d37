"""Signing by the command that people type: keys are kept, and what was changed does not fit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_registry.models import Release
from models_registry.services import releases
from tests.feeds import Feed, make_feed, make_real_bundle

pytestmark = pytest.mark.django_db


def say(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    say("feed", "make-key", str(tmp_path / "a.pem"))
    with pytest.raises(CommandError, match="never overwritten"):
        say("feed", "make-key", str(tmp_path / "a.pem"))
    assert (tmp_path / "a.pem").stat().st_mode & 0o077 == 0


@pytest.fixture
def house(settings: Any, tmp_path: Path) -> Feed:
    return make_feed(settings, tmp_path)


def test_a_changed_release_file_gives_signatures_that_do_not_fit(house: Feed, tmp_path: Path) -> None:
    release = releases.propose(make_real_bundle(), "canary", house.engineer)
    value = json.loads(releases.document(release))
    value["parts"]["targets"] = value["parts"]["targets"].replace('"0.7"', '"0.1"')
    file = tmp_path / "release.json"
    file.write_text(json.dumps(value))
    key = tmp_path / "key.pem"
    key.write_bytes(house.signers[house.engineer.username].private_bytes)
    assert ">= 0.1" in say("approve", str(file), key=key, yes=True)
    keyid, values = releases.read_signatures(Path(f"{file}.signed.json").read_bytes())
    with pytest.raises(releases.ReleaseRefused, match="does not fit"):
        releases.sign(release, keyid, values)
    assert Release.objects.get().signatures.count() == 0


def test_a_token_that_is_not_there_says_so(house: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = releases.propose(make_real_bundle(), "canary", house.engineer)
    say("feed", "make-key", str(tmp_path / "a.pem"))
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "1234")
    with pytest.raises(CommandError, match="PyKCS11"):
        say("approve", str(release.pk), pkcs11="hsm:2", public=tmp_path / "a.pem.pub", yes=True)
