"""What an item's labels make of it: state and outcome follow from the whole history, never from a flag."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Q

from accounts import prepared
from accounts.roles import Role
from labeling.models import NO_ANSWER, Answer, AskedAgain, GroupCheck, Item, ItemState, Label
from labeling.services.queues import move

MOST_NAMED = 1000  # rows of one statement
FREE: dict[str, Any] = {"claimed_by_id": None, "claimed_until": None, "opened_at": None}

# every answer of every expert waits for these: Django would write their SQL anew each time
_HISTORY = """
SELECT label.item_id, label.id, label.expert_id, label.answer, person.role
FROM labeling_label label JOIN accounts_user person ON person.id = label.expert_id
WHERE label.item_id IN ({items}) ORDER BY label.id
"""
_CHANGE = "UPDATE labeling_item SET {columns} WHERE id IN ({items})"


@dataclass(frozen=True, slots=True)
class Step:
    """One label in the history of an item."""

    expert: int
    answer: Answer
    senior: bool
    label: int = 0  # its number; labels of an item are in the order of their numbers


def state_after(history: Iterable[Step], needed: int, contested_after: int | None = None) -> tuple[ItemState, str]:
    """Return the state and outcome that an item's whole history gives it.

    `needed` equal answers settle it; positive against negative is a conflict, which the next senior's answer ends. So
    do answers up to the label `contested_after`: a look-alike was answered differently. Undecided agrees with nothing
    but itself. A decision stands as long as the senior does not withdraw it."""
    answers: dict[int, Step] = {}
    decided_by: int | None = None
    for step in history:
        if step.answer in NO_ANSWER:
            answers.pop(step.expert, None)
            decided_by = None if decided_by == step.expert else decided_by
            continue
        if decided_by is None and step.senior and _in_conflict(answers, contested_after, before=step.label):
            decided_by = step.expert
        answers[step.expert] = step
    if decided_by is not None:
        return ItemState.SETTLED, answers[decided_by].answer.value
    if _in_conflict(answers, contested_after):
        return ItemState.CONFLICT, ""
    for answer, count in Counter(step.answer for step in answers.values()).most_common():
        if count >= needed:
            return ItemState.SETTLED, answer.value
    return ItemState.OPEN, ""


def _in_conflict(answers: Mapping[int, Step], contested_after: int | None, before: int | None = None) -> bool:
    if {Answer.POSITIVE, Answer.NEGATIVE} <= {step.answer for step in answers.values()}:
        return True
    if contested_after is None or (before is not None and before <= contested_after):
        return False
    return any(step.label <= contested_after for step in answers.values())


def follow(
    items: Sequence[Item], now: datetime, *, release: bool, history: Mapping[int, Sequence[Step]] | None = None
) -> None:
    """Set the states of items to what their labels say. The items are locked, and come with their queue."""
    seeds = [item.pk for item in items if item.state == ItemState.SEED]  # no answer makes anything of them
    if seeds and release:
        Item.objects.filter(pk__in=seeds).update(**FREE)
    items = [item for item in items if item.state != ItemState.SEED]
    changes: dict[tuple[ItemState, str, bool], list[int]] = defaultdict(list)
    moves: Counter[tuple[int, str, str]] = Counter()
    history = history or history_of(items)
    asked = _asked([item.pk for item in items if item.state == ItemState.RETURNED])
    for item in items:
        state, outcome = state_after(history[item.pk], item.needed, item.contested_after)
        if item.pk in asked and state != ItemState.SETTLED:
            state, outcome = ItemState.RETURNED, ""
        disputes = state == ItemState.CONFLICT and item.disputed_at is None
        changes[state, outcome, disputes].append(item.pk)
        moves[item.queue_id, item.state, state.value] += 1
    for (state, outcome, disputes), pks in changes.items():
        columns = _columns(state, outcome, now, release=release)
        if disputes:
            columns["disputed_at"] = now
        _change(pks, columns)
    for (queue, before, after), count in sorted(moves.items()):
        move(queue, before, after, count)


def _asked(returned: Sequence[int]) -> set[int]:
    """Return those of the returned items that somebody was asked about and has not answered since."""
    if not returned:
        return set()
    waiting = AskedAgain.objects.filter(question__item__in=returned, answered_at=None)
    return set(waiting.values_list("question__item_id", flat=True))


def history_of(items: Sequence[Item]) -> dict[int, list[Step]]:
    """Return the labels of each item, the oldest first."""
    history: dict[int, list[Step]] = defaultdict(list)
    for some in _batched([item.pk for item in items]):
        with _cursor(some) as cursor:
            cursor.execute(_HISTORY.format(items=_marks(some)), some)
            found = cursor.fetchall()
        for item, pk, expert, answer, role in found:
            history[item].append(Step(expert, Answer(answer), role == Role.SENIOR, pk))
    return history


def _change(items: Sequence[int], columns: Mapping[str, Any]) -> None:
    """Set columns of items."""
    names = ", ".join(f"{name} = %s" for name in columns)
    values = [_stored(value) for value in columns.values()]
    for some in _batched(items):
        with _cursor(some) as cursor:
            cursor.execute(_CHANGE.format(columns=names, items=_marks(some)), [*values, *some])


def _batched(items: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield as many at a time as a statement may name."""
    for start in range(0, len(items), MOST_NAMED):
        yield items[start : start + MOST_NAMED]


def _cursor(items: Sequence[int]) -> CursorWrapper:
    """An answer to one item is what happens all day; there are as many statements for more as there are numbers."""
    return prepared.cursor() if len(items) == 1 else connection.cursor()


def _marks(values: Sequence[int]) -> str:
    return ", ".join(["%s"] * len(values))


def _stored(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _columns(state: ItemState, outcome: str, now: datetime, *, release: bool) -> dict[str, Any]:
    settled = state == ItemState.SETTLED
    columns: dict[str, Any] = {
        "state": state.value,
        "outcome": outcome,
        "settled_at": now if settled else None,
        "reference_checked_at": None,
        "not_admitted": "",
    }
    if settled:
        columns |= {"recheck_at": None}
    if state in (ItemState.OPEN, ItemState.SETTLED):
        columns |= {"disputed_at": None}
    if release:
        columns |= FREE
    return columns


def uncontested(items: Sequence[Item]) -> Sequence[Item]:
    """Let items whose contested answers are all withdrawn be in conflict no more."""
    was = {item.pk for item in items if item.contested_after is not None}
    if was:
        failed = Q(checks__agreed=False) | Q(inherited_from__checks__agreed=False)
        still = set(Label.objects.current().filter(failed, item__in=was).values_list("item_id", flat=True))
        differing = GroupCheck.objects.filter(agreed=False, origin__superseded_by=None, item__in=was)
        still |= set(differing.values_list("item_id", flat=True))
        Item.objects.filter(pk__in=was - still).update(contested_after=None)
        for item in items:
            item.contested_after = item.contested_after if item.pk in still else None
    return items
