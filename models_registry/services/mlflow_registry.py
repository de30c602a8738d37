"""Versions to and from MLflow registries, by the digest of the ONNX file, with their evidence. Twice is a no-op.

Needs the extra `mlflow` (mlflow-skinny), loaded when first used."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.models import User
from models_registry.models import Detector, Version
from models_registry.services import foreign, snapshots
from traffic import storage

FOLDER = "etalon"  # of the run's artifacts
ONNX, TEXT, TRAINING_SET, EVIDENCE = "model.onnx", "model.txt", "training-set.bin", "evidence.json"
DIGEST = "etalon.onnx_digest"  # tag of a registered version
EXPERIMENT = "etalon"
LARGEST = 256 * 2**20  # bytes of one file


class RegistryError(RuntimeError):
    """The other registry cannot be used, or what it holds is not what it says; the message says what to do."""


def servers() -> dict[str, str]:
    """Return the registries that may be asked, by name."""
    return dict(settings.MLFLOW_SERVERS)


def push(version: Version, server: str) -> str:
    """Register a version there with its evidence; return the number it has there. Raises RegistryError."""
    client = _client(server)
    name = version.detector.name
    if known := _known(client, name, version.onnx_digest):
        return str(known.version)
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name, description="an Etalon detector")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    run = client.create_run(experiment_id, run_name=str(version), tags={DIGEST: version.onnx_digest})
    with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
        for file, data in _files(version):
            Path(folder, file).write_bytes(data)
        client.log_artifacts(run.info.run_id, folder, artifact_path=FOLDER)
    client.set_terminated(run.info.run_id)
    made = client.create_model_version(
        name,
        source=f"{run.info.artifact_uri}/{FOLDER}",
        run_id=run.info.run_id,
        tags={DIGEST: version.onnx_digest, "etalon.version": str(version)},
        description=f"{version}, threshold {version.threshold}, {version.stage}",
    )
    return str(made.version)


def pull(detector: Detector, server: str, by: User | None = None) -> Iterator[tuple[Version, bool]]:
    """Register what that registry has under the detector's name; yield each version with whether it is new.

    Raises RegistryError, foreign.ForeignRefused."""
    client = _client(server)
    found = client.search_model_versions(f"name = '{detector.name}'", max_results=1000)
    for there in sorted(found, key=lambda one: int(one.version)):
        digest = (there.tags or {}).get(DIGEST, "")
        known = detector.versions.filter(onnx_digest=digest).first() if digest else None
        if known is not None:
            yield known, False
        else:
            yield foreign.receive(detector, _offer(client, server, there), by)


def _client(server: str) -> Any:
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise RegistryError("MLflow registries need the extra: pip install 'etalon[mlflow]'") from error
    if server not in (known := servers()):
        raise RegistryError(f"no registry {server!r}; MLFLOW_SERVERS names {', '.join(known) or 'none'}")
    return MlflowClient(tracking_uri=known[server], registry_uri=known[server])


def _known(client: Any, name: str, digest: str) -> Any:
    found = client.search_model_versions(f"name = '{name}'", max_results=1000)
    return next((one for one in found if (one.tags or {}).get(DIGEST) == digest), None)


def _files(version: Version) -> Iterator[tuple[str, bytes]]:
    yield ONNX, storage.get_bytes(version.onnx_path)
    yield TEXT, storage.get_bytes(version.text_path)
    yield TRAINING_SET, snapshots.read(version.training_set)
    gate = version.gate_reports.order_by("-id").first()
    evidence = {
        "version": str(version),
        "stage": version.stage,
        "threshold": version.threshold,
        "contract": version.contract,
        "onnx_digest": version.onnx_digest,
        "text_digest": version.text_digest,
        "training_set_digest": version.training_set.digest,
        "report": version.report,
        "parameters": version.parameters,
        "gate": gate.report | {"digest": gate.digest} if gate else None,
    }
    yield EVIDENCE, json.dumps(evidence, sort_keys=True, indent=1).encode()


def _offer(client: Any, server: str, there: Any) -> foreign.Offer:
    """Return what a version there offers: files of its run, checked against the digest it is tagged with."""
    title = f"{there.name} version {there.version} of {server}"
    if not there.run_id:
        raise RegistryError(f"{title} has no run: its files and evidence cannot be found")
    held = {Path(one.path).name: one for one in client.list_artifacts(there.run_id, FOLDER)}
    if missing := [name for name in (ONNX, TEXT) if name not in held]:
        raise RegistryError(f"{title} has no {FOLDER}/{missing[0]}: only ONNX with its text model enters")
    if large := [name for name, one in held.items() if (one.file_size or 0) > LARGEST]:
        raise RegistryError(f"{title}: {large[0]} has more than {LARGEST:,} bytes")
    with tempfile.TemporaryDirectory(prefix="mlflow-") as folder:
        files = {
            name: _file(client, there.run_id, name, folder)
            for name in held.keys() & {ONNX, TEXT, TRAINING_SET, EVIDENCE}
        }
    digest = (there.tags or {}).get(DIGEST)
    if digest and digest != (found := hashlib.sha256(files[ONNX]).hexdigest()):
        raise RegistryError(f"{title}: the file has the digest {found[:12]}, the registry says {digest[:12]}")
    evidence = _evidence(title, files.get(EVIDENCE, b"{}"))
    return foreign.Offer(
        model=files[ONNX],
        text_model=files[TEXT],
        threshold=_threshold(title, evidence),
        training_set=files.get(TRAINING_SET, b""),
        evidence=evidence,
        origin=f"mlflow {server}, version {there.version}",
    )


def _file(client: Any, run_id: str, name: str, folder: str) -> bytes:
    return Path(client.download_artifacts(run_id, f"{FOLDER}/{name}", folder)).read_bytes()


def _evidence(title: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{title}: {EVIDENCE} is no JSON") from error
    if not isinstance(value, dict):
        raise RegistryError(f"{title}: {EVIDENCE} is no JSON object")
    return value


def _threshold(title: str, evidence: dict[str, Any]) -> float:
    value = evidence.get("threshold")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RegistryError(f"{title}: {EVIDENCE} names no threshold")
    return float(value)
