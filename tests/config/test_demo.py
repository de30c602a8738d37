"""`manage.py demo`: from nothing to a page in a browser."""

import io
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def development(settings):
    settings.DEVELOPMENT = True


@pytest.mark.django_db
def test_makes_one_user_per_role_and_two_experts(development):
    out = io.StringIO()
    call_command("demo", "--prepare-only", stdout=out)
    assert sorted(User.objects.values_list("role", flat=True)) == sorted(
        ["administrator", "auditor", "engineer", "expert", "expert", "senior", "support"]
    )
    name, password = re.search(r"^  (expert2)\s+(\S+)$", out.getvalue(), re.M).groups()
    assert Client().login(username=name, password=password)
    again = io.StringIO()
    call_command("demo", "--prepare-only", stdout=again)
    assert password not in again.getvalue()
    assert User.objects.count() == 7


def test_is_refused_in_production(settings):
    settings.DEVELOPMENT = False
    with pytest.raises(CommandError, match="ETALON_DEVELOPMENT"):
        call_command("demo")


def test_a_taken_port_is_said_in_one_line(development):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} is taken"):
            call_command("demo", port=port)


def test_serves_pages_and_styles_on_loopback_and_ends_when_told(tmp_path):
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--port", str(port)],
        cwd=ROOT,
        env=os.environ
        | {
            "ETALON_DEVELOPMENT": "1",
            "DATABASE_URL": f"sqlite:///{tmp_path}/demo.sqlite3",
            "ETALON_STORAGE": f"file://{tmp_path}/storage",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        assert b'"healthy": true' in patient_get(f"{address}/health/")
        assert b"Sign in" in patient_get(f"{address}/accounts/login/")
        assert b"--accent" in patient_get(f"{address}/static/etalon/app.css")
    finally:
        server.terminate()
        printed = server.communicate(timeout=60)[0].decode()
    assert f"http://127.0.0.1:{port}/" in printed


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def patient_get(url):
    deadline = time.monotonic() + 60
    while True:
        try:
            return urlopen(url, timeout=30).read()
        except (URLError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
