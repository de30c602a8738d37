"""Export and import of reference rows: the same on both ways, checked line by line, let in by a second person."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tracemalloc
from pathlib import Path

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from accounts.roles import Role
from detection.fingerprint import shape_of
from detection.reference_file import BadField, read_row
from labeling.models import LedgerMail, ReferenceEvent, ReferenceImport, ReferenceRow
from labeling.services import imports, reference, reference_changes, reference_files
from labeling.services.entries import RowFilter
from labeling.services.records import moment
from labeling.services.reference_changes import ChangeRefused
from tests import factories
from tests.factories import make_reference_row, make_row, make_user

pytestmark = pytest.mark.django_db
DAY = 86_400_000_000
DOCS = Path(__file__).resolve().parents[2] / "docs" / "formats" / "reference.md"


def line(number=0, **fields):
    own = {"src_ip": f"10.0.{number // 250}.{number % 250}", "flow_id": number, "uri": f"/{number:x}/a"}
    row = make_row(**own | fields.pop("row", {}))
    return {"subject_key": f"theirs|{number}|0|1", "answer": "positive", "row": row} | fields


def file_of(*lines):
    return io.BytesIO(b"".join(orjson.dumps(one) + b"\n" for one in lines))


def let_in(found, run_jobs):
    partner = Role.SENIOR if found.role == Role.ENGINEER else Role.ENGINEER
    imports.approve(found, make_user(partner))
    run_jobs()
    found.refresh_from_db()
    return found


@pytest.fixture
def detector():
    return factories.make_detector()


def exported(detector, write=reference_files.lines):
    return b"".join(write(detector, RowFilter()))


CARRIED = ("subject_key", "title", "answer", "family", "sensor", "source", "digest", "row", "shape", "host", "day")


def content(data):
    rows = [json.loads(one) for one in data.splitlines()]
    return sorted(({name: row[name] for name in CARRIED} for row in rows), key=lambda row: row["subject_key"])


@pytest.mark.parametrize("write", [reference_files.lines, reference_files.parquet])
def test_what_was_exported_is_imported_equal(write, engineer, run_jobs, detector, monkeypatch):
    monkeypatch.setattr(reference_files, "CHUNK", 2)
    monkeypatch.setattr(imports, "CHUNK", 2)
    ours = factories.make_detector()
    queue = factories.make_queue(detector=ours)
    for number in range(5):
        session = make_row(start=factories.START + number * DAY, uri="/a\u0000\u202e\u00e9'", user_agent=None)
        session |= {"src_ip": f"10.0.0.{number}", "flow_id": number}
        item = factories.make_session_item(queue, session, shape=shape_of(session))
        role = reference.role_by_key(item.shape, session["src_ip"])
        day = moment(session["start"]).date()
        make_reference_row(item=item, row=session, role=role, day=day, title=f"{number}/'", family="SQL injection")
    data = exported(ours, write)
    found = let_in(imports.stage(detector, io.BytesIO(data), "ours", engineer), run_jobs)
    assert (found.state, found.good, found.bad, found.admitted) == ("admitted", 5, 0, 5)
    assert content(exported(detector)) == content(exported(ours))


def test_a_filter_narrows_the_export(engineer_client):
    row = make_reference_row()
    make_reference_row(item=factories.make_session_item(row.item.queue), answer="negative")
    url = reverse("labeling:export-reference", args=[row.detector.name, "jsonl"])
    got = engineer_client.get(url, {"answer": "negative"})
    assert [json.loads(one)["answer"] for one in b"".join(got.streaming_content).splitlines()] == ["negative"]
    assert got["Content-Disposition"].startswith("attachment")
    csv = reverse("labeling:export-reference", args=[row.detector.name, "csv"])
    assert engineer_client.get(csv).status_code == 404


def test_nothing_gates_before_a_second_person_agrees(detector, engineer, senior, run_jobs):
    found = imports.stage(detector, file_of(line(1), line(2)), "theirs.jsonl", engineer)
    assert not ReferenceRow.objects.exists()
    for person in (engineer, make_user(Role.ENGINEER), make_user(Role.ADMINISTRATOR), make_user(Role.EXPERT)):
        with pytest.raises(ChangeRefused):
            imports.approve(found, person)
    imports.approve(found, senior, "seen ten of them")
    run_jobs()
    assert ReferenceRow.objects.gating().count() == 2
    event = ReferenceEvent.objects.get()
    assert (event.kind, event.details["file"], event.details["rows"]) == ("imported", found.digest, 2)
    assert LedgerMail.objects.filter(event=event, collected_at=None).exists()
    assert reference.publish_snapshot(detector).rows == 2


def test_roles_are_drawn_by_this_house(detector, engineer, run_jobs):
    lines = [line(number, role="regression", row={"host": f"h{number}.example"}) for number in range(20)]
    let_in(imports.stage(detector, file_of(*lines), "x", engineer), run_jobs)
    rows = list(ReferenceRow.objects.all())
    assert {row.role for row in rows} == {"regression", "hold-out"}
    assert all(row.role == reference.role_by_key(row.shape, row.host) for row in rows)


def test_the_same_file_and_the_same_rows_come_in_once(detector, engineer, run_jobs):
    first = let_in(imports.stage(detector, file_of(line(1), line(2)), "x", engineer), run_jobs)
    assert imports.stage(detector, file_of(line(1), line(2)), "again", engineer) == first
    again = imports.stage(detector, file_of(line(2), line(1), line(3)), "other order", engineer)
    assert (again.good, again.known) == (1, 2)
    assert let_in(again, run_jobs).admitted == 1
    assert ReferenceRow.objects.count() == 3


def test_a_second_run_of_the_job_goes_on(detector, engineer, senior, run_jobs, monkeypatch):
    monkeypatch.setattr(imports, "CHUNK", 1)
    found = imports.stage(detector, file_of(line(1), line(2), line(3)), "x", engineer)
    rows = [read_row(line(number), "http") for number in (1, 2)]
    imports._admit_chunk(found, rows)  # a worker died after these
    assert let_in(found, run_jobs).admitted == 3
    assert ReferenceRow.objects.count() == 3


def test_look_alikes_do_not_fill_the_set(detector, engineer, run_jobs):
    same = [line(number, row={"uri": "/cgi-bin/x"}) for number in range(6)]
    found = let_in(imports.stage(detector, file_of(*same), "x", engineer), run_jobs)
    assert (found.admitted, found.left_out) == (3, 3)


def test_retired_rows_do_not_come_back(detector, engineer, senior, run_jobs):
    let_in(imports.stage(detector, file_of(line(1)), "x", engineer), run_jobs)
    row = ReferenceRow.objects.get()
    proposal = reference_changes.propose_retirement(row, engineer, reason="mislabelled", note="wrong")
    reference_changes.approve(proposal, senior)
    found = let_in(imports.stage(detector, file_of(line(1), line(2)), "again", engineer), run_jobs)
    assert (found.admitted, found.left_out) == (1, 1)


def test_an_import_never_edits_a_row_that_says_the_opposite(detector, engineer, run_jobs):
    let_in(imports.stage(detector, file_of(line(1)), "x", engineer), run_jobs)
    found = imports.stage(detector, file_of(line(1, answer="negative")), "y", engineer)
    assert (found.good, found.bad) == (0, 1)
    assert "dispute it first" in found.first_errors[0][2]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"answer": "maybe"}, "answer"),
        ({"subject_key": ""}, "subject_key"),
        ({"subject_key": 7}, "subject_key"),
        ({"family": "x" * 65}, "family"),
        ({"family": "SQL injection", "answer": "negative"}, "family"),
        ({"title": "a\0b"}, "title"),
        ({"row": {"status": "200"}}, "row.status"),
        ({"row": {"status": True}}, "row.status"),
        ({"row": {"start": None}}, "row.start"),
        ({"row": {"start": -1}}, "row.start"),
        ({"row": {"protocol": "tls"}}, "row.protocol"),
        ({"row": {"hits": [{"sid": 1}]}}, "row.hits[0]"),
        ({"digest": "0" * 64}, "digest"),
        ({"version": 2}, "version"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_line_names_its_field(wrong, field):
    values = line(1) | {name: value for name, value in wrong.items() if name != "row"}
    values["row"] = {**values["row"], **wrong.get("row", {})}
    with pytest.raises(BadField) as told:
        read_row(values, "http")
    assert told.value.field == field


def test_good_lines_are_kept_and_bad_ones_quarantined_with_their_number(detector, engineer, engineer_client, run_jobs):
    good = orjson.dumps(line(1))
    bad = orjson.dumps(line(2, answer="<script>"))
    data = b"\n".join([good, b"{not json", bad, b"[]", orjson.dumps(line(3)), b""])
    found = let_in(imports.stage(detector, io.BytesIO(data), "mixed", engineer), run_jobs)
    assert (found.good, found.bad, found.admitted) == (2, 3, 2)
    url = reverse("labeling:download-bad-lines", args=[found.pk])
    told = [json.loads(one) for one in b"".join(engineer_client.get(url).streaming_content).splitlines()]
    assert [(one["line"], one["field"]) for one in told] == [(2, ""), (3, "answer"), (4, "")]
    text = engineer_client.get(reverse("labeling:reference-import", args=[found.pk])).text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text.replace("<script src", "")


def test_gzip_is_read_and_a_torn_file_keeps_what_came(detector, engineer):
    whole = gzip.compress(file_of(*(line(number) for number in range(50))).getvalue(), mtime=0)
    assert imports.stage(detector, io.BytesIO(whole), "x.gz", engineer).good == 50
    torn = imports.stage(factories.make_detector(), io.BytesIO(whole[: len(whole) // 2]), "x.gz", engineer)
    assert torn.good < 50
    assert "torn" in torn.first_errors[-1][2]


def test_an_import_is_taken_back_and_may_come_again(detector, engineer, engineer_client):
    found = imports.stage(detector, file_of(line(1)), "x", engineer)
    url = reverse("labeling:decide-import", args=[found.pk])
    assert engineer_client.post(url, {"note": "the wrong file"}).status_code == 302
    found.refresh_from_db()
    assert found.state == "declined"
    assert imports.stage(detector, file_of(line(1)), "x", engineer) != found


def test_people_import_and_approve_on_the_pages(detector, engineer_client, senior_client, run_jobs):
    url = reverse("labeling:reference-imports", args=[detector.name])
    assert engineer_client.post(url).status_code == 400
    sent = SimpleUploadedFile("theirs.jsonl", file_of(line(1)).getvalue())
    page = engineer_client.post(url, {"file": sent}, follow=True)
    assert "It waits for a second person" in page.text
    found = ReferenceImport.objects.get()
    decide = reverse("labeling:decide-import", args=[found.pk])
    assert engineer_client.post(decide, {"approve": "1"}).status_code == 409
    assert "Let them in" in senior_client.get(reverse("labeling:reference-import", args=[found.pk])).text
    assert senior_client.post(decide, {"approve": "1"}).status_code == 302
    run_jobs()
    row = ReferenceRow.objects.get()
    shown = senior_client.get(reverse("labeling:reference-row", args=[row.pk])).text
    assert reverse("labeling:reference-import", args=[found.pk]) in shown
    assert "theirs.jsonl" in senior_client.get(url).text


def test_the_commands_do_the_same(detector, engineer, tmp_path, capsys, run_jobs):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(file_of(line(1), line(2, answer="x")).getvalue())
    call_command("import_reference", detector.name, str(source), "--by", engineer.username)
    assert "line 2: answer" in capsys.readouterr().out
    let_in(ReferenceImport.objects.get(), run_jobs)
    call_command("export_reference", detector.name, str(target))
    assert json.loads(target.read_text())["subject_key"] == "theirs|1|0|1"


def test_the_example_of_the_documentation_is_read(detector, engineer):
    example = DOCS.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    found = imports.stage(detector, io.BytesIO(example.encode()), "docs", engineer)
    assert (found.good, found.bad) == (1, 0), found.first_errors


@pytest.mark.slow
@pytest.mark.parametrize("write", [reference_files.lines, reference_files.parquet])
def test_memory_does_not_grow_with_the_set(detector, engineer, write, tmp_path, capsys):
    """30,000 rows out and in again: at most 48 MiB of Python memory; held at once they would be several times that."""
    row = orjson.dumps(make_row()).decode()
    plain = {"detector": detector, "answer": "positive", "rule_hit": False, "role": "hold-out", "shape": "0" * 64}
    plain |= {"day": factories.SOME_TIME.date(), "protocol": "http", "row": row, "host": "10.0.0.1"}
    for start in range(0, 30_000, 5_000):
        ReferenceRow.objects.bulk_create(
            ReferenceRow(subject_key=f"k|{number}|0|1", fingerprint=f"{number:064x}", **plain)
            for number in range(start, start + 5_000)
        )
    path = tmp_path / "rows"
    tracemalloc.start()
    with path.open("wb") as file:
        for piece in write(detector, RowFilter()):
            file.write(piece)
    out = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    other = factories.make_detector()
    with path.open("rb") as file:
        found = imports.stage(other, file, "rows", engineer)
    back = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{write.__name__}: 30,000 rows, {path.stat().st_size:,} bytes, peak {out:,} out, {back:,} in\n"
        )
    assert found.good + found.bad == 30_000
    assert max(out, back) < 48 << 20
