"""The upload page: files wait in the store as jobs, are read with progress, can be cancelled, and leave nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from jobs.models import Job, State
from jobs.services import jobs
from tests.traffic.test_send_traffic import lines
from traffic.models import Intake
from traffic.services import uploads

pytestmark = pytest.mark.django_db
URL = "/traffic/upload/"


def upload(client, *bodies, sensor="office", **headers):
    files = [SimpleUploadedFile(f"eve-{number}.json", body) for number, body in enumerate(bodies)]
    return client.post(URL, {"sensor": sensor, "logs": files}, headers=headers)


def left():
    folder = Path(settings.ETALON_STORAGE.removeprefix("file://")) / uploads.FOLDER
    return list(folder.glob("*")) if folder.exists() else []


def test_without_a_script_it_is_a_form_whose_page_lists_what_was_sent(engineer_client, run_jobs):
    answer = upload(engineer_client, lines(), gzip.compress(lines(3)))
    assert (answer.status_code, answer.headers["Location"]) == (302, URL)
    assert "A worker will read it" in engineer_client.get(URL).text
    assert run_jobs() == 2
    page = engineer_client.get(URL).text
    assert "<strong>5 sessions</strong>" in page and "<strong>3 sessions</strong>" in page
    assert {intake.sensor.name for intake in Intake.objects.all()} == {"office"}
    assert not left()


def test_with_a_script_each_file_is_answered_by_a_fragment(engineer_client, run_jobs):
    fragment = upload(engineer_client, lines(), **{"HX-Request": "true"}).text
    assert "<html" not in fragment
    job = Job.objects.get()
    state = reverse("traffic:upload-state", args=[job.pk])
    assert state in fragment
    run_jobs()
    shown = engineer_client.get(state).text
    assert "<strong>5 sessions</strong>" in shown
    assert "hx-trigger" not in shown  # it has ended


def test_the_same_bytes_again_are_told(engineer_client, run_jobs):
    for _ in range(2):
        upload(engineer_client, lines())
        run_jobs()
    assert "taken in before" in engineer_client.get(URL).text
    assert Intake.objects.count() == 1


def test_rejected_lines_lead_to_the_quarantine(engineer_client, run_jobs):
    upload(engineer_client, lines() + b"{torn\n")
    run_jobs()
    assert reverse("traffic:quarantine", args=[Intake.objects.get().pk]) in engineer_client.get(URL).text


def test_a_bomb_is_told_and_nothing_is_kept(engineer_client, run_jobs):
    upload(engineer_client, gzip.compress(lines() + b" " * (30 << 20)))
    run_jobs()
    assert "unpacks to more than" in engineer_client.get(URL).text
    assert not Intake.objects.exists() and not left()


def test_an_upload_that_waits_can_be_cancelled(engineer_client, run_jobs):
    upload(engineer_client, lines())
    answer = engineer_client.post(reverse("traffic:cancel-upload", args=[Job.objects.get().pk]))
    assert answer.status_code == 200
    assert run_jobs() == 0
    assert not Intake.objects.exists()
    assert uploads.discard_uploads() == 1
    assert not left()


def test_an_upload_that_runs_can_be_cancelled_and_keeps_nothing(engineer, engineer_client, run_jobs, monkeypatch):
    monkeypatch.setattr(uploads, "TELL_EVERY", 0)
    upload(engineer_client, lines(20_000))
    progress = jobs.Lease.progress

    def cancel(lease, done, total):
        assert total == Job.objects.get().arguments["size"]
        if done:
            jobs.cancel(lease.job, engineer)
        progress(lease, done, total)

    monkeypatch.setattr(jobs.Lease, "progress", cancel)
    run_jobs()
    job = Job.objects.get()
    assert job.state == State.CANCELLED
    assert 0 < job.done < job.total
    assert not Intake.objects.exists()
    assert not left()


@pytest.mark.parametrize(("sensor", "body"), [("", b"x"), ("two\nlines", b"x"), ("x" * 101, b"x"), ("office", b"")])
def test_what_is_missing_is_told(engineer_client, sensor, body):
    assert upload(engineer_client, body, sensor=sensor).status_code == 400
    assert not Job.objects.exists()
    assert not left()


def test_no_file_is_told(engineer_client):
    assert engineer_client.post(URL, {"sensor": "office"}).status_code == 400


def test_a_full_disk_is_told(engineer_client, monkeypatch):
    monkeypatch.setattr(uploads, "FREE_BYTES", 1 << 60)
    monkeypatch.setattr(uploads, "FREE_SHARE", 1.1)
    answer = upload(engineer_client, lines())
    assert answer.status_code == 400
    assert "nearly full" in answer.text


def test_names_are_text_of_attackers(engineer_client):
    engineer_client.post(URL, {"sensor": "office", "logs": SimpleUploadedFile("<b>x</b>.json", lines())})
    assert "<b>x</b>" not in engineer_client.get(URL).text
    assert "b&gt;.json" in engineer_client.get(URL).text


def test_who_may_not_upload_sends_no_big_file_anywhere(expert):
    """The check of the form's token reads the form, before anybody asks who sent it."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(expert)
    client.get("/")
    big = b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    for url in (URL, "/language/"):
        answer = client.post(url, {"sensor": "office", "logs": SimpleUploadedFile("eve.json", big)})
        assert answer.status_code == 413, url


