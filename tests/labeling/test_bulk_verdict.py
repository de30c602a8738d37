"""One answer to all that match a filter: what is shown before, what a job does, and the one undo."""

from __future__ import annotations

from random import Random

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from jobs.models import Job, State
from labeling.models import BulkVerdict, GroupCheck, Item, ItemState, Label, Queue, ReferenceRow
from labeling.services import bulk, bulk_previews, claims, groups, labels, queues, reference
from labeling.services.details import Given, LabelRefused
from labeling.services.filters import EVERYTHING, ItemFilter
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
POSITIVE = Given("positive", family="SQL injection", note="the drill of March")
ITEMS = 5


@pytest.fixture
def scans(queue):
    """Five items that a filter finds, and one that it does not."""
    made = [
        make_item(
            queue,
            make_row(flow_id=number, src_ip=f"10.1.4.{number}"),
            title=f"GET scan.example/{number}",
            sessions=10,
            shape="a" * 64,
            fingerprint=f"{number}" * 64,
        )
        for number in range(ITEMS)
    ]
    for item in made:
        item.group_hosts.create(host=f"10.1.4.{item.pk % 2}")
    make_item(queue, title="GET other.example/")
    return made


SCANS = ItemFilter(text="scan.example")


def begin(queue, expert, given=POSITIVE, wanted=SCANS, seed=1) -> BulkVerdict:
    shown = bulk_previews.preview(queue, wanted, expert)
    return bulk.start(queue, wanted, expert, given, digest=shown.digest, lots=Random(seed))


def done(queue, expert, run_jobs, **fields) -> BulkVerdict:
    started = begin(queue, expert, **fields)
    run_jobs()
    return BulkVerdict.objects.get(pk=started.pk)


def assert_counts_are_right():
    for queue in Queue.objects.all():
        for state, count in (("open", queue.waiting), ("conflict", queue.conflicts)):
            assert queue.items.filter(state=state).count() == count


class TestPreview:
    def test_it_counts_items_sessions_hosts_and_looks(self, queue, scans, expert):
        shown = bulk_previews.preview(queue, SCANS, expert)
        assert (shown.items, shown.sessions, shown.hosts, shown.looks) == (5, 50, 2, 1)
        assert not shown.too_many

    def test_it_leaves_out_what_the_expert_may_not_answer_now(self, queue, scans, expert, senior, answer):
        answer(scans[0], expert, "positive")
        claims.claim(scans[1], senior)
        Item.objects.filter(pk=scans[2].pk).update(state="settled")
        assert bulk_previews.preview(queue, SCANS, expert).pks == [scans[3].pk, scans[4].pk]

    def test_it_names_the_known_answers_that_would_be_contradicted(self, queue, scans, expert, senior, answer):
        answer(scans[0], senior, "positive")
        elsewhere = make_item(queues.queue_of(queue.detector, Queue.Kind.MISSED), shape="a" * 64)
        for person in (senior, factories.make_user()):
            answer(elsewhere, person, "positive")
        reference.grow()
        drawn = factories.make_proof_item(
            factories.make_queue(detector=queue.detector, kind="proof", slug="drawn"), shape="a" * 64
        )
        answer(drawn, senior, "positive")
        against = bulk_previews.preview(queue, SCANS, expert).against["negative"]
        assert (against.labelled, against.rows, against.examples) == (2, 1, [scans[0].pk, elsewhere.pk])
        assert bulk_previews.preview(queue, SCANS, expert).against["positive"].labelled == 0

    def test_it_counts_the_reference_rows_that_would_be_made_within_the_limits(self, queue, scans, expert, senior):
        for item in scans:
            claims.claim(item, senior)
            labels.submit(item, senior, "positive")
        shown = bulk_previews.preview(queue, SCANS, expert)
        assert (shown.against["positive"].admitted, shown.against["negative"].admitted) == (5, 0)

    def test_more_than_a_job_should_do_is_said(self, queue, scans, expert, monkeypatch):
        monkeypatch.setattr(bulk_previews, "MOST", 3)
        shown = bulk_previews.preview(queue, SCANS, expert)
        assert (shown.too_many, shown.items) == (True, 3)
        with pytest.raises(bulk.BulkRefused, match="narrow"):
            begin(queue, expert)


