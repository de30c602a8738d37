"""Sending what a hunt found to a queue: all that match become items by a job, one undo takes the unanswered back.

Each item is made whole in one transaction, of all its sessions, and an item of a look is made once: a job that dies
starts over and makes what is missing, wherever compaction has put the sessions meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.roles import EXPERTS, Role
from detection.selection import Reason, place_of
from detection.sessions import Row
from detection.texts import storable
from jobs.services import jobs
from jobs.services.jobs import Lease
from labeling.models import HuntSend, Item, ItemRecord, ItemState, Label, Queue, QueueDay, SentItem
from labeling.services import examples, hunts, priorities, routing, spread
from labeling.services.hunt_folds import MOST, Case, fold, shown
from labeling.services.queues import budget, move, queue_of, take_places
from labeling.services.records import stored_row, to_json
from labeling.services.routing import number_of
from labeling.services.verdicts import rule_set_of, verdicts_of
from models_registry.models import Detector, Version
from models_registry.services.hunt_tables import Hunt
from models_registry.services.hunts import Window, whole_rows
from traffic.services import segments

SENDERS = (*EXPERTS, Role.ENGINEER)
SEND, TAKE_BACK = "labeling.tasks.send_hunt", "labeling.tasks.take_back_hunt"
KIND, UNDO_KIND = gettext_noop("send a hunt to a queue"), gettext_noop("undo of a sent hunt")
CHUNK = 50  # items per transaction: who answers waits that long at most
LONGEST_NOTE = 4_000


class SendRefused(ValueError):  # noqa: N818
    """Nothing was sent; the message says why, for the person who asked."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What sending would do now."""

    sessions: int
    hosts: int
    looks: int  # items that the sessions fold into
    waiting: int  # of these, how many wait in a queue of the detector already
    answered: int  # or were answered
    fresh: int  # items that would be made
    unscored: int  # sessions that no version of the detector has scored
    places: int  # that the queue has left today
    too_many: bool

    @property
    def left_out(self) -> int:
        return max(self.fresh - self.places, 0)


def preview(hunt: Hunt, detector: Detector) -> Preview:
    """Return what sending all that passes would do. Writes nothing."""
    folded = fold(hunt, detector)
    known = _known(detector, folded.cases)
    answered = sum(state == ItemState.SETTLED for state in known.values())
    return Preview(
        sessions=folded.sessions,
        hosts=folded.hosts,
        looks=len(folded.cases),
        waiting=len(known) - answered,
        answered=answered,
        fresh=len(folded.cases) - len(known),
        unscored=folded.unscored,
        places=_places(detector),
        too_many=folded.too_many,
    )


def _known(detector: Detector, marks: Iterable[str]) -> dict[str, str]:
    """Return the looks that people were asked about already, with the state of their items.

    Drawn items are nobody's to find, and what expired is asked again."""
    queues = list(Queue.objects.filter(detector=detector).exclude(kind=Queue.Kind.PROOF))
    items = Item.objects.filter(queue__in=queues).exclude(state__in=[ItemState.EXPIRED, ItemState.SEED])
    found: dict[str, str] = {}
    for some in _batches(sorted(marks), 500):
        for mark, state in items.filter(fingerprint__in=some).values_list("fingerprint", "state"):
            found[mark] = state if found.get(mark) != ItemState.SETTLED else found[mark]
    return found


def _places(detector: Detector) -> int:
    today = QueueDay.objects.filter(
        queue__detector=detector, queue__kind=Queue.Kind.HUNT, day=timezone.now().date()
    ).first()
    return max(budget() - (today.admitted if today else 0), 0)


