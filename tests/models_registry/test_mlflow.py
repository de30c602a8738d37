"""Versions to and from MLflow registries: by digest, with evidence, twice is a no-op."""

from __future__ import annotations

import builtins
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_registry.models import Version
from models_registry.services import detectors, mlflow_registry
from models_registry.services.mlflow_registry import RegistryError, pull, push
from tests.factories import make_detector, make_version
from tests.models_registry.loop import make_loop
from traffic import storage

pytestmark = pytest.mark.django_db
STARTS_WITHIN = 50  # seconds


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.MLFLOW_SERVERS = {"poc": "http://127.0.0.1:9"}
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "mlflow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RegistryError, match=r"pip install 'etalon\[mlflow\]'"):
        push(make_version(), "poc")
    with pytest.raises(CommandError, match="pip install"):
        call_command("import_versions", "poc", make_detector().name)


def test_an_unknown_detector_or_version_is_said() -> None:
    with pytest.raises(CommandError, match="There is no detector nothing"):
        call_command("import_versions", "poc", "nothing")
    with pytest.raises(CommandError, match="There is no nothing:1"):
        call_command("export_version", "poc", "nothing", "1")


# a real server


def _command() -> str:
    named = os.environ.get("MLFLOW_COMMAND") or shutil.which("mlflow")
    help_ = subprocess.run([named, "server", "--help"], capture_output=True, check=False) if named else None
    if named is None or help_ is None or help_.returncode:
        pytest.skip("no MLflow server: pip install mlflow into an environment of its own, set MLFLOW_COMMAND")
    return named


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[str]:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    command = _command()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "mlflow"
    folder.mkdir()
    process = subprocess.Popen(
        [
            *(command, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")),
        ],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(folder)},
        stdout=(folder / "log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    settings.MLFLOW_SERVERS = {"poc": url}
    try:
        _wait(process, url, folder)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    raise AssertionError((folder / "log").read_text()[-2000:])


@pytest.mark.slow
def test_out_and_in_again_keeps_the_digest_and_twice_is_a_no_op(server: str, tmp_path: Path) -> None:
    ours = make_loop(tmp_path)
    number = push(ours, "poc")
    assert push(ours, "poc") == number  # nothing new there
    out = StringIO()
    call_command("import_versions", "poc", ours.detector.name, stdout=out)
    assert out.getvalue().split() == ["known", "http-attacks:1", ours.onnx_digest]

    elsewhere = _another_house(ours)
    [(version, is_new)] = list(pull(elsewhere, "poc"))
    assert is_new and version.onnx_digest == ours.onnx_digest
    assert storage.get_bytes(version.onnx_path) == storage.get_bytes(ours.onnx_path)
    assert version.training_set.digest == ours.training_set.digest
    assert version.report == ours.report
    assert version.parameters["foreign"]["evidence"]["stage"] == "silent"
    assert version.threshold == ours.threshold
    assert list(pull(elsewhere, "poc")) == [(version, False)]
    assert Version.objects.filter(detector=elsewhere).count() == 1


def _another_house(ours: Version) -> Any:
    """Give the detector another name here, and the name that the registry knows to a new one."""
    ours.detector.name = "renamed"
    ours.detector.save()
    return detectors.make_detector({"name": "http-attacks", "rules": {"name_patterns": ["ET WEB_SERVER *"]}})


@pytest.mark.slow
def test_a_file_that_is_not_what_the_registry_says_is_refused(server: str, tmp_path: Path) -> None:
    ours = make_loop(tmp_path)
    push(ours, "poc")
    client = mlflow_registry._client("poc")
    [there] = client.search_model_versions("name = 'http-attacks'")
    client.set_model_version_tag("http-attacks", there.version, mlflow_registry.DIGEST, "0" * 64)
    with pytest.raises(RegistryError, match="the registry says 000000000000"):
        list(pull(ours.detector, "poc"))
