"""`manage.py demo`: what it prepares, refuses and forgets. That it lives is in test_demo_lives.py."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from config.demo import broker, people, state

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def development(settings):
    settings.DEVELOPMENT = True


@pytest.fixture
def no_broker(monkeypatch):
    monkeypatch.setattr(broker, "prepare", lambda: None)


def demo(*options: str) -> str:
    out = io.StringIO()
    call_command("demo", *options, stdout=out)
    return out.getvalue()


# accounts


@pytest.mark.django_db
def test_makes_one_user_per_role_and_two_experts(no_broker):
    told = demo("--prepare-only")
    assert sorted(User.objects.values_list("role", flat=True)) == sorted(
        ["administrator", "auditor", "engineer", "expert", "expert", "senior", "support"]
    )
    name, password = re.search(r"^  (expert2)\s+(\S+)$", told, re.M).groups()
    assert Client().login(username=name, password=password)


@pytest.mark.django_db
def test_a_second_start_keeps_accounts_and_shows_no_password(no_broker):
    first = demo("--prepare-only")
    before = dict(User.objects.values_list("username", "password"))
    again = demo("--prepare-only")
    assert not set(re.findall(r"\S{16}", first)) & set(re.findall(r"\S{16}", again)) - {"first"}
    assert "first start" in again
    assert dict(User.objects.values_list("username", "password")) == before


@pytest.mark.django_db
def test_people_are_told_by_role_and_nobody_signs_in_as_a_simulated_one():
    made = people.make_people()
    assert {name: user.role for name, user in made.items() if name != "expert2"} == {
        role: role for role in made if role != "expert2"
    }
    simulated = people.make_colleagues()
    assert [user.username for user in simulated] == ["simulated1", "simulated2"]
    assert not any(user.has_usable_password() for user in simulated)
    assert people.make_colleagues() == simulated


# refusals


def test_is_refused_in_production(settings):
    settings.DEVELOPMENT = False
    with pytest.raises(CommandError, match="ETALON_DEVELOPMENT"):
        demo()


def test_a_taken_port_is_said_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = run_demo("--port", str(port), "--state", str(tmp_path / "state"))
    assert told.returncode == 1
    assert told.stderr == f"Port {port} is taken: try `make demo PORT={port + 1}`.\n"


def test_a_second_demo_on_the_same_state_is_refused_in_one_line(tmp_path):
    with state.held(tmp_path):
        told = run_demo("--port", "0", "--state", str(tmp_path))
    assert told.returncode == 1
    assert re.fullmatch(r"A demo runs in \S+: .*\n", told.stderr)


def run_demo(*options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ETALON_DEVELOPMENT": "1"}
    command = [sys.executable, "manage.py", "demo", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


# its folder


def test_the_environment_leads_away_from_a_real_house(tmp_path):
    given = {"DATABASE_URL": "postgres://real", "REDIS_URL": "redis://real", "SECRET_KEY": "real", "PATH": "/bin"}
    told = state.environment(tmp_path, given)
    assert "real" not in " ".join(told.values())
    assert told["PATH"] == "/bin"
    assert told["ETALON_VAR"] == str(tmp_path)
    assert Path(told["TMPDIR"]).is_dir()


def test_every_setting_from_the_environment_is_kept_out_or_harmless():
    """A new setting that leads to a database, a broker or a store must not lead the demo there."""
    read = set(re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", (ROOT / "config" / "settings.py").read_text()))
    harmless = {
        "ETALON_DEVELOPMENT",
        "ETALON_VAR",
        "LOG_LEVEL",
        "JOB_LEASE_SECONDS",
        "JOB_RESEND_SECONDS",
        "JOB_HELPERS",
        "ETALON_SURICATA",
        "ETALON_SURICATA_RULES",
    }
    assert read | {"DATABASE_URL"} == harmless | set(state.FOREIGN)


def test_settings_follow_the_folder(tmp_path):
    code = """
