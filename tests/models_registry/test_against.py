"""Two versions side by side: counted by rid over the segments that both have scored."""

from __future__ import annotations

import pyarrow as pa
import pytest
from django.urls import reverse

from detection.rules import RuleVerdict
from detection.selection import cells
from detection.tables import SCORE_SCHEMA, rids
from models_registry.services import boards
from models_registry.services.scoring import ScoreMismatch
from tests.factories import make_detector, make_score_file, make_segment, make_version
from traffic import storage

pytestmark = pytest.mark.django_db
HIT, CLEAN, BLIND = (verdict.value for verdict in (RuleVerdict.HIT, RuleVerdict.CLEAN, RuleVerdict.NOT_INSPECTED))


def scored(version, segment, verdicts, rules, hosts, *, backwards=False):
    """Store what a version said of a segment's sessions; the order of rows in the file is of no account."""
    columns = pa.table(
        {
            "rid": rids(segment.pk, len(verdicts)),
            "raw": [1.0 if verdict else -1.0 for verdict in verdicts],
            "verdict": verdicts,
            "rules": rules,
            "cell": cells(pa.array(verdicts).to_numpy(False), pa.array(rules, pa.int8()).to_numpy()),
            "src_ip": hosts,
        }
    ).cast(SCORE_SCHEMA)
    file = make_score_file(version=version, segment=segment, rows=len(verdicts))
    storage.put_table(file.path, columns[::-1] if backwards else columns)
    return file


@pytest.fixture
def pair():
    detector = make_detector()
    return make_version(detector=detector, stage="active"), make_version(detector=detector)


RULES = [HIT, CLEAN, CLEAN, CLEAN, BLIND, CLEAN]
HOSTS = ["a", "a", "b", "b", "c", "d"]


def test_sessions_and_hosts_of_each_agreement(pair):
    active, silent = pair
    segment = make_segment(rows=6)
    scored(active, segment, [True, True, False, False, False, False], RULES, HOSTS)
    scored(silent, segment, [True, False, True, True, True, False], RULES, HOSTS, backwards=True)
    found = boards.compare(active, silent)
    assert (found.both_positive, found.both_negative) == (boards.BoardCell(1, 1), boards.BoardCell(1, 1))
    assert (found.only_one, found.only_other) == (boards.BoardCell(1, 1), boards.BoardCell(3, 2))
    assert (found.only_one_clean, found.only_other_clean) == (boards.BoardCell(1, 1), boards.BoardCell(2, 1))
    assert (found.sessions, found.flipped, found.segments, found.unshared) == (6, 4, 1, 0)


def test_a_host_in_two_segments_is_one_host(pair):
    for segment in (make_segment(rows=1), make_segment(rows=1)):
        for version in pair:
            scored(version, segment, [True], [CLEAN], ["a"])
    assert boards.compare(*pair).both_positive == boards.BoardCell(2, 1)


def test_segments_that_one_of_them_has_not_scored_are_named(pair):
    active, silent = pair
    shared = make_segment(rows=1)
    scored(active, shared, [True], [CLEAN], ["a"])
    scored(silent, shared, [True], [CLEAN], ["a"])
    scored(active, make_segment(rows=1), [True], [CLEAN], ["b"])
    found = boards.compare(active, silent)
    assert (found.sessions, found.segments, found.unshared) == (1, 1, 1)


def test_a_file_that_lost_a_row_is_an_error_and_no_smaller_sum(pair):
    active, silent = pair
    segment = make_segment(rows=2)
    scored(active, segment, [True, True], [CLEAN, CLEAN], ["a", "a"])
    lost = scored(silent, segment, [True, True], [CLEAN, CLEAN], ["a", "a"])
    storage.put_table(lost.path, storage.get_table(lost.path).slice(1))
    with pytest.raises(ScoreMismatch, match="share 1 sessions"):
        boards.compare(active, silent)


def test_nothing_scored_is_nothing_compared(pair):
    assert boards.compare(*pair).sessions == 0


def test_the_detector_page_asks_for_it_and_the_fragment_answers(engineer_client, pair):
    active, silent = pair
    segment = make_segment(rows=6)
    scored(active, segment, [True, True, False, False, False, False], RULES, HOSTS)
    lost = scored(silent, segment, [True, False, True, True, True, False], RULES, HOSTS)
    url = reverse("models_registry:against", args=[active.detector.name, active.number, silent.number])
    assert url in engineer_client.get(reverse("models_registry:detector", args=[active.detector.name])).text
    page = engineer_client.get(url).text
    assert "only active" in page
    assert "+2 (1 host) of" in page
    storage.delete(lost.path)
    assert "flash--error" in engineer_client.get(url).text
    assert engineer_client.get(url.replace(f"/{silent.number}/", "/99/")).status_code == 404
