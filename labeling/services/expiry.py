"""Answers whose time is over: they are ended by a link of their own, and their items are asked about again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling.models import Answer, Item, Label, ReferenceRow, Trigger
from labeling.services import chains, reference_changes
from labeling.services.states import follow
from models_registry.models import RuleMappingVersion, Stage
from traffic.models import Kind, Segment


def expire_answers() -> int:
    """End the answers that are due, and open their items as re-checks; return how many answers.

    The reference set keeps the rows they made, marked to be checked again."""
    due: dict[int, dict[int, str]] = defaultdict(dict)  # item -> label -> why
    for label, item, why in _due():
        due[item][label] = why
    return sum(_expire(item, labels) for item, labels in sorted(due.items()))


def _due() -> Iterator[tuple[int, int, str]]:
    current = Label.objects.current()
    for found, why in (
        (current.filter(expires_at__lte=timezone.now()), "its time was over"),
        (_retired(current.filter(expires_when=Trigger.RETIRED)), "the version is retired"),
        (_with_other_rules(current.filter(expires_when=Trigger.RULES)), "other rules are in force"),
    ):
        for label, item in found.values_list("pk", "item_id"):
            yield label, item, why


def _retired(labels: QuerySet[Label]) -> QuerySet[Label]:
    return labels.filter(item__version__stage=Stage.RETIRED)


def _with_other_rules(labels: QuerySet[Label]) -> QuerySet[Label]:
    """Return answers since which the detector's rules changed, or the rule set that the item's sensor runs."""
    mappings = RuleMappingVersion.objects.filter(detector=OuterRef("detector"), created_at__gt=OuterRef("created_at"))
    # of deleted segments the rows stay
    sealed = Segment.objects.filter(kind=Kind.TRAFFIC, sealed_at__isnull=False)
    segments = sealed.filter(sensor__name=OuterRef("item__sensor")).order_by("-sealed_at")
    seen = labels.annotate(
        rules_then=Subquery(segments.filter(sealed_at__lte=OuterRef("created_at")).values("rule_set")[:1]),
        rules_now=Subquery(segments.values("rule_set")[:1]),
    )
    other = Q(rules_now__isnull=False) & (Q(rules_then=None) | ~Q(rules_then=F("rules_now")))
    return seen.filter(other | Exists(mappings))


@transaction.atomic
def _expire(item: int, due: dict[int, str]) -> int:
    [locked] = chains.locked([item])
    labels = list(Label.objects.current().filter(pk__in=due).order_by("pk"))  # one of two ticks is first
    if not labels:
        return 0
    now = timezone.now()
    for label in labels:
        chains.end([label], Answer.EXPIRED, now, note=due[label.pk])
    Item.objects.filter(pk=item).update(recheck_at=now)
    follow([locked], now, release=False)
    for row in ReferenceRow.objects.in_force().filter(labels__in=labels).distinct():
        reference_changes.flag(row, None, f"an answer expired: {due[labels[0].pk]}")
    return len(labels)


def recheck(item: Item, why: str) -> int:
    """End all answers to an item and open it as a re-check; return how many there were."""
    return _expire(item.pk, dict.fromkeys(Label.objects.current().filter(item=item).values_list("pk", flat=True), why))


def earlier(item: Item) -> list[Label]:
    """Return the answers to an item that expired since it was last settled, oldest first: shown after one's own."""
    ended = Label.objects.filter(item=item, answer=Answer.EXPIRED, created_at__gte=item.recheck_at)
    return [
        end.supersedes
        for end in ended.select_related("supersedes__expert", "supersedes__detector").order_by("pk")
        if end.supersedes
    ]


def told(earlier: Label) -> str:
    """An answer that expired, for whoever has given another."""
    names = {Answer.POSITIVE: earlier.detector.positive_class, Answer.NEGATIVE: earlier.detector.negative_class}
    said = names.get(Answer(earlier.answer), earlier.get_answer_display())
    day = timezone.localtime(earlier.created_at).date().isoformat()
    return _("%(expert)s had said “%(answer)s” on %(day)s, until it expired.") % {
        "expert": earlier.expert,
        "answer": said,
        "day": day,
    }
