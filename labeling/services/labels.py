"""Answers: the only code that writes labels and what follows from them for an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from labeling.models import Answer, ComplaintItem, Item, ItemState, Label, Queue, ReasonCode, ReferenceRow, Source
from labeling.services.queues import move
from models_registry.models import Detector

UNDO_WITHIN = timedelta(hours=12)  # later corrections are a matter for a second opinion, not for a key
LONGEST_NOTE = 4_000


class LabelRefused(ValueError):  # noqa: N818
    """The answer was not taken; the message is for the expert."""


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


@transaction.atomic
def submit(
    item: Item,
    expert: User,
    answer: str,
    reason_code: str = "",
    family: str = "",
    authorised: bool = False,
    note: str = "",
) -> Label:
    """Write the expert's answer and what it makes of the item. Raises NotHolder, LabelRefused."""
    locked = _lock(item)
    if locked.claimed_by_id != expert.pk:
        raise NotHolder(locked.holder)
    _refuse_late(locked, expert)
    details = _checked(locked, answer, reason_code, family, authorised, note)
    earlier = _tail(locked, expert)
    if earlier is not None and earlier.answer != Answer.WITHDRAWN:
        raise LabelRefused(_("You have answered this item already. Undo that answer first."))
    now = timezone.now()
    label = Label.objects.create(
        item=locked,
        detector_id=locked.detector_id,
        subject_kind=locked.subject_kind,
        subject_key=locked.subject_key,
        expert=expert,
        supersedes=earlier,
        milliseconds=_milliseconds(locked.opened_at, now),
        created_at=now,
        **details,
    )
    _follow(locked, now, release=True)
    return label


@transaction.atomic
def undo(expert: User) -> Label | None:
    """Withdraw the expert's newest answer and reopen its item; None when there is nothing recent.

    Raises UndoRefused."""
    own = Label.objects.current().filter(expert=expert, source=Source.EXPERT)
    recent = own.filter(created_at__gt=timezone.now() - UNDO_WITHIN)
    label = recent.order_by("-created_at", "-id").first()
    if label is None:
        return None
    item = _lock(label.item)
    if ReferenceRow.objects.filter(item=item).exists():
        raise UndoRefused(
            _("“%(item)s” is in the reference set already; its answer can no longer be undone.") % {"item": item.title}
        )
    if ComplaintItem.objects.filter(item=item).exclude(collected_at=None).exists():
        raise UndoRefused(_("The complaint behind “%(item)s” has your answer already.") % {"item": item.title})
    if Label.objects.filter(supersedes=label).exists():  # a second press of the key was faster
        return None
    withdrawn = Label.objects.create(
        item=item,
        detector_id=label.detector_id,
        subject_kind=label.subject_kind,
        subject_key=label.subject_key,
        expert=expert,
        answer=Answer.WITHDRAWN,
        supersedes=label,
    )
    _follow(item, timezone.now(), release=False)  # somebody else may hold it by now
    return withdrawn


def answered_today(expert: User) -> int:
    """Return how many items the expert has answered since midnight UTC."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return Label.objects.current().filter(expert=expert, source=Source.EXPERT, created_at__gte=midnight).count()


def _lock(item: Item) -> Item:
    return Item.objects.select_for_update(of=("self",)).select_related("queue", "claimed_by").get(pk=item.pk)


def _checked(item: Item, answer: str, reason_code: str, family: str, authorised: bool, note: str) -> dict[str, Any]:
    """Return the fields of a label; details that do not belong to the answer are dropped."""
    if answer not in (Answer.POSITIVE, Answer.NEGATIVE, Answer.UNDECIDED):
        raise LabelRefused(_("“%(answer)s” is not an answer.") % {"answer": answer})
    if answer == Answer.NEGATIVE and (reason_code or ReasonCode.OTHER) not in ReasonCode.values:
        raise LabelRefused(_("“%(reason)s” is not a reason.") % {"reason": reason_code})
    if item.queue.kind == Queue.Kind.COMPLAINT and answer != Answer.NEGATIVE and not (note.strip() or family.strip()):
        raise LabelRefused(_("A customer waits for the reason: write a note why it is rejected, or what is missing."))
    if len(note) > LONGEST_NOTE:
        raise LabelRefused(_("The note is longer than %(limit)s characters.") % {"limit": LONGEST_NOTE})
    positive = answer == Answer.POSITIVE
    # who answers a proof item does not know the verdict
    wrong_verdict = answer == Answer.NEGATIVE and item.flagged and not item.is_proof
    return {
        "answer": answer,
        "reason_code": (reason_code or ReasonCode.OTHER) if wrong_verdict else "",
        "family": _without_nul(family).strip()[:64] if positive else "",
        "authorised": authorised and positive,
        "note": _without_nul(note).strip(),
    }


def _without_nul(text: str) -> str:
    return text.replace("\0", "\u2400")  # PostgreSQL refuses NUL


def _tail(item: Item, expert: User) -> Label | None:
    """Return the newest link of the expert's chain of answers."""
    return Label.objects.filter(item=item, expert=expert, superseded_by=None).first()


