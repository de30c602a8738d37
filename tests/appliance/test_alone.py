"""The appliance lives on its own few packages: nothing of the house's heavy ones is loaded, nor needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import numpy as np
import pytest

from appliance.unit import unit, unit_of
from detection.contract import HTTP_1, encode, session_columns
from detection.scoring import features
from detection.sources.suricata import session_row
from tests.appliance import homes

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = ROOT / "packaging" / "appliance"
NEVER = {"duckdb", "lightgbm", "pandas", "pyarrow", "django", "rest_framework", "celery", "scipy", "sklearn", "onnx"}
PROGRAM = """
import sys
class Closed:
    def find_spec(self, name, path=None, target=None):
        parent, _, _ = name.rpartition(".")
        if name.partition(".")[0] in {closed} or parent.startswith("detection") and parent not in {packages}:
            raise ModuleNotFoundError("not a package of the appliance: " + name)
sys.meta_path.insert(0, Closed())
from appliance.__main__ import main
sys.exit(main({arguments}))
"""


def own_packages() -> set[str]:
    """Return the packages that the appliance declares, with what those need."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    found: set[str] = set()
    waiting = [_name(text) for text in declared] + ["cryptography"]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            waiting += [_name(text) for text in requires(name) or () if "extra ==" not in text]
        except PackageNotFoundError:  # of another platform
            continue
    return found


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def alone(*arguments: str) -> str:
    """Run the appliance where every package that it does not declare is closed; return what it printed."""
    own = own_packages()
    closed = {
        module
        for module, owners in packages_distributions().items()
        if not {owner.lower().replace("_", "-") for owner in owners} & own and not module.startswith("_")
    }
    assert closed >= NEVER
    packages = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    program = PROGRAM.format(closed=sorted(closed), packages=packages, arguments=list(arguments))
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_scoring_loads_only_the_packages_it_declares(tmp_path: Path) -> None:
    home = homes.make_home(tmp_path / "home")
    (tmp_path / "eve.json").write_bytes(b"\n".join(homes.lines(5)) + b"\n")
    out = tmp_path / "out.json"
    alone("--home", str(home.folder), "score", "--in", str(tmp_path / "eve.json"), "--out", str(out))
    assert len(out.read_bytes().splitlines()) == 5


def test_a_kit_needs_no_more_and_its_features_are_those_of_the_pipeline(tmp_path: Path) -> None:
    home = homes.make_home(tmp_path / "home")
    record = homes.record(9)
    (tmp_path / "record.json").write_text(json.dumps(record))
    bundle = home.path_of(home.in_force()["http"].digest)
    kit = json.loads(alone("kit", "--bundle", str(bundle), "--record", str(tmp_path / "record.json")))
    expected = features(HTTP_1, encode(HTTP_1, session_columns([session_row(record)])))[0]
    told = np.array([np.nan if value is None else value for value in kit["features"]], dtype=np.float32)
    assert np.array_equal(told, expected, equal_nan=True)


def test_its_unit_gives_it_few_rights() -> None:
    text = unit(Path("/var/lib/etalon"), "/var/log/suricata/eve.json", "/var/log/etalon/out.json", "etalon", "/opt/py")
    assert "ExecStart=/opt/py -m appliance --home /var/lib/etalon score --in" in text
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "MemoryMax=1G"):
        assert line in text
    assert "ReadWritePaths=/var/lib/etalon /var/log/etalon" in text
    text = unit_of("telemetry", 3600, Path("/var/lib/etalon"), "etalon", "/opt/py")
    assert "ExecStart=/opt/py -m appliance --home /var/lib/etalon telemetry --every 3600\n" in text
    assert "ReadWritePaths=/var/lib/etalon\n" in text


def pip(python: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "pip", *words, "--quiet", "--retries", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_it_installs_alone_into_an_empty_environment(tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    built = shutil.ignore_patterns("build", "*.egg-info")
    for folder in ("appliance", "detection", "packaging"):  # a build writes beside its source
        shutil.copytree(ROOT / folder, tmp_path / "source" / folder, ignore=built)
    told = pip(python, "install", str(tmp_path / "source" / PROJECT.relative_to(ROOT)))
    if told.returncode and pip(python, "download", "--no-deps", "--dest", str(tmp_path), "setuptools").returncode:
        pytest.skip("its packages cannot be installed: no package index can be reached")
    assert told.returncode == 0, told.stderr
    home = homes.make_home(tmp_path / "home")
    (tmp_path / "eve.json").write_bytes(b"\n".join(homes.lines(5)) + b"\n")
    words = ["score", "--in", str(tmp_path / "eve.json"), "--out", str(tmp_path / "out.json")]
    subprocess.run([python, "-m", "appliance", "--home", str(home.folder), *words], cwd=tmp_path, check=True)
    assert len((tmp_path / "out.json").read_bytes().splitlines()) == 5
    installed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout.lower()
    assert not [name for name in NEVER if re.search(rf"^{name}\s", installed, re.MULTILINE)]
