"""traffic:quarantine and its download: rejected lines as text that harms nobody, and as received."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from tests.detection import eve
from traffic.models import Intake
from traffic.services import ingest, quarantine
from traffic.services.quarantine import visible

pytestmark = pytest.mark.django_db

HOSTILE = [
    b'<script>alert(1)</script>{"event_type":"http"',
    b"{'\"><img src=x onerror=alert(1)>",
    b"\x1b[31mred\x00\x07\x7f",
    "right\u202eto left \u200b zero".encode(),
    b"\xff\xfe\xe9 no UTF-8",
    b"{{ settings.SECRET_KEY }}{% now %}",
    b"x" * 10_000,
]


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    log = tmp_path / "bad.json"
    log.write_bytes(eve.log([eve.http(), *HOSTILE, eve.http(2)]))
    ingest.ingest_paths([log])
    return Intake.objects.get()


def test_rejected_lines_are_shown_with_number_and_reason(senior_client: Client, intake: Intake) -> None:
    page = senior_client.get(reverse("traffic:quarantine", args=[intake.pk]))
    assert page.status_code == 200
    records = page.context["records"]
    assert [record.line for record in records] == [2, 3, 4, 5, 6, 7, 8]
    assert records[0].reason == "no JSON object"
    assert records[6].is_cut
    assert records[6].size == 10_000


def test_nothing_from_the_wire_becomes_markup(senior_client: Client, intake: Intake) -> None:
    content = senior_client.get(reverse("traffic:quarantine", args=[intake.pk])).content.decode()
    assert "<script>alert" not in content
    assert "<img src=x" not in content
    assert "&lt;script&gt;alert(1)" in content
    assert "{{ settings.SECRET_KEY }}" in content
    for unseen in "\x1b\x00\x07\x7f\u202e\u200b":
        assert unseen not in content
    assert "␛[31mred␀␇␡" in content
    assert "right\\u{202e}to left \\u{200b} zero" in content
    assert "\\xff\\xfe\\xe9 no UTF-8" in content


def test_pages_go_on_behind_a_number(senior_client: Client, intake: Intake) -> None:
    page = senior_client.get(reverse("traffic:quarantine", args=[intake.pk]), {"after": 5})
    assert [record.line for record in page.context["records"]] == [7, 8]
    assert senior_client.get(reverse("traffic:quarantine", args=[intake.pk]), {"after": "x"}).status_code == 400


def test_the_download_is_what_was_received(auditor_client: Client, intake: Intake) -> None:
    answer = auditor_client.get(reverse("traffic:download-quarantine", args=[intake.pk]))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"".join(answer.streaming_content) == b"".join(line + b"\n" for line in HOSTILE)


def test_a_mended_download_can_be_taken_in(tmp_path: Path) -> None:
    torn = eve.line(eve.http(7))[:-1]
    log = tmp_path / "torn.json"
    log.write_bytes(eve.log([eve.http(), torn]))
    ingest.ingest_paths([log])
    mended = tmp_path / "mended.json"
    mended.write_bytes(b"".join(quarantine.received(Intake.objects.get())).replace(b"}\n", b"}}\n"))
    (told,) = ingest.ingest_paths([mended])
    assert (told.sessions, told.rejected) == (1, 0)


def test_support_and_strangers_stay_outside(support_client: Client, client: Client, intake: Intake) -> None:
    for name in ("traffic:quarantine", "traffic:download-quarantine"):
        url = reverse(name, args=[intake.pk])
        assert support_client.get(url).status_code == 403
        assert client.get(url).status_code == 302


def test_a_log_without_rejects_says_so(expert_client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(eve.log([eve.http()]))
    ingest.ingest_paths([tmp_path / "a.json"])
    page = expert_client.get(reverse("traffic:quarantine", args=[Intake.objects.get().pk]))
    assert "Every line of this log was read" in page.content.decode()
    answer = expert_client.get(reverse("traffic:download-quarantine", args=[Intake.objects.get().pk]))
    assert b"".join(answer.streaming_content) == b""


def test_what_is_printable_stays_as_it_is() -> None:
    assert visible("GET /поиск?q=日本 é") == "GET /поиск?q=日本 é"