class TestGive:
    def test_all_that_was_shown_is_answered_but_the_check(self, queue, scans, expert, run_jobs):
        given = done(queue, expert, run_jobs)
        assert (given.applied, given.is_whole, len(given.checks), given.left_out) == (4, True, 1, {})
        assert given.job.state == State.DONE
        origin = given.label
        assert origin.inherited_from is None
        assert Label.objects.filter(inherited_from=origin).count() == 3
        assert {(one.answer, one.note, one.family) for one in Label.objects.all()} == {
            ("positive", "the drill of March", "SQL injection")
        }
        assert list(GroupCheck.objects.values_list("item_id", flat=True)) == given.checks
        assert given.preview["items"] == 5
        assert labels.answered_today(expert) == 1
        assert_counts_are_right()

    def test_what_changed_meanwhile_is_told_and_left_alone(self, queue, scans, expert, senior, run_jobs, answer):
        started = begin(queue, expert)
        mine, held, settled, *_rest = [item for item in scans if item.pk in started.items]
        answer(mine, expert, "negative")
        claims.claim(held, senior)
        for person in (senior, factories.make_user()):
            answer(settled, person, "negative")
        run_jobs()
        given = BulkVerdict.objects.get()
        assert given.left_out == {"answered": [mine.pk], "held": [held.pk], "settled": [settled.pk]}
        assert (given.applied, given.changed, given.is_whole) == (1, 3, False)
        assert given.job.result["answered"] == 1
        assert given.job.result["changed meanwhile"] == {"answered": 1, "held": 1, "settled": 1}
        assert_counts_are_right()

    def test_chunks_go_on_where_a_dead_worker_stopped(self, queue, scans, expert, monkeypatch, run_jobs):
        monkeypatch.setattr(bulk, "CHUNK", 2)
        started = begin(queue, expert)
        bulk._give_some(started.pk)  # and then its worker died
        run_jobs()
        given = BulkVerdict.objects.get()
        assert (given.applied, given.place) == (4, 4)
        assert Label.objects.count() == 4
        assert Label.objects.filter(inherited_from=None).count() == 1

    def test_a_cancelled_one_keeps_what_it_did_and_can_be_undone(self, queue, scans, expert, monkeypatch, run_jobs):
        monkeypatch.setattr(bulk, "CHUNK", 2)
        started = begin(queue, expert)
        chunk = bulk._give_some
        monkeypatch.setattr(
            bulk, "_give_some", lambda pk: (chunk(pk), Job.objects.update(cancel_asked_at=timezone.now()))[0]
        )
        run_jobs()
        given = BulkVerdict.objects.get(pk=started.pk)
        assert (given.job.state, given.applied) == (State.CANCELLED, 2)
        Job.objects.update(cancel_asked_at=None)
        bulk.undo(given, expert)
        run_jobs()
        assert not Label.objects.current().exists()

    def test_two_bulk_verdicts_settle_but_enter_nothing_before_the_check(
        self, queue, scans, expert, senior, run_jobs, answer
    ):
        first = done(queue, expert, run_jobs)
        done(queue, senior, run_jobs)
        assert Item.objects.filter(state="settled").count() == 3  # the second one kept another item
        assert reference.grow() == 0
        for check in GroupCheck.objects.all():
            answer(check.item, factories.make_user(), "positive")
        groups.collect_checks()
        assert reference.grow() > 0
        assert first.pk

    def test_a_differing_check_contests_the_whole_act(self, queue, scans, expert, run_jobs, answer):
        given = done(queue, expert, run_jobs)
        answer(Item.objects.get(pk=given.checks[0]), factories.make_user(), "negative")
        assert groups.collect_checks() == 1
        assert Item.objects.filter(state="conflict").count() == 5
        assert_counts_are_right()

    @pytest.mark.parametrize("kind", ["proof", "complaint"])
    def test_proof_and_complaints_are_never_answered_so(self, kind, expert):
        queue = factories.make_queue(kind=kind)
        make_item(queue)
        assert bulk_previews.preview(queue, EVERYTHING, expert).items == 0
        with pytest.raises(LabelRefused, match="of its own"):
            begin(queue, expert, wanted=EVERYTHING)

    def test_without_a_note_or_a_match_or_with_another_list_nothing_is_done(self, queue, scans, expert, answer, senior):
        with pytest.raises(bulk.BulkRefused, match="note"):
            begin(queue, expert, Given("positive", note=" "))
        with pytest.raises(bulk.BulkRefused, match="Nothing matches"):
            begin(queue, expert, wanted=ItemFilter(text="nothing"))
        shown = bulk_previews.preview(queue, SCANS, expert)
        claims.claim(scans[0], senior)
        with pytest.raises(bulk.Changed, match="it was 5, and is 4") as changed:
            bulk.start(queue, SCANS, expert, POSITIVE, digest=shown.digest, shown=shown.items)
        assert changed.value.preview.items == 4
        assert not BulkVerdict.objects.exists()
        assert not Job.objects.exists()


