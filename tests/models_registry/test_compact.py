"""models_registry.tasks.compact: segments of a closed day become one, and nothing that is known about them changes."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from django.core.management import call_command
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, State
from models_registry.models import Correction, IndicatorMatch, ScoreFailure, ScoreFile, Stage, Version
from models_registry.services import compaction, corrections, indicators, scoring
from models_registry.services.detectors import make_detector
from tests import factories
from tests.models_registry import loop
from tests.models_registry.stored_facts import facts, files, files_with_a_row
from traffic import storage
from traffic.models import Intake, LateHit, RuleSet, Segment
from traffic.services import compaction as traffic_compaction
from traffic.services import late_hits, retention, runs, segments

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 1)  # of the sessions that tests.models_registry.loop makes
FILES = 6


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """A house with one day in several segments, which is over: scored, matched, hit late, routed."""
    records = loop.records()
    size = len(records) // FILES + 1
    for number in range(FILES):
        take_in(tmp_path, number, records[number * size : (number + 1) * size])
    version = loop.first_version(make_detector(loop.SPEC))
    scoring.score_waiting()
    indicators.import_list("hosts", "address", b"10.0.0.3\n10.0.0.4\n")
    indicators.match_waiting()
    routed_and_settled()
    return version


def take_in(folder: Path, number: int, records: list[dict[str, Any]], sensor: str = "core-1") -> None:
    """Take records in as one log of several that have one name, as those of one source do."""
    place = folder / str(number)
    place.mkdir()
    loop.take_in(place, records, sensor=sensor)


def routed_and_settled() -> None:
    """Let everything that waits have been done, some hours ago."""
    late_hits.collect()
    corrections.correct_waiting()
    ScoreFile.objects.filter(routed_at=None).update(routed_at=timezone.now())
    Correction.objects.uncollected().update(collected_at=timezone.now())
    Segment.objects.update(created_at=F("created_at") - timedelta(hours=3))


def arrive_late(folder: Path, *flows: int) -> None:
    folder.mkdir(exist_ok=True)
    loop.take_in(folder, [loop.hit(flow) for flow in flows], f"late{Intake.objects.count()}.json")


def compact(run_jobs: Callable[[], int]) -> Job:
    assert compaction.start_due() > 0
    run_jobs()
    return Job.objects.latest("pk")


def test_segments_of_a_day_become_one_and_nothing_changes(version: Version, run_jobs: Callable[[], int]) -> None:
    before = facts()
    assert len(before["sessions"]) == 240
    job = compact(run_jobs)
    assert (job.state, job.done, job.total) == (State.DONE, 240, 240)
    assert facts() == before
    merged = Segment.objects.sealed().get()
    assert merged.merged.count() == FILES
    assert "6 segments with 240 sessions became segment" in job.lines.get(text__contains="became").text
    assert compaction.start_due() == 0  # and that was that


def test_it_is_sorted_by_host_and_time_in_small_row_groups(
    version: Version, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detection.tables.COMPACT_ROW_GROUP", 50)
    before = facts()
    compact(run_jobs)
    assert facts() == before
    merged = Segment.objects.sealed().get()
    rows = segments.read_rows(merged, range(240))
    order = [(row["host"], row["start"]) for row in rows]
    assert order == sorted(order)
    with storage.open_input(merged.sessions_path) as file:
        groups = pq.read_metadata(file)
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [50, 50, 50, 50, 40]


def test_late_hits_are_stored_with_their_sessions_and_counted_once(
    version: Version, tmp_path: Path, run_jobs: Callable[[], int]
) -> None:
    arrive_late(tmp_path, 5, 9)
    late_hits.collect()
    corrections.correct_waiting()
    assert compaction.plan().waiting  # for items
    routed_and_settled()
    assert sum(Segment.objects.values_list("late_hits", flat=True)) >= 2
    before = facts()
    compact(run_jobs)
    assert facts() == before
    merged = Segment.objects.sealed().get()
    assert merged.late_hits == 0  # none lies beside it
    arrive_late(tmp_path, 5, 6)  # one that is stored by now, and a new one
    assert late_hits.collect() == 1
    assert corrections.correct_waiting() == 1
    hits = segments.read_sessions(merged, columns=["flow_id", "hits"]).to_pylist()
    assert [len(row["hits"]) for row in hits if row["flow_id"] in (5, 6)] == [1, 1]
    assert list(Intake.objects.order_by("-pk").values_list("late_hits", flat=True)[:2]) == [1, 2]


def test_the_same_log_twice_is_still_known(version: Version, tmp_path: Path, run_jobs: Callable[[], int]) -> None:
    compact(run_jobs)
    before = facts()
    again = tmp_path / "0" / "office.eve.json"
    loop.ingest_paths([again], "core-1")
    assert facts() == before
    assert Intake.objects.count() == FILES


def test_old_files_stay_for_their_readers_and_go_then(version: Version, run_jobs: Callable[[], int]) -> None:
    old = list(Segment.objects.sealed())
    scores = list(ScoreFile.objects.select_related("segment").order_by("segment"))
    compact(run_jobs)
    sweep()
    for segment, file in zip(old, scores, strict=True):  # whoever had the list of files reads on
        assert len(segments.read_sealed(segment)) == len(scoring.read_scores(file)) == segment.rows
        assert segments.raw_line(segment, 0)
    Segment.objects.exclude(merged_into=None).update(deleted_at=timezone.now() - timedelta(hours=2))
    before = facts()
    sweep()
    assert facts() == before
    assert files() == files_with_a_row() & files()
    assert not any(storage.exists(segment.sessions_path) or storage.exists(segment.raw_path) for segment in old)
    assert not any(storage.exists(file.path) for file in scores)
    assert not IndicatorMatch.objects.exclude(segment__merged_into=None).exists()


def sweep() -> None:
    from models_registry.services import retention as scores

    runs.discard_leftovers()
    retention.delete_old()
    scores.discard_scores()
    corrections.discard_old_files()


def test_what_waits_is_left_for_later(version: Version, run_jobs: Callable[[], int], tmp_path: Path) -> None:
    def waits() -> bool:
        return compaction.plan().waiting == FILES and compaction.start_due() == 0

    assert not compaction.plan().waiting
    ScoreFile.objects.update(routed_at=None)
    assert waits()
    routed_and_settled()
    Segment.objects.update(late_hits=F("late_hits") + 1)  # and its score files know nothing of it
    assert waits()
    Segment.objects.update(late_hits=F("late_hits") - 1)
    segment = Segment.objects.first()
    assert segment is not None
    failure = ScoreFailure.objects.create(version=version, segment=segment, error="torn")
    assert compaction.plan().waiting == 1
    failure.delete()
    Segment.objects.update(hits_asked_at=None)
    assert compaction.start_due() == 0
    late_hits.collect()
    candidate = another(version, Stage.CANDIDATE)
    assert waits()  # it will score them one by one
    candidate.delete()
    assert compaction.start_due() == 1


def another(version: Version, stage: Stage) -> Version:
    """Return a further version of the same model."""
    fields = ("detector", "training_set", "contract", "onnx_path", "onnx_digest", "text_path", "text_digest")
    copied = {name: getattr(version, name) for name in (*fields, "threshold")}
    return factories.make_version(**copied, stage=stage)


def test_a_day_that_goes_on_and_what_just_came_are_left(version: Version) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert not compaction.plan(noon).batches
    Segment.objects.update(created_at=noon)
    assert not compaction.plan(noon + timedelta(hours=13)).batches
    assert len(compaction.plan(noon + timedelta(hours=15)).batches) == 1
    Segment.objects.update(created_at=timezone.now())
    assert not compaction.plan().batches


def test_only_what_was_seen_and_judged_alike_becomes_one(
    version: Version, tmp_path: Path, run_jobs: Callable[[], int]
) -> None:
    first, second, third, *_rest = Segment.objects.order_by("pk")
    Segment.objects.filter(pk=first.pk).update(rule_set=factories.make_rule_set())
    ScoreFile.objects.filter(segment=second).update(mapping=factories.make_detector().mapping)
    Segment.objects.filter(pk=third.pk).update(source="another")
    before = facts()
    compact(run_jobs)
    assert facts() == before
    assert sorted(Segment.objects.sealed().values_list("rows", flat=True))[-1] < 240
    assert Segment.objects.sealed().count() == 4
    assert set(Segment.objects.sealed().values_list("rule_set", flat=True)) == {
        *RuleSet.objects.filter(segments__isnull=False).values_list("pk", flat=True),
    }


def test_every_version_keeps_what_it_said_retired_ones_and_unrouted_candidates_too(
    version: Version, run_jobs: Callable[[], int]
) -> None:
    for stage in (Stage.RETIRED, Stage.CANDIDATE):
        other = another(version, Stage.CANDIDATE)
        scoring.score_waiting(Version.objects.filter(pk=other.pk))
        Version.objects.filter(pk=other.pk).update(stage=stage)
    before = facts()
    compact(run_jobs)
    assert facts() == before
    assert scoring.score_waiting() == 0
    merged = ScoreFile.objects.filter(segment__merged_into=None).order_by("version")
    assert [file.routed_at is None for file in merged] == [False, True, True]


@pytest.mark.parametrize("what", ["hits", "scores", "raw lines", "deleted", "routed"])
def test_what_comes_in_between_stops_the_switch(
    version: Version, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    honest = traffic_compaction.merge

    def meanwhile(sources: Any, run: Any) -> Any:
        draft = honest(sources, run)
        segment = Segment.objects.sealed().order_by("pk")[:1]
        if what == "hits":
            arrive_late(tmp_path, 5)
            late_hits.collect()
        elif what == "scores":
            another(version, Stage.SILENT)
            scoring.score_waiting()
        elif what == "raw lines":
            Segment.objects.filter(pk=segment.get().pk).update(raw_deleted_at=timezone.now())
        elif what == "deleted":
            Segment.objects.filter(pk=segment.get().pk).update(deleted_at=timezone.now())
        else:
            ScoreFile.objects.filter(segment=segment.get()).update(routed_at=None)
        return draft

    monkeypatch.setattr(traffic_compaction, "merge", meanwhile)
    job = compact(run_jobs)
    assert job.state == State.DONE
    assert job.lines.filter(text__contains="something came in between").exists()
    assert not Segment.objects.exclude(merged_into=None).exists()
    assert not Segment.objects.filter(sealed_at=None).exists()
    assert files() <= files_with_a_row()


def test_hits_that_look_into_a_segment_that_is_being_merged_look_again(
    version: Version, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arrive_late(tmp_path, 5)
    honest = late_hits.choose

    def meanwhile(matches: Any) -> Any:
        found = honest(list(matches))
        monkeypatch.setattr(late_hits, "choose", honest)
        compact(run_jobs)
        return found

    monkeypatch.setattr(late_hits, "choose", meanwhile)
    assert [late_hits.collect(), late_hits.collect(), late_hits.collect()] == [0, 1, 0]
    assert LateHit.objects.latest("pk").segment == Segment.objects.sealed().get(rows=240)


def test_a_damaged_segment_is_left_out_and_holds_up_nobody(version: Version, run_jobs: Callable[[], int]) -> None:
    torn, scored, *_rest = Segment.objects.order_by("pk")
    storage.put_bytes(torn.sessions_path, storage.get_bytes(torn.sessions_path)[:-9])
    storage.put_bytes(ScoreFile.objects.get(segment=scored).path, b"torn")
    job = compact(run_jobs)
    assert job.state == State.DONE
    merged = Segment.objects.sealed().exclude(compacted_at=None).get()
    assert merged.merged.count() == FILES - 2
    assert set(Segment.objects.sealed().filter(compacted_at=None)) == {torn, scored}
    assert files() <= files_with_a_row()


def test_a_full_disk_gets_no_copy(
    version: Version, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("Disk", (), {"free": (10 << 20) + 99, "total": 100 << 20})
    monkeypatch.setattr(traffic_compaction.shutil, "disk_usage", lambda path: full)
    job = compact(run_jobs)
    assert job.lines.filter(text__contains="the disk has no room for a copy").exists()
    assert Segment.objects.sealed().count() == FILES


def test_a_candidate_whose_job_began_before_scores_what_came_of_its_parts(
    version: Version, run_jobs: Callable[[], int]
) -> None:
    from models_registry.services import candidates

    assert compaction.start_due() == 1
    candidate = another(version, Stage.CANDIDATE)
    job = candidates.start(candidate)
    Version.objects.filter(pk=candidate.pk).update(stage=Stage.RETIRED)  # so that the merge does not wait for it
    Job.objects.filter(pk=job.pk).update(state=State.SKIPPED)
    run_jobs()
    assert Segment.objects.sealed().count() == 1
    Version.objects.filter(pk=candidate.pk).update(stage=Stage.CANDIDATE)
    Job.objects.filter(pk=job.pk).update(state=State.WAITING)
    run_jobs()
    job.refresh_from_db()
    assert (job.state, job.parts.count()) == (State.DONE, FILES)
    assert candidates.coverage(candidate).complete


def test_the_command_tells_what_it_would_do_and_does_it(version: Version) -> None:
    told = command("--dry-run")
    assert told["batches"] == [{"day": "2026-03-01", "segments": FILES, "sessions": 240}]
    assert (told["job"], Segment.objects.sealed().count()) == (None, FILES)
    assert command("--day", "2026-03-02")["batches"] == []
    assert command("--day", "2026-03-01")["job"]["state"] == "done"
    assert Segment.objects.sealed().count() == 1
    out = io.StringIO()
    call_command("compact", stdout=out)
    assert "nothing to merge" in out.getvalue()


def command(*words: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("compact", *words, "--json", stdout=out)
    told: dict[str, Any] = orjson.loads(out.getvalue())
    return told


def test_what_comes_to_a_day_that_was_merged_joins_it_later(
    version: Version, tmp_path: Path, run_jobs: Callable[[], int]
) -> None:
    compact(run_jobs)
    take_in(tmp_path, 7, [*(loop.http(flow, "/") for flow in range(1000, 1010)), loop.hit(1000)])
    scoring.score_waiting()
    indicators.match_waiting()
    routed_and_settled()
    before = facts()
    compact(run_jobs)
    assert facts() == before
    assert Segment.objects.sealed().get().rows == 250
    first = Segment.objects.order_by("pk")[0]
    assert first.kept_in == Segment.objects.sealed().get()  # by two steps


def test_a_log_whose_segments_were_merged_shows_as_before(
    version: Version, run_jobs: Callable[[], int], expert_client: Any
) -> None:
    page = reverse("traffic:intakes")
    before = expert_client.get(page).text
    compact(run_jobs)
    assert "deleted by age" not in before
    after = expert_client.get(page).text
    assert after.split("<main", 1)[1] == before.split("<main", 1)[1]
    retention.apply(retention.POLICY, now=timezone.now() + timedelta(days=40))
    assert "raw lines deleted after" in expert_client.get(page).text


def test_a_merged_segment_goes_by_the_age_of_its_youngest(version: Version, run_jobs: Callable[[], int]) -> None:
    now = timezone.now()
    Segment.objects.update(created_at=now - timedelta(hours=20))
    youngest = Segment.objects.order_by("-pk")[0]
    Segment.objects.filter(pk=youngest.pk).update(created_at=now - timedelta(hours=4))
    compact(run_jobs)
    merged = Segment.objects.sealed().get()
    assert merged.created_at == now - timedelta(hours=4)
    retention.apply(now=now + timedelta(days=89, hours=19))
    assert Segment.objects.sealed().exists() and not storage.exists(merged.raw_path)
    retention.apply(now=now + timedelta(days=89, hours=21))
    assert not Segment.objects.sealed().exists() and not storage.exists(merged.sessions_path)
