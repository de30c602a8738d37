"""What the house promises about itself: rooms, templates, locks. A failure names the file that breaks the promise."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from django.apps import apps
from django.db.models import ForeignKey, ManyToManyField
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from tests import factories

ROOT = Path(__file__).resolve().parent.parent
# calls go right
ROOMS = ("config", "triage", "labeling", "models_registry", "traffic", "jobs", "accounts", "detection")  # right: down
CODE = (*ROOMS, "appliance", "benchmarks", "tests")
TEMPLATES = sorted((ROOT / "templates").rglob("*.html")) + sorted(
    path for room in ROOMS for path in (ROOT / room).rglob("templates/**/*.html")
)


def python_files(*folders: str, saying: str = "") -> Iterator[Path]:
    """Yield the files of folders; those whose text has a word, where one is named: not all need to be parsed."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts and re.search(saying, path.read_text(encoding="utf-8")):
                yield path


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# rooms


def test_rooms_import_down_never_up():
    ran = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_contracts_name_every_room():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(contracts["root_packages"]) == {*ROOMS, "appliance"}
    layers = next(contract for contract in contracts["contracts"] if contract["name"].startswith("Rooms"))
    assert tuple(layers["layers"]) == ROOMS


def test_every_foreign_key_points_to_the_same_room_or_down():
    """A key written as a string hides from the import contracts."""
    for model in apps.get_models():
        if model._meta.app_label not in ROOMS:
            continue
        for field in model._meta.get_fields(include_hidden=False):
            if not isinstance(field, ForeignKey | ManyToManyField):
                continue
            target = field.related_model._meta.app_label
            if target in ROOMS:
                up = ROOMS.index(target) < ROOMS.index(model._meta.app_label)
                assert not up, f"{model.__name__}.{field.name} points up, to {target}"


def test_the_appliance_and_what_it_imports_need_neither_django_nor_pandas():
    """Asked of a fresh interpreter: the contracts see imports in the text, this one sees them happen."""
    program = (
        "import sys, pkgutil, importlib, appliance\n"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(appliance.__path__, 'appliance.')"
        " if not m.name.endswith('__main__')]\n"
        "heavy = {'django', 'pandas', 'pyarrow', 'duckdb', 'lightgbm', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'the appliance loads {sorted(heavy)}' if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_lightgbm_is_imported_only_where_it_trains_and_explains():
    allowed = {
        "detection/boosting.py",
        "detection/explain.py",
        "detection/parity.py",  # of training: compares the graph with LightGBM bit for bit
    }
    found = {
        name(path)
        for path in python_files(*ROOMS, "appliance", saying="lightgbm")
        if any(module.partition(".")[0] == "lightgbm" for module in _imports(path))
    }
    assert found <= allowed, found - allowed


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_signals():
    """Facts come up by being collected."""
    for path in python_files(*ROOMS, saying="signals|dispatch"):
        used = [module for module in _imports(path) if ".signals" in module or "dispatch" in module]
        assert not used, f"{name(path)} uses signals: {used}"


def test_no_drawer_for_odds_and_ends():
    for path in python_files(*CODE):
        assert path.stem not in {"utils", "helpers", "common", "misc"}, f"{name(path)}: it deserves a name of its own"


def test_settings_import_no_room():
    assert not [module for module in _imports(ROOT / "config" / "settings.py") if module.partition(".")[0] in ROOMS[1:]]


# pages


INLINE = {
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", re.I),
    "an inline style sheet": re.compile(r"<style\b", re.I),
    "a style attribute": re.compile(r"\sstyle\s*=", re.I),
    "an on… handler": re.compile(r"<[^>]*\son[a-z]+\s*=", re.I),
    "an hx-on handler": re.compile(r"\bhx-on\b", re.I),
    "a javascript: address": re.compile(r"javascript:", re.I),
    "evaluated hx-vals": re.compile(r"hx-(vals|headers)\s*=\s*[\"']js:", re.I),
    "another host": re.compile(r"(src|href|action)\s*=\s*[\"'](https?:)?//", re.I),
    "unescaped output": re.compile(r"\|\s*safe\b|\|\s*safeseq\b|autoescape\s+off", re.I),
}


@pytest.mark.parametrize("promise", INLINE)
def test_templates_hold_no(promise):
    for path in TEMPLATES:
        found = INLINE[promise].search(path.read_text(encoding="utf-8"))
        assert not found, f"{name(path)} holds {promise}: {found.group(0)!r}"


def test_no_code_declares_text_safe():
    """Everything shown comes from attackers: `format_html` builds markup, one function joins what it escaped."""
    joined = []
    for path in python_files(*ROOMS, saying="mark_safe|SafeString|SafeText|__html__"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            word = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if word in {"mark_safe", "SafeString", "SafeText"}:
                joined.append(name(path))
            assert not (isinstance(node, ast.FunctionDef) and node.name == "__html__"), name(path)
    assert joined in ([], ["labeling/wire.py"]), joined


def test_scripts_write_no_markup():
    forbidden = re.compile(
        r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://"
    )
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("static/**/*.js")):
            if "vendor" in path.parts:  # kept as published: the next test
                continue
            found = forbidden.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name(path)}: {found.group(0)}"


