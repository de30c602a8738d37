"""Production refuses unsafe defaults. Asked of a fresh interpreter: settings are read once per process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GOOD = {"SECRET_KEY": "k" * 40, "ALLOWED_HOSTS": "etalon.example"}
OURS = (
    "DEBUG",
    "DJANGO",
    "SECRET",
    "ALLOWED",
    "DATABASE_URL",
    "REDIS_URL",
    "ETALON",
    "STATIC_ROOT",
    "BEHIND",
    "CSRF",
    "SECURE",
    "CELERY",
    "JOB_",
)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def read(expression: str, **environment: str) -> object:
    ran = run(f"import json; from config import settings as s; print(json.dumps({expression}))", **environment)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "short", "ALLOWED_HOSTS": "a"}, "at least 32 characters"),
        ({"SECRET_KEY": "development-only-not-a-secret", "ALLOWED_HOSTS": "a"}, "must be a secret"),
        ({"SECRET_KEY": "k" * 40}, "ALLOWED_HOSTS is not set"),
        (GOOD | {"ALLOWED_HOSTS": "*"}, "name the hosts"),
        (GOOD | {"DEBUG": "1"}, "needs ETALON_DEVELOPMENT=1"),
        (GOOD | {"ETALON_STORAGE": "/var/lib/etalon"}, "has no scheme"),
        (GOOD | {"DATABASE_URL": "mysql://localhost/x"}, "use sqlite:/// or postgres://"),
        (GOOD | {"CELERY_BROKER_URL": "memory://"}, "use redis://HOST:PORT/N or filesystem://"),
        (GOOD | {"JOB_LEASE_SECONDS": "0"}, "JOB_LEASE_SECONDS"),
    ],
)
def test_production_refuses(environment, complaint):
    ran = run("import config.settings", **environment)
    assert ran.returncode != 0
    assert "ImproperlyConfigured" in ran.stderr
    assert complaint in ran.stderr


def test_production_starts_with_safe_values():
    assert read("[s.DEBUG, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT]", **GOOD) == [
        False,
        True,
        True,
        True,
    ]
    assert read("s.SECURE_HSTS_SECONDS", **GOOD) >= 31_536_000
    assert "Manifest" in read("s.STORAGES['staticfiles']['BACKEND']", **GOOD)


def test_a_proxy_is_trusted_only_when_named():
    assert read("s.SECURE_PROXY_SSL_HEADER", **GOOD) is None
    assert read("s.SECURE_PROXY_SSL_HEADER[0]", **GOOD, BEHIND_PROXY="1") == "HTTP_X_FORWARDED_PROTO"


def test_the_deployment_check_of_django_is_content():
    ran = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith(OURS)} | GOOD | {"SECRET_KEY": _varied_key()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def _varied_key() -> str:
    return "".join(chr(ord("a") + number % 26) + str(number) for number in range(40))


def test_sqlite_is_tuned():
    options = read("s.DATABASES['default']['OPTIONS']", ETALON_DEVELOPMENT="1")
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] == 20
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "wal_autocheckpoint=16000"):
        assert pragma in options["init_command"]


def test_jobs_go_through_redis_where_there_is_one():
    options = (
        "[s.CELERY_BROKER_URL, s.CELERY_BROKER_TRANSPORT_OPTIONS, s.CELERY_TASK_TIME_LIMIT, s.CELERY_RESULT_BACKEND]"
    )
    url, transport, longest, results = read(options, **GOOD, REDIS_URL="redis://10.0.0.1:6379/0")
    assert url == "redis://10.0.0.1:6379/0"
    assert transport["visibility_timeout"] > longest  # or Redis hands a running task to a second worker
    assert (transport["unacked_restore_interval"], transport["unacked_restore_throttle"]) == (2, 1)
    assert results == "django-db"


def test_without_redis_messages_are_files(tmp_path):
    url, transport = read(
        "[s.CELERY_BROKER_URL, s.CELERY_BROKER_TRANSPORT_OPTIONS]", **GOOD, CELERY_BROKER_FOLDER=str(tmp_path)
    )
    assert url == "filesystem://"
    assert transport["data_folder_in"] == transport["data_folder_out"] == str(tmp_path / "messages")
    assert (tmp_path / "messages").is_dir()


def test_a_killed_worker_gives_its_task_back():
    late = "[s.CELERY_TASK_ACKS_LATE, s.CELERY_TASK_REJECT_ON_WORKER_LOST, s.CELERY_WORKER_PREFETCH_MULTIPLIER]"
    assert read(late, **GOOD) == [True, True, 1]


def test_a_socket_of_postgresql_is_understood():
    host = read("s.DATABASES['default']['HOST']", **GOOD, DATABASE_URL="postgres://u@%2Frun%2Fpostgresql/etalon")
    assert host == "/run/postgresql"


def test_production_logs_json_without_secrets():
    program = (
        "import logging.config, logging, config.settings as s\n"
        "logging.config.dictConfig(s.LOGGING)\n"
        "def f(password):\n"
        "    raise ValueError('no')\n"
        "try:\n"
        "    f('hunter2')\n"
        "except ValueError:\n"
        "    log = logging.getLogger('django.request')\n"
        "    log.exception('failed %s', 'here', extra={'request': {'cookie': 'c00kie'}})\n"
    )
    ran = run(program, **GOOD)
    line = json.loads(ran.stderr.strip().splitlines()[-1])
    assert line["event"] == "failed here"
    assert line["level"] == "error"
    assert line["exception"]
    assert "hunter2" not in ran.stderr
    assert "c00kie" not in ran.stderr


@pytest.mark.skipif("REDIS_URL" not in os.environ, reason="no Redis: set REDIS_URL")
def test_the_cache_works_on_redis():
    program = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings'; django.setup()\n"
        "from django.core.cache import cache\n"
        "cache.set('etalon-test', 'kept', 10); assert cache.get('etalon-test') == 'kept'; cache.delete('etalon-test')\n"
    )
    ran = run(program, **GOOD, REDIS_URL=os.environ["REDIS_URL"])
    assert ran.returncode == 0, ran.stderr


def test_suggestions_are_off_until_a_safe_address_and_a_model_are_named():
    told = "[s.ETALON_SUGGESTIONS_URL, s.ETALON_SUGGESTIONS_ADDRESSES]"
    assert read(told, **GOOD) == ["", False]
    away = GOOD | {"ETALON_SUGGESTIONS_URL": "http://models.example/v1", "ETALON_SUGGESTIONS_MODEL": "m"}
    assert "anybody on the way could read it" in run("from config import settings", **away).stderr
    unnamed = GOOD | {"ETALON_SUGGESTIONS_URL": "https://models.example/v1"}
    assert "ETALON_SUGGESTIONS_MODEL is not set" in run("from config import settings", **unnamed).stderr
