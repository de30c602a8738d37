"""What tests of complaints share: a detector whose bundle is at the customer."""

from __future__ import annotations

from pathlib import Path

import pytest

from models_registry.models import Bundle, Customer, Version
from models_registry.services import bundles
from tests import factories
from tests.models_registry.loop import keep_snapshot, make_loop, right_rows

ATTACK = "GET /?id=1%27%20union%20select%201,2-- HTTP/1.1\nHost: intranet.example\nUser-Agent: Mozilla/5.0"


def build(version: Version, *, threshold: float | None = None, silent: bool = False) -> Bundle:
    """Build a bundle of one version."""
    threshold = version.threshold if threshold is None else threshold
    return bundles.build(
        f'models:\n- registry_name: "{version.detector.name}"\n  version: {version.number}\n'
        f"  threshold: {threshold}\n  is_silent: {str(silent).lower()}\n"
    )


@pytest.fixture
def loud(tmp_path: Path, house: None, db: None) -> Version:
    """A version that passed the gate and is in a bundle, with a customer who runs it."""
    version = make_loop(tmp_path)
    keep_snapshot(version.detector, *right_rows())
    build(version)
    return version


@pytest.fixture
def customer(db: None) -> Customer:
    return factories.make_customer(name="ACME")
