"""What an answer may carry: reason, family, flag, note, and until when it holds. Checked before it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext as _

from detection.families import ATTACK_FAMILIES
from labeling.models import DECIDED, Answer, Item, ItemState, Label, Queue, ReasonCode, Trigger
from models_registry.models import Detector

LONGEST_NOTE = 4_000
LONGEST_FAMILY = 64
ATTACKS = "malicious"  # the positive class whose families have names that everybody uses


class LabelRefused(ValueError):  # noqa: N818
    """The answer was not taken; the message is for the expert."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer with its details, as an expert gave it."""

    answer: str
    reason_code: str = ""
    family: str = ""
    authorised: bool = False
    note: str = ""
    expires_at: datetime | None = None
    expires_when: str = ""

    def checked(self) -> Given:
        """Return it with the details that belong to its answer; raises LabelRefused."""
        if self.answer not in (*DECIDED, Answer.UNDECIDED):
            raise LabelRefused(_("“%(answer)s” is not an answer.") % {"answer": self.answer})
        negative, positive = self.answer == Answer.NEGATIVE, self.answer == Answer.POSITIVE
        if negative and (self.reason_code or ReasonCode.OTHER) not in ReasonCode.values:
            raise LabelRefused(_("“%(reason)s” is not a reason.") % {"reason": self.reason_code})
        if len(self.note) > LONGEST_NOTE:
            raise LabelRefused(_("The note is longer than %(limit)s characters.") % {"limit": LONGEST_NOTE})
        if self.expires_when and self.expires_when not in Trigger.values:
            raise LabelRefused(_("“%(trigger)s” ends no answer.") % {"trigger": self.expires_when})
        if self.expires_at and self.expires_at <= timezone.now():
            raise LabelRefused(_("The answer would have expired already."))
        return replace(
            self,
            reason_code=(self.reason_code or ReasonCode.OTHER.value) if negative else "",
            family=_without_nul(self.family).strip()[:LONGEST_FAMILY] if positive else "",
            authorised=self.authorised and positive,
            note=_without_nul(self.note).strip(),
        )

    def on(self, item: Item) -> dict[str, Any]:
        """Return the fields of a label of this item. Call it on what `checked` returned."""
        kind = item.queue.kind
        # an answer to a proof item stands in a figure, a complaint's was sent, a seed's is compared
        lasting = kind in (Queue.Kind.PROOF, Queue.Kind.COMPLAINT) or item.state == ItemState.SEED
        return {
            "answer": self.answer,
            # who answers a proof item does not know the verdict
            "reason_code": self.reason_code if item.flagged and not item.is_proof else "",
            "family": self.family,
            "authorised": self.authorised,
            "note": self.note,
            "expires_at": None if lasting else self.expires_at,
            "expires_when": "" if lasting else self.expires_when,
        }


def refuse_silence(item: Item, given: Given) -> None:
    """A customer is told why; raises LabelRefused where the answer to a complaint says nothing."""
    told = given.note or given.family or given.answer == Answer.NEGATIVE
    if item.queue.kind == Queue.Kind.COMPLAINT and not told:
        raise LabelRefused(_("A customer waits for the reason: write a note why it is rejected, or what is missing."))


def _without_nul(text: str) -> str:
    return text.replace("\0", "\u2400")  # PostgreSQL refuses NUL


def families(detector: Detector) -> list[str]:
    """Return names for type-ahead, a minute old at most: what experts used lately, then what attacks are called."""
    return cache.get_or_set(f"families-{detector.pk}", lambda: _families(detector), timeout=60) or []


def _families(detector: Detector) -> list[str]:
    named = Label.objects.filter(detector=detector, answer=Answer.POSITIVE).exclude(family="").order_by("-id")
    used = sorted(set(named.values_list("family", flat=True)[:200]))
    known = ATTACK_FAMILIES if detector.positive_class == ATTACKS else ()
    return used + [name for name in known if name not in used]
