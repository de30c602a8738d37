"""Fixtures every test may use: people, files, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import translation

from accounts.models import User
from accounts.roles import Role
from detection.contract import Contract
from detection.training import Progress, TrainedModel, TrainingPolicy, TrainingRows, train, write_training_set
from jobs.models import Job, State
from jobs.services import broker
from models_registry.services import training
from tests import factories
from tests.guards import guard_all
from tests.processes import wait_for_requests

ROOT = Path(__file__).resolve().parent.parent

CHROMIUM_CANDIDATES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "page" in fixtures or "browser" in fixtures:
            item.add_marker(pytest.mark.browser)
        if "shared_data" in fixtures:
            item.add_marker(pytest.mark.shared_data)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest,
    django_db_modify_db_settings_parallel_suffix: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Put SQLite's test database into a file: threads, browsers and other processes see the same one.

    With `--reuse-db` the next run finds it again."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        kept = request.config.getvalue("reuse_db") and request.config.cache
        folder = kept.mkdir(f"database-{worker}") if kept else tmp_path_factory.mktemp("database")
        database.setdefault("TEST", {})["NAME"] = str(folder / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Guard the evidence: a test database comes from the models, in a tenth of the time that the migrations take.

    tests/test_migrations.py sees to it that both make the same database."""
    with django_db_blocker.unblock():
        guard_all(connection)


@pytest.fixture(autouse=True)
def house(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test a store and a cache of its own, passwords that are quick to check, and no broker.

    Jobs wait in the database: `run_jobs` does what workers would."""
    monkeypatch.setattr(broker, "send", lambda *message, **options: None)
    settings.ETALON_STORAGE = f"file://{tmp_path / 'storage'}"
    settings.ETALON_FEED_KEYS = str(tmp_path / "feed-keys")
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(tmp_path)}
    }
    settings.WHITENOISE_AUTOREFRESH = True  # else each client of a test looks up all static files first
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    yield
    cache.clear()
    translation.activate(settings.LANGUAGE_CODE)  # a page leaves its reader's language behind


@pytest.fixture
def run_jobs() -> Callable[[], int]:
    """Run what waits, and what that starts, in this process; return how many jobs ran."""

    def run() -> int:
        current_app.loader.import_default_modules()
        count = 0
        while job := Job.objects.filter(state=State.WAITING).order_by("id").first():
            current_app.tasks[job.task](job.pk)
            count += 1
        return count

    return run


_trained: dict[tuple[object, ...], TrainedModel] = {}


@pytest.fixture(autouse=True)
def train_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests share what they trained: it takes seconds, and the same rows give the same bytes."""

    def remembered(
        rows: TrainingRows,
        contract: Contract,
        policy: TrainingPolicy,
        metadata: Mapping[str, str],
        progress: Progress | None = None,
    ) -> TrainedModel:
        key = (write_training_set(rows), contract, policy, tuple(sorted(metadata.items())))
        if key not in _trained:
            _trained[key] = train(rows, contract, policy, metadata, progress)
        return _trained[key]

    monkeypatch.setattr(training, "train", remembered)


@pytest.fixture
def train_anew(train_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train all the same: for tests of what happens while a model is trained."""
    monkeypatch.setattr(training, "train", train)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real traffic, where there is one."""
    named = os.environ.get("ETALON_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real traffic at {folder}: set ETALON_SHARED_DATA")
    return folder


# people: a user and a signed-in client of each role


def _user_fixture(role: Role) -> Callable[..., User]:
    def user(db: None) -> User:
        return factories.make_user(role)

    user.__doc__ = f"A user who is {role.label}."
    return pytest.fixture(name=role.value)(user)


def _client_fixture(role: Role) -> Callable[..., Client]:
    def signed_in_client(request: pytest.FixtureRequest) -> Client:
        client = Client()
        client.force_login(request.getfixturevalue(role.value))
        return client

    signed_in_client.__doc__ = f"A client signed in as {role.label}."
    return pytest.fixture(name=f"{role.value}_client")(signed_in_client)


expert = _user_fixture(Role.EXPERT)
senior = _user_fixture(Role.SENIOR)
support = _user_fixture(Role.SUPPORT)
engineer = _user_fixture(Role.ENGINEER)
administrator = _user_fixture(Role.ADMINISTRATOR)
auditor = _user_fixture(Role.AUDITOR)
expert_client = _client_fixture(Role.EXPERT)
senior_client = _client_fixture(Role.SENIOR)
support_client = _client_fixture(Role.SUPPORT)
engineer_client = _client_fixture(Role.ENGINEER)
administrator_client = _client_fixture(Role.ADMINISTRATOR)
auditor_client = _client_fixture(Role.AUDITOR)


# a real browser


def chromium_path() -> str | None:
    named = os.environ.get("CHROMIUM_PATH")
    candidates = (named,) if named else CHROMIUM_CANDIDATES
    return next((found for candidate in candidates if (found := shutil.which(candidate))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of a worker."""
    executable = chromium_path()
    if executable is None:
        reason = "no Chromium: install one or set CHROMIUM_PATH"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread; Django takes it for an asynchronous caller and would refuse the ORM
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, live_server: Any) -> Iterator[Any]:
    """A fresh tab on the live server; fails the test on a script error or a breach of the content policy."""
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(10_000)
    complaints: list[str] = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    tab.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    tab.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield tab
    context.close()
    wait_for_requests()
    assert not complaints, complaints


@pytest.fixture
def sign_in(page: Any, live_server: Any) -> Callable[[User], Any]:
    """Sign the tab in as a user, without the sign-in page; return the tab."""

    def signed_in(user: User) -> Any:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[django_settings.SESSION_COOKIE_NAME]
        page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
        return page

    return signed_in


@pytest.fixture
def accessible() -> Callable[[Any], None]:
    """Check a tab with axe; list what it finds, with the elements."""

    def check(tab: Any) -> None:
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(tab).response["violations"]
        told = [f"{v['id']}: {v['help']}: {[node['html'][:160] for node in v['nodes'][:3]]}" for v in found]
        assert not told, "\n".join(told)

    return check