from config import settings
print(settings.DATABASES["default"]["NAME"], settings.ETALON_STORAGE.removeprefix("file://"))
print(settings.CACHES["default"]["LOCATION"], settings.CELERY_BEAT_SCHEDULE_FILENAME)
print(*settings.CELERY_BROKER_TRANSPORT_OPTIONS.values())
"""
    command = [sys.executable, "-c", code]
    told = subprocess.run(
        command, cwd=ROOT, env=state.environment(tmp_path), capture_output=True, text=True, check=True
    )
    paths = told.stdout.split()
    assert len(paths) == 7
    assert all(Path(path).is_relative_to(tmp_path) for path in paths)


def test_reset_removes_the_demos_state_says_so_and_leaves_the_rest(tmp_path):
    for name in ("etalon.sqlite3", "etalon.sqlite3-wal", "opening.json", "clock.db", "mine.txt"):
        (tmp_path / name).write_text("x")
    for name in ("storage", "broker", "cache", "logs", "tmp", "mine"):
        (tmp_path / name / "deep").mkdir(parents=True)
    told = demo("--reset", "--state", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.txt"]
    assert all(f"{tmp_path}/{name} (" in told for name in ("etalon.sqlite3", "storage", "broker"))
    assert "mine" not in told
    assert "nothing to remove" in demo("--reset", "--state", str(tmp_path))
    assert "nothing to remove" in demo("--reset", "--state", str(tmp_path / "never"))


def test_reset_is_refused_while_a_demo_runs(tmp_path):
    (tmp_path / "etalon.sqlite3").write_text("x")
    with state.held(tmp_path), pytest.raises(CommandError, match="A demo runs in"):
        demo("--reset", "--state", str(tmp_path))
    assert (tmp_path / "etalon.sqlite3").exists()


def test_reset_follows_no_link_out_of_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "kept").write_text("x")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "storage").symlink_to(tmp_path / "real")
    demo("--reset", "--state", str(tmp_path / "state"))
    assert (tmp_path / "real" / "kept").exists()


# its broker


def test_torn_tables_of_bindings_are_made_anew_and_messages_stay(tmp_path):
    control, messages = tmp_path / "broker" / "control", tmp_path / "broker" / "messages"
    environment = state.environment(tmp_path)
    prepare = [sys.executable, "-c", "from config.demo import broker; broker.prepare()"]
    subprocess.run(prepare, cwd=ROOT, env=environment, check=True)
    whole = {table.name: table.read_bytes() for table in control.iterdir()}
    assert all(name in b"".join(whole.values()).decode() for name in ("pipeline", "training", "notices"))
    for name, data in whole.items():
        (control / name).write_bytes(data[: len(data) // 2])
    (messages / "1_a.pipeline.msg").write_text("waits")
    subprocess.run(prepare, cwd=ROOT, env=environment, check=True)
    assert {table.name: table.read_bytes() for table in control.iterdir()} == whole
    assert (messages / "1_a.pipeline.msg").exists()


# one turn


def test_one_turn_prints_one_json_object_and_nothing_else(tmp_path):
    code = """
import os, sys, types, django
django.setup()

def turn(tell, *, people):
    tell("turning")
    print("noise")
    os.write(1, b"noise of a library")
    return {"people": sorted(people)}

sys.modules["config.demo.turn"] = types.SimpleNamespace(turn=turn)
from config.management.commands import demo
from django.core.management import call_command
demo.call_command = lambda *words, **options: print("noise of", *words)  # ten seconds of migrations
demo.people.make_people = lambda: ["expert1", "expert2"]
call_command("demo", "--once", "--json", "--state", sys.argv[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(
        command, cwd=ROOT, env=state.environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert "expert2" in json.loads(told.stdout)["people"]
    assert "turning" in told.stderr
    assert "noise of a library" in told.stderr
    assert "noise of migrate" in told.stderr


def test_a_second_turn_in_the_same_folder_is_refused_in_one_line(tmp_path):
    with state.held(tmp_path):
        told = run_demo("--once", "--json", "--state", str(tmp_path))
    assert told.returncode == 1
    assert told.stdout == ""
    assert re.fullmatch(r"CommandError: A demo runs in \S+: .*\n", told.stderr)
