"""What a language model suggests: asked in the background, shown after one's own answer, counted nowhere.

Drawn sessions are never asked about, they are blind; nor are complaints, which are a customer's data."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from detection import suggestions
from detection.suggestions import NotAnAnswer
from labeling.models import DECIDED, HuntProposal, Item, ItemState, Queue, Suggestion
from labeling.services import chat
from labeling.services.chat import Endpoint, Unanswered
from labeling.services.records import from_json

log = structlog.get_logger(__name__)
NEVER = (Queue.Kind.PROOF, Queue.Kind.COMPLAINT)
AT_ONCE = 5  # questions of one tick
SECONDS = 15.0  # for one answer
TICK = 30.0  # seconds after which a tick asks no more
TRIES = 3  # for one item
REST = timedelta(minutes=1)  # after an error
LONG_REST = timedelta(minutes=15)  # after TRIES errors in a row


def ask_waiting() -> int:
    """Ask about the most urgent open items that nobody asked about; return how many answers came."""
    there = chat.endpoint()
    if there is None or _rests():
        return 0
    began, answers = time.monotonic(), 0
    for item in _waiting(there, min(AT_ONCE, left_today())):
        if time.monotonic() - began > TICK:
            break
        suggestion = ask_about(item, there)
        if suggestion is None or suggestion.error:
            break
        answers += 1
    return answers


def ask_about(item: Item, there: Endpoint) -> Suggestion | None:
    """Ask about one item and keep what came of it; None when somebody else was faster."""
    fields = suggestions.told(from_json(item.record.row), addresses=settings.ETALON_SUGGESTIONS_ADDRESSES)
    words = suggestions.question(item.detector.positive_class, item.detector.negative_class, fields)
    made = Suggestion(item=item, model=there.model[:100], sent=sorted(fields))
    began = time.monotonic()
    try:
        found = suggestions.read_answer(chat.ask(there, words, seconds=SECONDS))
        made.answer, made.reason = found.answer, found.reason
    except (Unanswered, NotAnAnswer) as error:
        made.error = str(error)[:200]
        log.warning("suggestion.failed", item=item.pk, model=there.model, error=made.error)
    made.milliseconds = int((time.monotonic() - began) * 1000)
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError:
        return None
    return made


def left_today() -> int:
    """Return how many more questions the day (UTC) may cost; errors cost too."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    asked = Suggestion.objects.filter(created_at__gte=midnight).count()
    asked += HuntProposal.objects.filter(created_at__gte=midnight).count()
    return max(settings.ETALON_SUGGESTIONS_PER_DAY - asked, 0)


def _rests() -> bool:
    """Say whether the last answers were errors, and it is too early to try again."""
    last = list(Suggestion.objects.order_by("-created_at", "-id").values_list("error", "created_at")[:TRIES])
    if not last or not last[0][0]:
        return False
    all_failed = len(last) == TRIES and all(error for error, _at in last)
    return timezone.now() - last[0][1] < (LONG_REST if all_failed else REST)


def _waiting(there: Endpoint, most: int) -> Sequence[Item]:
    """Return the most urgent items that may be asked about: a few of each queue by its index, then the best of all."""
    queues = Queue.objects.exclude(kind__in=NEVER).filter(waiting__gt=0)
    found = [item for queue in queues for item in _of_queue(queue, there)[:most]] if most else []
    return sorted(found, key=lambda item: (-item.priority, item.pk))[:most]


def _of_queue(queue: Queue, there: Endpoint) -> QuerySet[Item]:
    asked = Suggestion.objects.filter(item=OuterRef("pk"), model=there.model[:100])
    given_up = asked.order_by().values("item").annotate(n=Count("pk")).filter(n__gte=TRIES)
    waiting = Item.objects.filter(queue=queue).waiting().exclude(Exists(asked.filter(error="")))
    return waiting.exclude(Exists(given_up)).select_related("detector", "record").order_by("-priority", "id")


def of_item(item: Item) -> list[Suggestion]:
    """Return what language models said of an item. Whom it may be shown to, `blind.hides_answers` says."""
    return list(item.suggestions.filter(error=""))


# how good they are: for seniors, and for nothing else


@dataclass(frozen=True, slots=True)
class Record:
    """What one model suggested about settled items of one detector, against what experts said."""

    detector: str
    model: str
    right: int  # the same word
    wrong: int  # the other one
    undecided: int
    missed: int  # of the wrong and undecided: experts said positive

    @property
    def answers(self) -> int:
        return self.right + self.wrong + self.undecided

    @property
    def share(self) -> float:
        """Of all that experts decided; "cannot tell" is not the same word."""
        return self.right / self.answers


def records() -> list[Record]:
    """Return how far each model agreed with experts, who did not see its word before they gave theirs."""
    settled = Suggestion.objects.filter(error="", item__state=ItemState.SETTLED, item__outcome__in=DECIDED)
    counted = settled.order_by().values_list("item__detector__name", "model", "answer", "item__outcome")
    counts: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    for detector, model, answer, outcome, number in counted.annotate(n=Count("pk")):
        counts.setdefault((detector, model), {})[answer, outcome] = number
    return [_record(detector, model, found) for (detector, model), found in sorted(counts.items())]


def _record(detector: str, model: str, found: dict[tuple[str, str], int]) -> Record:
    undecided = sum(number for (answer, _outcome), number in found.items() if answer == "undecided")
    right = sum(number for (answer, outcome), number in found.items() if answer == outcome)
    missed = sum(number for (answer, outcome), number in found.items() if outcome == "positive" != answer)
    return Record(detector, model, right, sum(found.values()) - right - undecided, undecided, missed)


def errors() -> Iterator[Suggestion]:
    """Return the newest questions without an answer."""
    return Suggestion.objects.exclude(error="").order_by("-created_at")[:10].iterator()