def start(
    text: str,
    detector: Detector,
    by: User,
    note: str,
    *,
    since: datetime | None,
    until: datetime,
    under_test: Version | None = None,
) -> HuntSend:
    """Have a job send all that passed when it was previewed, at `until`. Raises SendRefused, FilterError."""
    note = note.strip()
    if not note or len(note) > LONGEST_NOTE:
        raise SendRefused(_("Say in a note why experts should look: it stands on every item."))
    until = min(until, timezone.now())
    window = Window(since, until)
    now = preview(hunts.prepare(text, window=window, under_test=under_test, now=until), detector)
    if now.too_many:
        raise SendRefused(_("More than %(most)s sessions pass: narrow the filter.") % {"most": f"{MOST:,}"})
    if not now.fresh:
        raise SendRefused(_("Nothing passes that experts of this detector were not asked about already."))
    with transaction.atomic():
        sent = HuntSend.objects.create(
            text=text,
            since=since,
            until=until,
            under_test=str(under_test or ""),
            detector=detector,
            queue=queue_of(detector, Queue.Kind.HUNT),
            by=by,
            note=storable(note),
            preview=asdict(now),
        )
        sent.job = jobs.start(SEND, f"{KIND} {sent.pk}", {"send": sent.pk}, kind=KIND, by=by)
        sent.save(update_fields=["job"])
    return sent


# the job


def send(lease: Lease) -> dict[str, Any]:
    """Make the items that are missing, the strongest first, as long as the day has places."""
    sent = HuntSend.objects.select_related("queue", "detector").get(pk=lease.job.arguments["send"])
    hunt = _hunt(sent)
    cases = fold(hunt, sent.detector).cases
    known = _known(sent.detector, cases)
    missing = sorted(cases.keys() - known.keys(), key=lambda mark: (-_strength(cases[mark]), mark))
    made = sent.sent.count()  # by a run that died
    total = made + len(missing)
    for place in range(0, len(missing), CHUNK):
        lease.progress(made, total)
        some = {mark: cases[mark] for mark in missing[place : place + CHUNK]}
        full = _whole_rows(hunt, some.values())
        made += _send_some(sent, some, full, waiting=len(missing) - place)
        sent.refresh_from_db(fields=["left_out"])
        if sent.left_out:
            break  # the day has no places left
    lease.say(f"{made:,} items made, {sent.left_out:,} beyond the day's budget")
    links = [jobs.link(str(_("sent hunt")), "labeling:hunt-send", sent.pk)]
    return {"items": made, "left out": sent.left_out, "links": links}


def _hunt(sent: HuntSend) -> Hunt:
    window = Window(sent.since, sent.until)
    under_test = hunts.version_named(sent.under_test)
    return hunts.prepare(sent.text, window=window, under_test=under_test, now=sent.until)


def _strength(case: Case) -> float:
    group = case.group
    hosts = len(group.hosts)
    place = place_of(Reason.HUNT, routing.score_of(group), group.threshold, group.sessions, hosts, routing.POLICY)
    return place.number


def _whole_rows(hunt: Hunt, cases: Iterable[Case]) -> dict[int, Row]:
    """Return the sessions that the items keep, by row id: the one that is judged and a few others."""
    kept = [row for case in cases for row in (case.group.subject[1], *shown(case, examples.MOST))]
    return whole_rows(hunt, [row["rid"] for row in kept])


@transaction.atomic
def _send_some(sent: HuntSend, cases: dict[str, Case], full: dict[int, Row], *, waiting: int) -> int:
    """Make some items; of those that wait, what the day has no places for is counted. Return how many were made."""
    places = take_places(sent.queue, len(cases))  # and the row of the day is held: sends come one after the other
    known = _known(sent.detector, cases)
    chosen = [mark for mark in cases if mark not in known][:places]
    if places < len(cases):
        take_places(sent.queue, waiting - len(cases))
        HuntSend.objects.filter(pk=sent.pk).update(left_out=waiting - places)
    expired = list(routing.existing(sent.queue, chosen).select_for_update())
    routing.reopen(expired)
    for item in expired:
        item.decision |= _decision(sent)
        item.save(update_fields=["decision"])
    old = {item.fingerprint for item in expired}
    made = _make(sent, {mark: cases[mark] for mark in sorted(chosen) if mark not in old}, full)
    SentItem.objects.bulk_create([SentItem(send=sent, item=item) for item in (*expired, *made)])
    move(sent.queue_id, None, ItemState.OPEN, len(chosen))
    return len(chosen)


def _decision(sent: HuntSend) -> dict[str, Any]:
    return {"hunt": sent.pk, "note": sent.note}


