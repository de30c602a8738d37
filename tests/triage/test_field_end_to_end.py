"""An appliance as a process whose traffic changes: its counts are sent, and the house knows the morning after."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from accounts.roles import Role
from appliance.home import Home
from appliance.scorer import BundleScorer
from detection.bundle import build_bundle, read_metadata
from detection.bundle_config import parse_config
from labeling.models import PriorityRaise
from models_registry.models import Bundle, BundleEntry, Version
from models_registry.services import appliances, holds
from tests import factories, feeds
from tests.appliance import homes
from tests.detection.make_models import make_member
from traffic import storage
from triage.models import Announcement, Incident, TelemetryWindow
from triage.services.telemetry import days

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
QUIET, BAD = 40, 3


def loud_bundle(version: Version) -> Bundle:
    """Return a bundle in which the version speaks, with its file."""
    text = f"models:\n- registry_name: {version.detector.name}\n  version: 1\n  threshold: 0.5\n  is_silent: false\n"
    [entry] = parse_config(text)
    data = build_bundle([make_member(entry, 1)], config_text=text)
    sha = hashlib.sha256(data).hexdigest()
    storage.put_bytes(f"bundles/{sha}.onnx", data)
    made = factories.make_bundle(
        digest=sha, path=f"bundles/{sha}.onnx", bytes=len(data), metadata=read_metadata(data), config=text
    )
    gate = factories.make_gate_report(version=version, threshold=0.5)
    BundleEntry.objects.create(bundle=made, version=version, threshold=0.5, is_silent=False, gate_report=gate)
    feeds.make_publication(bundle=made, channel="canary")
    return made


def write_traffic(path: Path, scorer: BundleScorer, first: date) -> None:
    """Write EVE lines of quiet days and then of bad ones: on those the model alone flags three times as much."""
    fires = [bool(scorer.score(homes.record(number))) for number in range(200)]
    loud, still = ([number for number, fired in enumerate(fires) if fired is wanted] for wanted in (True, False))
    draw, flow, lines = np.random.default_rng(7), 0, []
    for place in range(QUIET + BAD):
        at = datetime(first.year, first.month, first.day, 12, 30, tzinfo=UTC) + timedelta(days=place)
        alone = draw.binomial(60, 0.25) if place < QUIET else 60
        for count, pool, hit in ((alone, loud, False), (40, loud, True), (10, still, True), (10, still, False)):
            for number in draw.choice(pool, count):
                flow += 1
                record = homes.record(int(number)) | {"flow_id": flow, "timestamp": at.isoformat()}
                lines.append(json.dumps(record).encode())
                lines += [homes.hit(flow)] if hit else []
    path.write_bytes(b"\n".join(lines) + b"\n")


def run(home: Home, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "appliance", "--home", str(home.folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_that_goes_bad_is_known_the_morning_after(live_server: Any, settings: Any, tmp_path: Path) -> None:
    feeds.make_feed(settings, tmp_path)
    version = factories.make_version(stage="active")
    bundle = loud_bundle(version)
    customer = factories.make_customer(name="ACME")
    home = Home(tmp_path / "north")
    code = appliances.make_code(feeds.make_site(customer=customer), "canary")
    run(home, "enroll", "--server", live_server.url, "--code", code)
    scorer = homes.put_in_force(home, storage.get_bytes(bundle.path))
    first = datetime.now(UTC).date() - timedelta(days=QUIET + BAD)
    write_traffic(tmp_path / "eve.json", scorer, first)
    run(home, "score", "--in", str(tmp_path / "eve.json"), "--out", str(tmp_path / "out.json"))

    assert run(home, "telemetry") == {"hours": QUIET + BAD}
    assert run(home, "telemetry") == {"hours": 0}
    [window] = TelemetryWindow.objects.filter(day=first)
    assert (window.bundle, window.customer) == (bundle, customer)
    assert window.told["body"] == json.loads(next((home.telemetry / "sent").glob(f"{first}*")).read_bytes())

    changed = first + timedelta(days=QUIET)
    for place in range(QUIET + BAD):  # every morning
        morning = datetime(first.year, first.month, first.day, 6, 1, tzinfo=UTC) + timedelta(days=place + 1)
        days.close_due(morning)
        if Incident.objects.exists():
            break
    incident = Incident.objects.get()
    assert (incident.opened_day, incident.since) == (changed, changed), "the first morning after the change"
    assert (incident.customer, incident.version, incident.threshold, incident.is_up) == (customer, version, 0.5, True)
    assert [hold.source for hold in holds.against(bundle)] == [incident.number]  # canary does not become stable
    assert PriorityRaise.objects.standing().get().version == version
    assert set(Announcement.objects.values_list("topic", flat=True)) >= {"incident.opened", "incident.kit-wanted"}
    assert incident.reading.state == "running" and incident.reading.hours_and_minutes[0] == 23

    client = Client()
    client.force_login(factories.make_user(Role.ENGINEER))
    page = client.get(reverse("triage:incident", args=[incident.pk])).content.decode()
    assert "due in 23 h" in page and "canary" in page
    told = (
        f"{QUIET + BAD} hours sent; {incident} by the counts of {incident.opened_day}: odds x{incident.odds_ratio:.1f}"
    )
    print(f"\n{told}, {incident.changed_x} of {incident.changed_n}")  # noqa: T201
