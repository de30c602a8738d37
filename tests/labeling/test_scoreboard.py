"""The scoreboard: what silent versions would cost and bring, and what is missing before they may become active."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.models import User
from detection.filters import parse
from detection.selection import cells
from detection.tables import SCORE_SCHEMA, rids
from labeling.services import scoreboard
from models_registry.models import ScoreFile, Version
from models_registry.services import ab, stages
from models_registry.services.scoring import COUNTERS
from tests.factories import SOME_TIME, make_queue, make_score_file, make_segment, make_session_item, make_version
from tests.models_registry.staging import gated
from traffic import storage
from traffic.models import Segment

pytestmark = pytest.mark.django_db
NOW = SOME_TIME + timedelta(hours=12)
HIT, CLEAN = 1, 0
RULES = [HIT, CLEAN, CLEAN, CLEAN]
HOSTS = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"]


def scored(version: Version, segment: Segment, verdicts: list[bool]) -> ScoreFile:
    cell = cells(pa.array(verdicts).to_numpy(False), pa.array(RULES, pa.int8()).to_numpy())
    columns = {"rid": rids(segment.pk, 4), "raw": [1.0 if one else -1.0 for one in verdicts], "verdict": verdicts}
    table = pa.table(columns | {"rules": RULES, "cell": cell, "src_ip": HOSTS}).cast(SCORE_SCHEMA)
    counts = {"covered": verdicts[0], "unique_candidates": sum(verdicts[1:]), "missed": not verdicts[0]}
    assert set(counts) < set(COUNTERS.values())
    file = make_score_file(version=version, segment=segment, rows=4, **{name: int(n) for name, n in counts.items()})
    storage.put_table(file.path, table)
    return file


@pytest.fixture
def pair() -> tuple[Version, Version]:
    """:1 is active, :2 silent; both scored half a day of four sessions from three hosts."""
    active = make_version(stage="active")
    silent = make_version(detector=active.detector)
    segment = make_segment(rows=4, first_at=SOME_TIME, last_at=NOW)
    scored(active, segment, [True, True, False, False])
    scored(silent, segment, [True, False, True, True])
    return active, silent


def settle(version: Version, outcome: str, cell: str = "unique") -> None:
    queue = make_queue(detector=version.detector, slug=f"q-{outcome}-{cell}-{version.detector.items.count()}")
    said = f'[{{"version": {version.number}, "verdict": true}}]'
    make_session_item(
        queue, version=version, state="settled", outcome=outcome, cell=cell, settled_at=NOW, record={"scores": said}
    )


def test_would_be_alerts_per_thousand_hosts_and_day(pair: tuple[Version, Version]) -> None:
    active, silent = scoreboard.standings(pair[0].detector, NOW)
    assert (active.version, silent.version) == pair
    assert (silent.positives, silent.hosts, silent.days, silent.unique_candidates) == (3, 3, 0.5, 2)
    assert silent.alerts == pytest.approx(3 / 3 / 0.5 * 1000)


def test_what_experts_confirmed_counts_for_versions_that_flagged_it(pair: tuple[Version, Version]) -> None:
    settle(pair[1], "positive")
    settle(pair[1], "positive", cell="covered")  # a rule had it too: no unique detect
    settle(pair[1], "negative")
    active, silent = scoreboard.standings(pair[0].detector, NOW)
    assert (silent.confirmed.unique, silent.confirmed.false_positives) == (1, 1)
    assert (active.confirmed.unique, active.confirmed.false_positives) == (0, 0)
    assert "an answer to 1 false positive that experts confirmed" in silent.missing
    assert active.missing == []


def test_what_is_missing_grows_shorter_step_by_step(
    pair: tuple[Version, Version], engineer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = pair[1]

    def missing() -> list[str]:
        return scoreboard.standings(silent.detector, NOW)[1].missing

    assert missing()[0] == "a reference set"
    snapshot = gated(silent, passed=False).snapshot
    assert missing()[0] == "a gate that it passes"
    gated(silent, snapshot=snapshot)
    assert missing() == [
        "a unique detect that experts confirmed",
        "proof labels: nothing is known about its precision",
    ]
    settle(silent, "positive")
    monkeypatch.setattr("labeling.services.proofs.prove", lambda version: object())
    assert missing() == ["a proposal, and a second person"]
    stages.propose(silent, "active", engineer)
    assert missing() == ["the second person's approval"]


def test_the_page_shows_both_with_links_into_the_hunt(expert_client: Client, pair: tuple[Version, Version]) -> None:
    name = pair[0].detector.name
    assert "Counting" in expert_client.get(reverse("labeling:scoreboard", args=[name])).text
    with time_machine.travel(NOW, tick=False):
        page = expert_client.get(reverse("labeling:standings", args=[name])).text
    assert "2000.0" in page
    assert f"model(%22{name}%3A2%22).verdict%20==%20positive" in page
    assert "a reference set" in page


def test_two_versions_agree_differ_and_name_the_hosts(pair: tuple[Version, Version]) -> None:
    found = ab.versus(*pair)
    assert [(side.name, side.cell.sessions, side.cell.hosts) for side in found.sides] == [
        ("both", 1, 1),
        ("only-one", 1, 1),
        ("only-other", 2, 2),
    ]
    assert [(host.host, host.only_one, host.only_other) for host in found.hosts] == [
        ("10.0.0.1", 1, 0),
        ("10.0.0.2", 0, 1),
        ("10.0.0.3", 0, 1),
    ]
    for question in [side.question for side in found.sides] + [host.question for host in found.hosts]:
        parse(question)  # the hunt reads each of them


def test_the_page_of_two_takes_the_active_and_the_newest_silent_one(
    expert_client: Client, pair: tuple[Version, Version]
) -> None:
    name = pair[0].detector.name
    page = expert_client.get(reverse("labeling:versus", args=[name]))
    assert (page.context["one"], page.context["other"]) == pair
    turned = expert_client.get(reverse("labeling:versus", args=[name]), {"one": "2", "other": "1"})
    assert (turned.context["one"], turned.context["other"]) == pair[::-1]
    counts = expert_client.get(reverse("labeling:versus-counts", args=[name, 1, 2])).text
    assert "only " + str(pair[1]) in counts and "10.0.0.3" in counts
    assert expert_client.get(reverse("labeling:versus-counts", args=[name, 1, 1])).status_code == 404
    assert expert_client.get(reverse("labeling:versus-counts", args=[name, 1, 9])).status_code == 404


def test_alone_a_version_has_nobody_to_compare_with(expert_client: Client) -> None:
    page = expert_client.get(reverse("labeling:versus", args=[make_version().detector.name])).text
    assert "It takes two versions to compare." in page
