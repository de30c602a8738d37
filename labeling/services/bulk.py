"""The bulk verdict: one answer to all that match a filter, given by a job in chunks, taken back by another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random, SystemRandom
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from accounts.models import User
from accounts.roles import EXPERTS, Role
from accounts.services import audit
from detection.groups import draw_checks
from jobs.services import jobs
from jobs.services.jobs import Lease
from labeling.models import (
    NO_ANSWER,
    Answer,
    BulkVerdict,
    GroupCheck,
    Item,
    ItemState,
    Label,
    Queue,
    ReferenceRow,
)
from labeling.services import bulk_previews, chains, days, groups
from labeling.services.bulk_previews import Preview
from labeling.services.details import Given, LabelRefused
from labeling.services.filters import ItemFilter
from labeling.services.states import follow, uncontested

GIVE, TAKE_BACK = "labeling.tasks.give_bulk_verdict", "labeling.tasks.take_back_bulk_verdict"
KIND, UNDO_KIND = gettext_noop("bulk verdict"), gettext_noop("undo of a bulk verdict")
CHUNK = 200  # items per transaction: who answers singly waits that long at most
UNDO_WITHIN = timedelta(days=7)


class BulkRefused(LabelRefused):
    """Nothing was done; the message says why."""


class Changed(BulkRefused):
    """What matches is not what was shown."""

    def __init__(self, shown: int | None, now: Preview) -> None:
        self.preview = now
        super().__init__(
            _("What matches has changed since you looked: it was %(shown)s, and is %(now)s items. Look again.")
            % {"shown": shown if shown is not None else "?", "now": now.items}
        )


@transaction.atomic
def start(
    queue: Queue,
    wanted: ItemFilter,
    expert: User,
    given: Given,
    *,
    digest: str,
    shown: int | None = None,
    lots: Random | None = None,
) -> BulkVerdict:
    """Freeze what matches, if it is what was shown (`digest`), and have a job answer it. Raises LabelRefused.

    Some items are kept to be answered singly, as in a group verdict: what differs contests the whole act."""
    given = given.checked()
    if not given.note:
        raise BulkRefused(_("Say why in a note: it stands on every item."))
    if queue.kind in groups.APART:
        raise BulkRefused(_("Each item of this queue wants an answer of its own."))
    now = bulk_previews.preview(queue, wanted, expert)
    if now.too_many:
        raise BulkRefused(_("More than %(most)s items match: narrow the filter.") % {"most": bulk_previews.MOST})
    if now.digest != digest:
        raise Changed(shown, now)
    if not now.items:
        raise BulkRefused(_("Nothing matches that you may answer."))
    checks = draw_checks(now.pks, groups.POLICY, lots or SystemRandom())
    bulk = BulkVerdict.objects.create(
        queue=queue,
        by=expert,
        filter=wanted.query,
        answer=given.answer,
        reason_code=given.reason_code,
        family=given.family,
        authorised=given.authorised,
        note=given.note,
        expires_at=given.expires_at,
        expires_when=given.expires_when,
        preview=now.stored(given.answer) | {"policy": groups.POLICY.to_dict()},
        items=[pk for pk in now.pks if pk not in checks],
        checks=sorted(checks),
    )
    bulk.job = jobs.start(GIVE, f"{KIND} {bulk.pk}", {"bulk": bulk.pk}, kind=KIND, by=expert)
    bulk.save(update_fields=["job"])
    return bulk


def give(lease: Lease) -> dict[str, Any]:
    """Answer the frozen items chunk by chunk. A second run goes on at the chunk that the first one did not finish."""
    pk = lease.job.arguments["bulk"]
    while True:
        bulk = _give_some(pk)
        lease.progress(bulk.place, len(bulk.items))
        if bulk.is_done:
            break
    if bulk.applied + sum(len(pks) for pks in bulk.left_out.values()) != len(bulk.items):
        raise AssertionError(f"{bulk}: {bulk.applied} answered, {bulk.left_out} left out, {len(bulk.items)} shown")
    told = ", ".join(f"{len(pks):,} {why}" for why, pks in sorted(bulk.left_out.items()))
    lease.say(f"{bulk.applied:,} of {len(bulk.items):,} items answered{': ' if told else ''}{told}")
    return {
        "previewed": len(bulk.items),
        "answered": bulk.applied,
        "changed meanwhile": {why: len(pks) for why, pks in bulk.left_out.items()},
        "links": [jobs.link(str(_("bulk verdict")), "labeling:bulk-verdict", bulk.pk)],
    }


@transaction.atomic
def _give_some(pk: int) -> BulkVerdict:
    bulk = BulkVerdict.objects.select_for_update(of=("self",)).select_related("by", "label").get(pk=pk)
    chunk = bulk.items[bulk.place : bulk.place + CHUNK]
    items = chains.locked(chunk)
    free = groups.still_free(items, bulk.by)
    now = timezone.now()
    labels = chains.inherit(free, bulk.label, bulk.by, given_by(bulk), now)
    if bulk.label is None and labels:
        bulk.label = labels[0]
        GroupCheck.objects.bulk_create(GroupCheck(origin=bulk.label, item_id=check) for check in bulk.checks)
    for why, left in _left_out(items, free, bulk.by).items():
        bulk.left_out[why] = [*bulk.left_out.get(why, []), *left]
    bulk.place += len(chunk)
    bulk.applied += len(free)
    bulk.save(update_fields=["label", "left_out", "place", "applied"])
    follow(free, now, release=True)
    return bulk


def given_by(bulk: BulkVerdict) -> Given:
    return Given(
        answer=bulk.answer,
        reason_code=bulk.reason_code,
        family=bulk.family,
        authorised=bulk.authorised,
        note=bulk.note,
        expires_at=bulk.expires_at,
        expires_when=bulk.expires_when,
    )


def _left_out(items: Sequence[Item], free: Sequence[Item], expert: User) -> dict[str, list[int]]:
    """Return the items that changed after the preview, by what happened to them."""
    taken = {item.pk for item in free}
    mine = {pk for pk, tail in chains.tails(items, expert).items() if tail.answer not in NO_ANSWER}
    kept = set(GroupCheck.objects.waiting().filter(item__in=items).values_list("item_id", flat=True))
    left: dict[str, list[int]] = {}
    for item in items:
        if item.pk not in taken:
            why = "answered" if item.pk in mine else item.state
            if why == ItemState.OPEN:
                why = "check" if item.pk in kept else "held"
            left.setdefault(why, []).append(item.pk)
    return left


WHY_LEFT_OUT = {
    "answered": gettext_lazy("answered by you"),
    "check": gettext_lazy("kept as a check"),
    "held": gettext_lazy("held by others"),
    **dict(ItemState.choices),
}


def why_left_out(bulk: BulkVerdict) -> list[tuple[str, int]]:
    """Return what happened to the items that changed after the preview, with how many."""
    return [(str(WHY_LEFT_OUT.get(why, why)), len(pks)) for why, pks in sorted(bulk.left_out.items())]


def may_end(bulk: BulkVerdict, expert: User) -> bool:
    """Say whether a person may cancel or undo it: who gave it, and any senior expert."""
    return (bulk.by_id == expert.pk and expert.has_role(*EXPERTS)) or expert.has_role(Role.SENIOR)


def cancel(bulk: BulkVerdict, expert: User) -> None:
    """Ask its job to end; what it has answered by then stays answered, until it is undone. Raises BulkRefused."""
    if not may_end(bulk, expert):
        raise BulkRefused(_("A bulk verdict is cancelled by who gave it, or by a senior expert."))
    if bulk.job is None or not jobs.cancel(bulk.job, expert):
        raise BulkRefused(_("It has ended already."))


# taking it back


@transaction.atomic
def undo(bulk: BulkVerdict, expert: User) -> BulkVerdict:
    """Have a job withdraw every answer of a bulk verdict. What is in the reference set stays. Raises BulkRefused."""
    bulk = BulkVerdict.objects.select_for_update(of=("self",)).select_related("job", "label").get(pk=bulk.pk)
    if not may_end(bulk, expert):
        raise BulkRefused(_("A bulk verdict is undone by who gave it, or by a senior expert."))
    if bulk.job is not None and bulk.job.is_live:
        raise BulkRefused(_("It is still being given: cancel it first."))
    if bulk.undo_job is not None:
        raise BulkRefused(_("It is undone already."))
    if bulk.label is None:
        raise BulkRefused(_("It answered nothing."))
    if bulk.created_at < timezone.now() - UNDO_WITHIN:
        raise BulkRefused(_("It is older than %(days)s days.") % {"days": UNDO_WITHIN.days})
    bulk.undo_job = jobs.start(TAKE_BACK, f"{UNDO_KIND} {bulk.pk}", {"bulk": bulk.pk}, kind=UNDO_KIND, by=expert)
    bulk.save(update_fields=["undo_job"])
    if bulk.by_id != expert.pk:
        audit.record(expert, "bulk-verdict.undone", f"bulk verdict {bulk.pk}", of=str(bulk.by), answers=bulk.applied)
    return bulk


def take_back(lease: Lease) -> dict[str, Any]:
    """Withdraw the answers of a bulk verdict chunk by chunk, in the order in which they were given."""
    pk = lease.job.arguments["bulk"]
    while (bulk := _take_back_some(lease, pk)) is not None:
        lease.progress(bulk.withdrawn + bulk.kept, bulk.applied)
    bulk = BulkVerdict.objects.get(pk=pk)
    lease.say(f"{bulk.withdrawn:,} answers withdrawn, {bulk.kept:,} in the reference set stay")
    links = [jobs.link(str(_("bulk verdict")), "labeling:bulk-verdict", pk)]
    return {"withdrawn": bulk.withdrawn, "in the reference set": bulk.kept, "links": links}


@transaction.atomic
def _take_back_some(lease: Lease, pk: int) -> BulkVerdict | None:
    bulk = BulkVerdict.objects.select_for_update(of=("self",)).select_related("label", "by").get(pk=pk)
    assert bulk.label is not None
    GroupCheck.objects.waiting().filter(origin=bulk.label).delete()
    given = Label.objects.current().with_heirs(bulk.label).filter(pk__gt=lease.facts.get("after", 0))
    labels = list(given.order_by("pk")[:CHUNK])
    if not labels:
        return None
    items = chains.locked([label.item_id for label in labels])
    rows = ReferenceRow.objects.filter(item__in=items, labels__in=labels)
    inside = set(rows.values_list("item_id", flat=True))
    now = timezone.now()
    note = f"undone by {lease.job.created_by}" if lease.job.created_by_id not in (None, bulk.by_id) else ""
    chains.end([label for label in labels if label.item_id not in inside], Answer.WITHDRAWN, now, note)
    if bulk.label in labels and bulk.label.item_id not in inside:
        days.count(bulk.by, bulk.label.created_at, -1)
    follow(uncontested([item for item in items if item.pk not in inside]), now, release=False)
    bulk.withdrawn += len(labels) - len(inside)
    bulk.kept += len(inside)
    bulk.save(update_fields=["withdrawn", "kept"])
    lease.keep(after=labels[-1].pk)
    return bulk
