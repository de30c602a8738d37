"""/health/: machines ask it whether this house can work."""

import pytest
from django.urls import reverse

from triage.services import health

pytestmark = pytest.mark.django_db


def test_says_that_database_storage_and_cache_answer_to_strangers_too(client):
    answer = client.get(reverse("triage:health"))
    assert answer.status_code == 200
    assert answer.json() == {
        "healthy": True,
        "database": "ok",
        "storage": "ok",
        "cache": "ok",
        "streams": "ok",
        "ledger": "unknown",
    }
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("part", ["database", "storage", "cache"])
def test_says_503_and_which_part_is_gone_and_not_why(client, monkeypatch, part):
    def broken():
        raise OSError("password=hunter2 at /secret/path")

    monkeypatch.setitem(health.PARTS, part, broken)
    answer = client.get(reverse("triage:health"))
    assert answer.status_code == 503
    assert answer.json()["healthy"] is False
    assert answer.json()[part] == "unreachable"
    assert "hunter2" not in answer.text


def test_a_store_that_cannot_be_written_is_found(client, settings, tmp_path):
    (tmp_path / "file").write_text("no folder")
    settings.ETALON_STORAGE = f"file://{tmp_path / 'file'}"
    assert client.get(reverse("triage:health")).json()["storage"] == "unreachable"


def test_leaves_nothing_in_the_store(client, tmp_path):
    client.get(reverse("triage:health"))
    assert not [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]


def test_a_cache_that_forgets_is_found(client, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert client.get(reverse("triage:health")).json()["cache"] == "unreachable"
