"""models_registry.tasks.correct_scores: late rule hits change rule verdicts and board counts, once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone

from detection.rules import RuleVerdict
from detection.selection import CELL_CODES
from models_registry.models import Correction, ScoreFile, Version
from models_registry.services import boards, scoring
from models_registry.services.corrections import correct_waiting, discard_old_files
from models_registry.services.detectors import rules_in_force
from tests.models_registry.loop import hit, make_loop, take_in
from traffic import storage
from traffic.models import Segment
from traffic.services import late_hits

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path: Path) -> Version:
    version = make_loop(tmp_path)
    scoring.score_waiting()
    return version


def flow_in(cell: str) -> int:
    """Return a flow of a board cell; flows are rows, counted from 1."""
    cells = scoring.read_scores(ScoreFile.objects.get())["cell"].to_numpy()
    return int(np.flatnonzero(cells == [one.value for one in CELL_CODES].index(cell))[0]) + 1


def arrive(tmp_path: Path, *hits: dict[str, object]) -> None:
    take_in(tmp_path, list(hits), f"late{Correction.objects.count()}.json")
    late_hits.collect()


def test_a_unique_candidate_becomes_covered(version: Version, tmp_path: Path) -> None:
    before = boards.board(version)
    arrive(tmp_path, hit(flow_in("unique")))
    assert correct_waiting() == 1
    after = boards.board(version)
    assert after.unique.sessions == before.unique.sessions - 1
    assert after.covered.sessions == before.covered.sessions + 1
    assert after.sessions == before.sessions
    scores = scoring.read_scores(ScoreFile.objects.get())
    assert (scores["rules"].to_numpy() == RuleVerdict.HIT).sum() == after.covered.sessions + after.missed.sessions


def test_a_quiet_session_becomes_missed(version: Version, tmp_path: Path) -> None:
    before = boards.board(version)
    arrive(tmp_path, hit(flow_in("quiet")))
    correct_waiting()
    after = boards.board(version)
    assert (after.quiet.sessions, after.missed.sessions) == (before.quiet.sessions - 1, before.missed.sessions + 1)


def test_correcting_again_changes_nothing(version: Version, tmp_path: Path) -> None:
    arrive(tmp_path, hit(flow_in("unique")))
    assert [correct_waiting(), correct_waiting()] == [1, 0]
    assert Correction.objects.count() == 1


def test_a_hit_of_another_class_moves_no_session(version: Version, tmp_path: Path) -> None:
    file = ScoreFile.objects.get()
    arrive(tmp_path, hit(flow_in("unique"), signature="ET POLICY something"))
    assert correct_waiting() == 1
    now = ScoreFile.objects.get()
    assert (now.path, now.digest, now.unique_candidates) == (file.path, file.digest, file.unique_candidates)
    assert now.late_hits == 1
    assert correct_waiting() == 0


def test_the_corrected_file_is_as_if_scored_with_the_hits(version: Version, tmp_path: Path) -> None:
    arrive(tmp_path, hit(flow_in("unique")), hit(flow_in("quiet")))
    correct_waiting()
    corrected = ScoreFile.objects.get()
    table = scoring.read_scores(corrected)
    counts = boards.board(version).cells
    corrected.delete()
    again = scoring.score_segment(version, Segment.objects.get(rows=240), rules_in_force(version.detector))
    assert again is not None
    assert again.late_hits == 2
    assert scoring.read_scores(again).equals(table)
    assert boards.board(version).cells == counts
    assert correct_waiting() == 0


def test_two_workers_at_once_correct_once(version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(tmp_path, hit(flow_in("unique")))
    before = boards.board(version)
    honest, turns = storage.put_table, []

    def another_is_faster(*args: object, **options: object) -> str:
        if not turns:
            turns.append(1)
            assert correct_waiting() == 1
        return honest(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "put_table", another_is_faster)
    assert correct_waiting() == 0
    after = boards.board(version)
    assert after.unique.sessions == before.unique.sessions - 1
    assert scoring.read_scores(ScoreFile.objects.get()) is not None  # the loser took nothing away
    assert Correction.objects.count() == 1


def test_hits_in_two_waves_are_all_counted(version: Version, tmp_path: Path) -> None:
    before = boards.board(version)
    for _ in range(2):
        arrive(tmp_path, hit(flow_in("unique")))
        correct_waiting()
    assert boards.board(version).covered.sessions == before.covered.sessions + 2
    assert [len(one.rows) for one in Correction.objects.all()] == [1, 2]


def test_what_was_never_routed_has_no_items_to_correct(version: Version, tmp_path: Path) -> None:
    arrive(tmp_path, hit(flow_in("unique")))
    correct_waiting()
    assert not Correction.objects.uncollected().exists()


def test_the_file_as_it_was_is_deleted_when_nobody_reads_it_any_more(version: Version, tmp_path: Path) -> None:
    old = ScoreFile.objects.get().path
    arrive(tmp_path, hit(flow_in("unique")))
    correct_waiting()
    assert discard_old_files() == 0
    assert storage.exists(old)
    Correction.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert [discard_old_files(), discard_old_files()] == [1, 0]
    assert not storage.exists(old)
    assert storage.exists(ScoreFile.objects.get().path)


def test_a_missing_score_file_holds_up_nobody(version: Version, tmp_path: Path) -> None:
    flow = flow_in("unique")
    storage.delete(ScoreFile.objects.get().path)
    arrive(tmp_path, hit(flow))
    assert correct_waiting() == 0