def _make(sent: HuntSend, cases: dict[str, Case], full: dict[int, Row]) -> list[Item]:
    drafts = [_draft(sent.queue, mark, case) for mark, case in cases.items()]
    for item in drafts:
        item.decision |= _decision(sent)
    items = Item.objects.bulk_create(drafts)
    pairs = list(zip(items, cases.values(), strict=True))
    ItemRecord.objects.bulk_create(_record(item, case, full[case.group.subject[1]["rid"]]) for item, case in pairs)
    routing.add_counts([(item, case.group) for item, case in pairs])
    examples.add({item.pk: [full[row["rid"]] for row in shown(case, examples.MOST)] for item, case in pairs})
    for item, case in pairs:
        for sensor, starts in case.by_sensor():
            spread.add(sensor, {item.pk: starts})
    return items


def _draft(queue: Queue, mark: str, case: Case) -> Item:
    return routing.make_item(case.file, queue, mark, case.group, 0, priorities.standing(case.file.version))


def _record(item: Item, case: Case, row: Row) -> ItemRecord:
    file, number = case.file, number_of(row)
    return ItemRecord(
        item=item,
        row=to_json(stored_row(row)),
        raw=storable(segments.raw_line(file.segment, number).decode("utf-8", "replace")),
        scores=to_json(list(verdicts_of(file)(number))),
        rule_set=storable(rule_set_of(file.segment), 255),
    )


# taking it back


def cancel(sent: HuntSend, by: User) -> None:
    """Ask its job to end; the items it has made by then stay, until it is undone. Raises SendRefused."""
    if sent.by_id != by.pk:
        raise SendRefused(_("What was sent is cancelled by who sent it."))
    if sent.job is None or not jobs.cancel(sent.job, by):
        raise SendRefused(_("It has ended already."))


@transaction.atomic
def undo(sent: HuntSend, by: User) -> HuntSend:
    """Have a job close all items of a send that nobody has answered or holds. Raises SendRefused."""
    sent = HuntSend.objects.select_for_update(of=("self",)).select_related("job").get(pk=sent.pk)
    if sent.by_id != by.pk:
        raise SendRefused(_("What was sent is taken back by who sent it."))
    if sent.job is not None and sent.job.is_live:
        raise SendRefused(_("It is still being sent: cancel it first."))
    if sent.undo_job is not None:
        raise SendRefused(_("It is undone already."))
    sent.undo_job = jobs.start(TAKE_BACK, f"{UNDO_KIND} {sent.pk}", {"send": sent.pk}, kind=UNDO_KIND, by=by)
    sent.save(update_fields=["undo_job"])
    return sent


def take_back(lease: Lease) -> dict[str, Any]:
    """Close what is still unanswered, chunk by chunk."""
    sent = HuntSend.objects.get(pk=lease.job.arguments["send"])
    total = sent.sent.count()
    while left := list(sent.sent.filter(removed=None).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        _take_back_some(sent, left)
        lease.progress(total - sent.sent.filter(removed=None).count(), total)
    removed = sent.sent.filter(removed=True).count()
    lease.say(f"{removed:,} items removed, {total - removed:,} stay: answered or held")
    links = [jobs.link(str(_("sent hunt")), "labeling:hunt-send", sent.pk)]
    return {"removed": removed, "stay": total - removed, "links": links}


@transaction.atomic
def _take_back_some(sent: HuntSend, pks: Sequence[int]) -> None:
    some = SentItem.objects.filter(pk__in=pks)
    items = Item.objects.filter(sent_by__in=some, state=ItemState.OPEN)
    now = timezone.now()
    unheld = items.filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
    free = unheld.exclude(Exists(Label.objects.filter(item=OuterRef("pk"))))
    locked = list(free.order_by("fingerprint").select_for_update().values_list("pk", flat=True))
    Item.objects.filter(pk__in=locked).update(state=ItemState.EXPIRED)
    some.filter(item__in=locked).update(removed=True)
    some.filter(removed=None).update(removed=False)
    move(sent.queue_id, ItemState.OPEN, None, len(locked))


def _batches(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(values), size):
        yield values[begin : begin + size]
