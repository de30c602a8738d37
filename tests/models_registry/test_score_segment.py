"""One score file per version and segment, with board cells counted on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.contract import encode
from detection.selection import CELL_CODES, Cell
from detection.tables import columns_of
from detection.thresholds import raw_threshold
from models_registry.models import ScoreFile, Stage, Version
from models_registry.services import boards, scoring, versions
from models_registry.services.detectors import rules_in_force
from tests.models_registry.loop import hit, http, make_loop, take_in
from traffic import storage
from traffic.models import Segment
from traffic.services import segments

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return make_loop(tmp_path)


def test_every_waiting_segment_is_scored_once(version: Version) -> None:
    assert scoring.score_waiting() == 1
    assert scoring.score_waiting() == 0
    assert ScoreFile.objects.get().routed_at is None


def test_scores_are_the_models_own_in_the_order_of_the_segment(version: Version) -> None:
    scoring.score_waiting()
    segment = Segment.objects.get()
    sessions = segments.read_sessions(segment)
    scores = scoring.read_scores(ScoreFile.objects.get())
    assert scores["rid"].to_pylist() == sessions["rid"].to_pylist()
    raw = versions.scorer(version).raw(encode(versions.contract(version), columns_of(sessions)))
    np.testing.assert_array_equal(scores["raw"].to_numpy(), raw)
    np.testing.assert_array_equal(scores["verdict"].to_numpy(), raw >= raw_threshold(version.threshold))


def test_counters_are_the_rows_of_the_cells(version: Version) -> None:
    scoring.score_waiting()
    file = ScoreFile.objects.get()
    cells = np.bincount(scoring.read_scores(file)["cell"].to_numpy(), minlength=len(CELL_CODES))
    assert [getattr(file, scoring.COUNTERS[cell]) for cell in CELL_CODES] == cells.tolist()
    assert cells.sum() == file.rows == 240


def test_rules_and_model_make_the_board(version: Version) -> None:
    """Known attacks are hit; attacks that rules do not know can only be unique or quiet."""
    scoring.score_waiting()
    board = boards.board(version)
    assert board.covered.sessions + board.missed.sessions == 31
    assert board.unique.sessions + board.quiet.sessions == 209
    assert board.unique.sessions > 0
    assert board.sessions == 240
    assert 0 < (board.unique.hosts or 0) <= 9


def test_a_log_that_no_rules_looked_at_stands_apart(version: Version, tmp_path: Path) -> None:
    take_in(tmp_path, [http(1_000, "/?id=1' union select 1,2--"), http(1_001, "/")], "mirror.eve.json", "mirror")
    scoring.score_waiting()
    file = ScoreFile.objects.get(segment__source="mirror")
    assert file.uninspected_positive + file.uninspected_negative == 2
    assert file.unique_candidates == file.quiet == 0


def test_a_flow_level_hit_speaks_about_every_session_of_the_flow(version: Version, tmp_path: Path) -> None:
    lines = [http(2_000, "/a"), http(2_000, "/b", tx_id=1), {k: v for k, v in hit(2_000).items() if k != "tx_id"}]
    take_in(tmp_path, lines, "flow.eve.json")
    scoring.score_waiting()
    file = ScoreFile.objects.get(segment__source="flow")
    assert file.covered + file.missed == 2


def test_retired_versions_score_nothing(version: Version) -> None:
    versions.change_stage(version, Stage.RETIRED, reason="test")
    assert scoring.score_waiting() == 0


def test_a_file_that_does_not_fit_its_segment_is_refused(version: Version) -> None:
    """A positional join over another number of rows would give wrong sums without an error."""
    scoring.score_waiting()
    file = ScoreFile.objects.get()
    storage.put_table(file.path, storage.get_table(file.path).slice(1))
    with pytest.raises(scoring.ScoreMismatch):
        scoring.read_scores(file)


def test_two_scorers_write_one_file(version: Version) -> None:
    rules, segment = rules_in_force(version.detector), Segment.objects.get()
    assert scoring.score_segment(version, segment, rules) is not None
    assert scoring.score_segment(version, segment, rules) is None
    assert ScoreFile.objects.count() == 1


def test_the_histogram_holds_every_session(version: Version) -> None:
    scoring.score_waiting()
    bars = boards.histogram(version)
    assert sum(bar.total for bar in bars) == 240
    assert sum(bar.hit for bar in bars) == 31


def test_an_empty_board_counts_nothing(version: Version) -> None:
    board = boards.board(version)
    assert board.sessions == 0
    assert all(cell.hosts == 0 for cell in board.cells.values())
    assert set(board.cells) == set(Cell)