class TestUndo:
    def test_one_undo_withdraws_everything(self, queue, scans, expert, run_jobs, monkeypatch):
        monkeypatch.setattr(bulk, "CHUNK", 3)
        given = done(queue, expert, run_jobs)
        bulk.undo(given, expert)
        run_jobs()
        given.refresh_from_db()
        assert (given.withdrawn, given.kept, given.undo_job.state) == (4, 0, State.DONE)
        assert labels.answered_today(expert) == 0
        assert not Label.objects.current().exists()
        assert not GroupCheck.objects.exists()
        assert Item.objects.filter(state="open").count() == 6
        assert_counts_are_right()
        with pytest.raises(bulk.BulkRefused, match="already"):
            bulk.undo(given, expert)

    def test_what_is_in_the_reference_set_stays(self, queue, scans, expert, senior, run_jobs):
        given = done(queue, expert, run_jobs)
        GroupCheck.objects.all().delete()
        one = Item.objects.get(pk=given.items[0])
        claims.claim(one, senior)
        labels.submit(one, senior, "positive")
        assert reference.grow() == 1
        bulk.undo(given, expert)
        run_jobs()
        given.refresh_from_db()
        assert (given.withdrawn, given.kept) == (3, 1)
        assert ReferenceRow.objects.get().item == one
        assert Item.objects.get(pk=one.pk).state == ItemState.SETTLED

    def test_the_undo_key_leads_to_its_page(self, queue, scans, expert, run_jobs, expert_client):
        given = done(queue, expert, run_jobs)
        with pytest.raises(labels.UndoOfMany) as refused:
            labels.undo(expert)
        assert refused.value.bulk == given

    def test_nobody_else_takes_it_back_and_only_when_it_ended(self, queue, scans, expert, run_jobs):
        started = begin(queue, expert)
        with pytest.raises(bulk.BulkRefused, match="cancel it first"):
            bulk.undo(started, expert)
        run_jobs()
        with pytest.raises(bulk.BulkRefused, match="who gave it"):
            bulk.undo(started, factories.make_user())

    def test_a_senior_takes_it_back_on_the_record(self, queue, scans, expert, senior, senior_client, run_jobs):
        given = done(queue, expert, run_jobs)
        url = reverse("labeling:undo-bulk", args=[given.pk])
        assert url in senior_client.get(reverse("labeling:bulk-verdict", args=[given.pk])).text
        senior_client.post(url)
        run_jobs()
        assert not Label.objects.current().exists()
        assert {label.note for label in Label.objects.filter(answer="withdrawn")} == {f"undone by {senior}"}
        entry = AuditEntry.objects.get(action="bulk-verdict.undone")
        assert (entry.actor, entry.details["of"], entry.details["answers"]) == (senior, str(expert), given.applied)


class TestPages:
    def url(self, queue):
        return reverse("labeling:bulk", args=[queue.slug])

    def send(self, client, queue, expert, **fields):
        shown = bulk_previews.preview(queue, SCANS, expert)
        sent = {"answer": "negative:own-test", "note": "drill", "digest": shown.digest, "shown": shown.items}
        return client.post(f"{self.url(queue)}?{SCANS.query}", sent | fields)

    def test_the_queue_leads_to_the_preview_and_the_preview_to_the_verdict(
        self, queue, scans, expert, expert_client, run_jobs
    ):
        listed = expert_client.get(reverse("labeling:queue", args=[queue.slug]) + f"?{SCANS.query}").text
        assert f"{self.url(queue)}?{SCANS.query}" in listed
        shown = expert_client.get(f"{self.url(queue)}?{SCANS.query}").text
        assert "50" in shown
        answer = self.send(expert_client, queue, expert)
        given = BulkVerdict.objects.get()
        assert answer.url == reverse("labeling:bulk-verdict", args=[given.pk])
        run_jobs()
        page = expert_client.get(answer.url).text
        assert "drill" in page
        assert reverse("labeling:undo-bulk", args=[given.pk]) in page
        assert given.filter == SCANS.query
        assert Label.objects.first().reason_code == "own-test"
        expert_client.post(reverse("labeling:undo-bulk", args=[given.pk]))
        run_jobs()
        assert not Label.objects.current().exists()

    def test_a_changed_list_is_shown_again_with_what_was_written(self, queue, scans, expert, expert_client):
        response = self.send(expert_client, queue, expert, digest="0" * 64, shown=9)
        assert response.status_code == 409
        assert "it was 9, and is 5" in response.text
        assert "drill" in response.text
        assert not BulkVerdict.objects.exists()

    def test_a_missing_note_is_asked_for(self, queue, scans, expert, expert_client):
        response = self.send(expert_client, queue, expert, note="")
        assert response.status_code == 409
        assert "note" in response.text

    def test_a_waiting_one_is_cancelled_by_who_gave_it(self, queue, scans, expert, expert_client):
        self.send(expert_client, queue, expert)
        given = BulkVerdict.objects.get()
        url = reverse("labeling:cancel-bulk", args=[given.pk])
        other = Client()
        other.force_login(factories.make_user())
        other.post(url)
        assert Job.objects.get().state == State.WAITING
        expert_client.post(url)
        assert Job.objects.get().state == State.CANCELLED

    def test_the_list_shows_everybodys(self, queue, scans, expert, expert_client, auditor_client, run_jobs):
        done(queue, expert, run_jobs)
        assert "the drill of March" in auditor_client.get(reverse("labeling:bulk-verdicts")).text