def _refuse_late(item: Item, expert: User) -> None:
    if item.state == ItemState.SETTLED:
        raise LabelRefused(_("This item is settled already."))
    if item.state == ItemState.CONFLICT and not expert.has_role(Role.SENIOR):
        raise LabelRefused(_("The answers to this item differ: a senior expert decides."))


def _follow(item: Item, now: datetime, *, release: bool) -> None:
    """Set the item's state to what its labels say."""
    history = [
        Step(expert, Answer(answer), role == Role.SENIOR)
        for expert, answer, role in Label.objects.filter(item=item)
        .order_by("id")
        .values_list("expert_id", "answer", "expert__role")
    ]
    state, outcome = state_after(history, item.needed)
    changes: dict[str, Any] = {
        "state": state,
        "outcome": outcome,
        "settled_at": now if state == ItemState.SETTLED else None,
        "reference_checked_at": None,
        "not_admitted": "",
    }
    if release:
        changes |= {"claimed_by": None, "claimed_until": None, "opened_at": None}
    Item.objects.filter(pk=item.pk).update(**changes)
    move(item.queue_id, item.state, state)


@dataclass(frozen=True, slots=True)
class Step:
    """One label in the history of an item."""

    expert: int
    answer: Answer
    senior: bool


def state_after(history: Iterable[Step], needed: int) -> tuple[ItemState, str]:
    """Return the state and outcome that an item's whole history gives it.

    `needed` equal answers settle it; positive against negative is a conflict, which the next senior's answer ends.
    Undecided agrees with nothing but itself. A decision stands as long as the senior does not withdraw it."""
    answers: dict[int, Answer] = {}
    decided_by: int | None = None
    for step in history:
        if step.answer == Answer.WITHDRAWN:
            answers.pop(step.expert, None)
            decided_by = None if decided_by == step.expert else decided_by
            continue
        if decided_by is None and step.senior and _differ(answers):
            decided_by = step.expert
        answers[step.expert] = step.answer
    if decided_by is not None:
        return ItemState.SETTLED, answers[decided_by].value
    if _differ(answers):
        return ItemState.CONFLICT, ""
    for answer, count in Counter(answers.values()).most_common():
        if count >= needed:
            return ItemState.SETTLED, answer.value
    return ItemState.OPEN, ""


def _differ(answers: Mapping[int, Answer]) -> bool:
    return {Answer.POSITIVE, Answer.NEGATIVE} <= set(answers.values())


def _milliseconds(opened_at: datetime | None, now: datetime) -> int | None:
    return int((now - opened_at).total_seconds() * 1000) if opened_at else None


def families(detector: Detector) -> list[str]:
    """Return the families experts named lately, for type-ahead; a minute old at most."""
    return cache.get_or_set(f"families-{detector.pk}", lambda: _families(detector), timeout=60) or []


def _families(detector: Detector) -> list[str]:
    named = Label.objects.filter(detector=detector, answer=Answer.POSITIVE).exclude(family="").order_by("-id")
    return sorted(set(named.values_list("family", flat=True)[:200]))
