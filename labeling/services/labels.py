"""Answers: the only code that writes labels and what follows from them for an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.prepared import ByKey, Insert
from accounts.roles import Role
from labeling.models import (
    DECIDED,
    NO_ANSWER,
    Answer,
    BulkVerdict,
    ComplaintItem,
    GroupCheck,
    Item,
    ItemState,
    Label,
    ReferenceRow,
)
from labeling.models.labels import LabelQuerySet
from labeling.services import chains, conflicts, days
from labeling.services.details import Given, LabelRefused, refuse_silence
from labeling.services.states import Step, follow, history_of, uncontested

UNDO_WITHIN = timedelta(hours=12)  # later corrections are a matter for a second opinion, not for a key
UNDOABLE = 20  # of an expert's newest answers

_LOCKED = ByKey(
    lambda: Item.objects.select_for_update(of=("self",)).select_related("queue__detector").defer("decision", "score")
)
_NEW = Insert(Label)


class NotHolder(LabelRefused):
    """Somebody else holds the item, or nobody does."""

    def __init__(self, holder: User | None) -> None:
        self.holder = holder
        super().__init__(
            _("%(holder)s holds this item now.") % {"holder": holder}
            if holder
            else _("You do not hold this item any more.")
        )


class UndoRefused(LabelRefused):
    """The label stays; the message says why."""


class UndoOfMany(UndoRefused):
    """The newest answer is a bulk verdict: a job takes it back."""

    def __init__(self, bulk: BulkVerdict) -> None:
        self.bulk = bulk
        super().__init__(
            _("Your newest answer is a bulk verdict for %(n)s items: undo it on its page.") % {"n": bulk.applied}
        )


@transaction.atomic
def submit(
    item: Item,
    expert: User,
    answer: str,
    reason_code: str = "",
    family: str = "",
    authorised: bool = False,
    note: str = "",
    expires_at: datetime | None = None,
    expires_when: str = "",
) -> Label:
    """Write the expert's answer and what it makes of the item. Raises NotHolder, LabelRefused."""
    given = Given(answer, reason_code, family, authorised, note, expires_at, expires_when).checked()
    return write(hold(item.pk, expert), expert, given).label


def hold(pk: int, expert: User) -> Item:
    """Return an item that the expert may answer, and keep it from everybody until the transaction ends.

    Raises Item.DoesNotExist, NotHolder, LabelRefused."""
    locked = _LOCKED.get(pk)
    if locked.claimed_by_id != expert.pk:
        raise NotHolder(locked.holder)
    _refuse_late(locked, expert)
    return locked


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that was written, and how many its expert has given that day; None where it is no further one."""

    label: Label
    today: int | None


def write(item: Item, expert: User, given: Given) -> Written:
    """Write an answer that is checked to an item that is held, and what it makes of the item. Raises LabelRefused.

    Its count in the queue, for which others wait, is moved last."""
    refuse_silence(item, given)
    history = history_of([item])[item.pk]
    earlier = next((step for step in reversed(history) if step.expert == expert.pk), None)
    again = item.state == ItemState.RETURNED and conflicts.is_asked(item, expert)
    if earlier is not None and earlier.answer not in NO_ANSWER and not again:
        raise LabelRefused(_("You have answered this item already. Undo that answer first."))
    now = timezone.now()
    label = _NEW(
        item=item,
        detector_id=item.detector_id,
        subject_kind=item.subject_kind,
        subject_key=item.subject_key,
        expert=expert,
        supersedes_id=earlier.label if earlier else None,
        milliseconds=_milliseconds(item.opened_at, now),
        created_at=now,
        **given.on(item),
    )
    conflicts.note(item, label)
    today = None if again else days.count(expert, now)
    history.append(Step(expert.pk, Answer(label.answer), expert.role == Role.SENIOR, label.pk))
    follow([item], now, release=True, history={item.pk: history})
    return Written(label, today)


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo withdrew: an answer, with all that was inherited from it."""

    label: Label  # the new link that leaves no answer
    answers: int
    kept: int  # that are in the reference set already

    @property
    def item(self) -> Item:
        return self.label.item

    @property
    def told(self) -> str:
        """What happened, for the expert."""
        if self.answers + self.kept == 1:
            return _("Your answer is withdrawn. Answer again.")
        told = _("Your answer to %(n)s look-alikes is withdrawn.") % {"n": self.answers}
        if self.kept:
            told += " " + _("%(n)s are in the reference set already and stay.") % {"n": self.kept}
        return told


