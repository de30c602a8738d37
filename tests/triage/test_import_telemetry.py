"""Counts of sites without network, by page and by command; and what a site sent, in its own words."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from tests import factories
from tests.field import cells, hour, make_voice, window
from triage.models import Announcement, TelemetryWindow
from triage.services import served
from triage.services.telemetry import intake, sites

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(db: None) -> list[bytes]:
    voice, version, now = make_voice(), factories.make_version(), datetime.now(UTC)
    return [voice.say(window(cells(version, n, 3, 10), at=hour(now - timedelta(hours=n)))) for n in range(3)]


def signed_in(role: Role, **fields: Any) -> Client:
    client = Client()
    client.force_login(factories.make_user(role, **fields))
    return client


def test_a_file_is_taken_in_on_its_page(lines: list[bytes]) -> None:
    file = SimpleUploadedFile("counts.jsonl", b"\n".join([*lines, b"<script>"]))
    page = signed_in(Role.SUPPORT).post(reverse("triage:import-telemetry"), {"file": file}).content.decode()
    assert TelemetryWindow.objects.filter(channel="file").count() == 3
    assert "line 4: the message is no JSON" in page and "<script>" not in page


def test_a_file_is_taken_in_by_command(lines: list[bytes], tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "counts.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    call_command("import_telemetry", str(path))
    call_command("import_telemetry", str(path))
    assert capsys.readouterr().out.splitlines() == [
        "3 new, 0 corrected, 0 known, 0 refused",
        "0 new, 0 corrected, 3 known, 0 refused",
    ]
    path.write_bytes(b"{}\n")
    with pytest.raises(CommandError, match="refused"):
        call_command("import_telemetry", str(path))


def test_what_a_site_sent_is_shown_in_its_words_to_who_serves_it(lines: list[bytes]) -> None:
    client = signed_in(Role.ENGINEER)
    file = SimpleUploadedFile("counts.jsonl", b"\n".join(lines))
    client.post(reverse("triage:import-telemetry"), {"file": file})
    kept = TelemetryWindow.objects.first()
    assert kept is not None
    address = reverse("triage:site-telemetry", args=[kept.appliance.site_id])
    page = client.get(address).content.decode()
    assert all(json.loads(line)["signature"] in page for line in lines)
    stranger = factories.make_user(Role.SUPPORT, serves_all=False)
    client.force_login(stranger)
    assert client.get(address).status_code == 404
    served.serve(stranger, kept.customer)
    assert client.get(address).status_code == 200


def test_a_site_that_misses_three_days_is_told_of_once() -> None:
    voice, version = make_voice(), factories.make_version()
    intake.take_in(voice.say(window(cells(version, 5, 3, 10))))
    spoke = TelemetryWindow.objects.get().day
    type(voice.appliance).objects.update(enrolled_at=datetime(2026, 1, 1, tzinfo=UTC))

    def on(days: int) -> datetime:
        day: date = spoke + timedelta(days=days)
        return datetime(day.year, day.month, day.day, 7, tzinfo=UTC)

    assert sites.silent(on(3)) == []
    [silent] = sites.silent(on(4))
    assert (silent.site, silent.days, silent.heard, silent.is_blind) == (voice.appliance.site, 3, spoke, False)
    assert [sites.tell_silent(on(n)) for n in (3, 4, 5)] == [0, 1, 0]
    assert Announcement.objects.get().topic == "site.silent"


def test_messages_are_kept_as_long_as_they_can_be_corrected(lines: list[bytes]) -> None:
    intake.import_lines(lines)
    assert intake.discard_old(datetime.now(UTC) + timedelta(days=200)) == 0  # not summed yet
    TelemetryWindow.objects.update(summed_at=datetime.now(UTC))
    assert intake.discard_old(datetime.now(UTC) + timedelta(days=90)) == 0
    assert intake.discard_old(datetime.now(UTC) + timedelta(days=102)) == 3