def test_too_big_a_form_is_refused_before_it_is_kept(engineer_client, monkeypatch):
    monkeypatch.setattr("config.upload_limits.BODY_BYTES", 100)
    assert upload(engineer_client, lines()).status_code == 413
    assert not Job.objects.exists()


def test_the_page_lists_ones_own_uploads(engineer_client, administrator_client):
    upload(engineer_client, lines())
    assert "eve-0.json" not in administrator_client.get(URL).text


def test_a_file_that_is_too_big_is_told_beside_its_name(sign_in, engineer, tmp_path, monkeypatch):
    monkeypatch.setattr("config.upload_limits.BODY_BYTES", 2000)
    (tmp_path / "small.json").write_bytes(lines(1))
    (tmp_path / "big.json").write_bytes(lines(50))
    tab = sign_in(engineer)
    tab.goto(URL)
    tab.set_input_files("input[type=file]", [tmp_path / "big.json", tmp_path / "small.json"])
    tab.get_by_role("button", name="Take in").click()
    tab.locator("[data-sending]:has-text('big.json'):has-text('larger than')").wait_for()
    tab.locator("section[id^=upload-]:has-text('small.json')").wait_for()
    assert Job.objects.count() == 1


def test_a_file_on_its_way_can_be_stopped(sign_in, engineer, tmp_path):
    (tmp_path / "eve.json").write_bytes(lines(1))
    tab = sign_in(engineer)
    tab.goto(URL)
    tab.route("**/traffic/upload/", lambda route: None)  # never answered
    tab.set_input_files("input[type=file]", [tmp_path / "eve.json"])
    tab.get_by_role("button", name="Take in").click()
    tab.locator("[data-sending]").get_by_role("button", name="Cancel").click()
    tab.locator("[data-sending]:has-text('stopped; nothing was kept')").wait_for()


def test_files_are_sent_one_by_one_with_bars(sign_in, engineer, tmp_path, accessible, run_jobs):
    """In a real browser: two files, two fragments, no reload."""
    for number in (1, 2):
        (tmp_path / f"eve-{number}.json").write_bytes(lines(number))
    tab = sign_in(engineer)
    tab.goto(URL)
    tab.set_input_files("input[type=file]", [tmp_path / "eve-1.json", tmp_path / "eve-2.json"])
    tab.evaluate("document.body.dataset.here = 'yes'")
    tab.get_by_role("button", name="Take in").click()
    tab.locator("section[id^=upload-]").nth(1).wait_for()
    assert tab.evaluate("document.body.dataset.here") == "yes"
    assert Job.objects.filter(kind="upload").count() == 2
    accessible(tab)
    run_jobs()
    tab.wait_for_selector("text=2 sessions")
    tab.evaluate(
        "const data = new DataTransfer(); data.items.add(new File(['{}'], 'dropped.json'));"
        "const drop = new DragEvent('drop', {dataTransfer: data, bubbles: true});"
        "document.querySelector('[data-drop]').dispatchEvent(drop)"
    )
    tab.wait_for_selector("section[id^=upload-]:has-text('dropped.json')")