def test_vendored_scripts_are_as_published_and_keep_their_licence():
    """A new version of one is read before its digest is written here."""
    published = {
        # idiomorph 0.8.0, dist/idiomorph-ext.min.js
        "config/static/vendor/idiomorph/idiomorph-ext.min.js": (
            "5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e"
        ),
    }
    vendored = [path for room in ROOMS for path in (ROOT / room).rglob("static/vendor/**/*.js")]
    assert {name(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in vendored} == published
    for path in vendored:
        assert (path.parent / "LICENSE").is_file(), name(path)


def test_style_sheets_fetch_nothing():
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("static/**/*.css")):
            assert not re.search(r"@import|https?://|url\(\s*[\"']?//", path.read_text(encoding="utf-8")), name(path)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/", "/health/", "/no-such-page/", "/users/", "/static/none.css", "/language/"]
)
def test_every_answer_carries_the_content_policy(path):
    client = Client()
    client.force_login(factories.make_user(Role.EXPERT))
    policy = client.get(path).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.django_db
def test_an_error_of_ours_carries_the_content_policy_too(monkeypatch):
    def broken(reader):
        raise RuntimeError("on purpose")

    monkeypatch.setattr("triage.views.house.home_services.state", broken)
    client = Client(raise_request_exception=False)
    client.force_login(factories.make_user(Role.EXPERT))
    response = client.get(reverse("triage:home"))
    assert response.status_code == 500
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert b"What was kept" in response.content
    assert b"on purpose" not in response.content


# features are implemented once


def test_features_are_implemented_once():
    """Training, product and explanation all run the feature graph: only its module may build one."""
    builders = {
        name(path)
        for path in python_files(*ROOMS, "appliance", saying="feature_model")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "feature_model"
    }
    assert builders == {"detection/features.py"}


# locks, documents


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_hold_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|@ |--(extra-)?index|find-links|file:", text)
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"^[A-Za-z0-9_.-]+(\[[a-z,]+\])?==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


def test_the_locks_agree():
    def pins(lock: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9_.-]+)==([^ ;\\]+)", (ROOT / lock).read_text(), re.M))

    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert runtime.items() <= development.items()


def test_every_package_that_code_imports_is_locked():
    """A package that somebody once installed by hand is missing on every new machine."""

    def plain(package: str) -> str:
        return re.sub(r"[-_.]+", "-", package).lower()

    locked = {
        plain(package) for package in re.findall(r"^([\w.-]+)==", (ROOT / "requirements-dev.lock").read_text(), re.M)
    }
    ours = {path.name for path in ROOT.iterdir()} | {"mlflow"}  # an extra, tried when it is there
    packages = packages_distributions()
    for path in python_files(*CODE):
        for module in _imported(path) - sys.stdlib_module_names - ours:
            assert {plain(package) for package in packages.get(module, [])} & locked, f"{name(path)}: {module}"


def _imported(path: Path) -> set[str]:
    """Return the first names of all modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_no_other_lock_is_kept():
    """They record the addresses of registries."""
    assert not (ROOT / "uv.lock").exists() and not list(ROOT.glob("pylock*.toml"))


def test_every_dependency_says_what_it_is_for():
    in_list = False
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if re.match(r"(dependencies|dev) = \[", line):
            in_list = True
        elif line == "]":
            in_list = False
        elif in_list and line.strip().startswith('"'):
            assert "# " in line, line


def _fenced() -> list[tuple[str, str, str]]:
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for language, text in re.findall(r"```(\w+)\n(.*?)```", path.read_text(encoding="utf-8"), re.S):
            found.append((name(path), language, text))
    return found


def test_examples_in_the_documents_parse():
    parsers = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads, "python": ast.parse}
    for document, language, text in _fenced():
        if language in parsers:
            try:
                parsers[language](text)
            except Exception as error:
                pytest.fail(f"{document}: an example in {language} does not parse: {error}")


def test_formats_by_example_parse():
    for path in sorted((ROOT / "docs" / "formats").glob("*")) if (ROOT / "docs" / "formats").is_dir() else []:
        if path.suffix in (".yml", ".yaml"):
            assert yaml.safe_load(path.read_text(encoding="utf-8")), name(path)
        elif path.suffix == ".json":
            assert json.loads(path.read_text(encoding="utf-8")) is not None, name(path)


def test_decisions_are_short_and_say_context_decision_consequence():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{n:04}" for n in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40, name(path)
        for heading in ("## Context", "## Decision", "## Consequence"):
            assert heading in text, f"{name(path)} has no {heading!r}"


def test_make_targets_named_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M))
    assert named <= targets, named - targets
    assert {"demo", "test", "test-slow", "check", "bench", "lock"} <= targets