@transaction.atomic
def undo(expert: User, label: Label | None = None) -> Undone | None:
    """Withdraw one of the expert's UNDOABLE newest answers, the newest unless another is named, and reopen its item.

    A group verdict is withdrawn as one. None when there is nothing recent, or a second press of the key was faster.
    Raises UndoRefused."""
    recent = list(undoable(expert))
    label = next((one for one in recent if label is None or one == label), None)
    if label is None:
        return None
    if (bulk := BulkVerdict.objects.filter(label=label).first()) is not None:
        raise UndoOfMany(bulk)
    differing = GroupCheck.objects.filter(origin=label, agreed=False).values_list("item_id", flat=True)
    items = chains.locked({*_current(label).values_list("item_id", flat=True), *differing})
    labels = list(_current(label))
    if not labels:
        return None
    answered = {one.item_id for one in labels}
    refused = {item.pk: why for item in items if item.pk in answered and (why := _why_not(item, label))}
    free = [one for one in labels if one.item_id not in refused]
    if not free:
        raise UndoRefused(next(iter(refused.values())))
    now = timezone.now()
    withdrawn = chains.end(free, Answer.WITHDRAWN, now)
    if label in free:
        days.count(expert, label.created_at, -1)
    GroupCheck.objects.waiting().filter(origin=label).delete()
    reopened = uncontested([item for item in items if item.pk not in refused])
    conflicts.ask_anew(reopened, expert)
    follow(reopened, now, release=False)  # somebody else may hold them by now
    return Undone(withdrawn[0], len(free), len(refused))


def undoable(expert: User) -> LabelQuerySet:
    """Return the expert's own answers that can be undone, newest first: UNDOABLE at most."""
    own = Label.objects.current().own().filter(expert=expert, created_at__gt=timezone.now() - UNDO_WITHIN)
    return own.select_related("item").order_by("-created_at", "-id")[:UNDOABLE]


def _current(label: Label) -> LabelQuerySet:
    return Label.objects.current().with_heirs(label).order_by("id")


def _why_not(item: Item, label: Label) -> str:
    """Return why the answer to an item cannot be undone, if so."""
    # a row that is older than the answer rests on others
    if ReferenceRow.objects.filter(item=item, admitted_at__gte=label.created_at).exists():
        told = _("“%(item)s” is in the reference set already; its answer can no longer be undone.")
        return told % {"item": item.title}
    if ComplaintItem.objects.filter(item=item).exclude(collected_at=None).exists():
        return _("The complaint behind “%(item)s” has your answer already.") % {"item": item.title}
    return ""


def correct(item: Item, answer: str, by: Sequence[tuple[User, str]]) -> list[Label]:
    """Write the equal answers of people who found a settled item's answer wrong, each with a note; theirs counts now.

    Call inside atomic(), when the reference row of the wrong answer is retired. Raises LabelRefused."""
    locked = _LOCKED.get(item.pk)
    if locked.state != ItemState.SETTLED or answer not in DECIDED:
        raise LabelRefused(_("Only a settled item's answer is corrected, to positive or negative."))
    now = timezone.now()
    made = [
        Label.objects.create(
            item=locked,
            detector_id=locked.detector_id,
            subject_kind=locked.subject_kind,
            subject_key=locked.subject_key,
            expert=expert,
            supersedes=_tail(locked, expert),
            created_at=now,
            **Given(answer, note=note).checked().on(locked),
        )
        for expert, note in by
    ]
    Item.objects.filter(pk=locked.pk).update(outcome=answer, settled_at=now, reference_checked_at=None, not_admitted="")
    return made


def answered_today(expert: User) -> int:
    """Return how many items the expert has answered since midnight UTC."""
    return days.answered(expert, timezone.now())


def _tail(item: Item, expert: User) -> Label | None:
    """Return the newest link of the expert's chain of answers."""
    return Label.objects.filter(item=item, expert=expert, superseded_by=None).first()


def _refuse_late(item: Item, expert: User) -> None:
    if item.state == ItemState.SETTLED:
        raise LabelRefused(_("This item is settled already."))
    conflicts.refuse_stranger(item, expert)


def _milliseconds(opened_at: datetime | None, now: datetime) -> int | None:
    return int((now - opened_at).total_seconds() * 1000) if opened_at else None
