"""What people send: an answer with its details."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from labeling.models import NO_ANSWER, Answer, Queue, ReasonCode, Trigger
from labeling.services.details import LONGEST_FAMILY, LONGEST_NOTE, Given
from labeling.services.queue_rules import MOST_NEEDED

ANSWERS = frozenset(
    {*Answer.values, *(f"{Answer.NEGATIVE.value}:{code}" for code in ReasonCode.values)} - set(NO_ANSWER)
)
_YES = ("true", "on", "1")
ON_A_DATE = "date"
EXPIRIES = (
    ("", _("for good")),
    ("1", _("for 1 day")),
    ("7", _("for 7 days")),
    ("30", _("for 30 days")),
    (ON_A_DATE, _("until a date")),
    (Trigger.RULES.value, _("until other rules are in force")),
    (Trigger.RETIRED.value, _("until the version is retired")),
)


class FormRefused(ValueError):  # noqa: N818
    """No page of ours sends this; the message is for whoever did."""


@dataclass(frozen=True, slots=True)
class Word:
    """What an answer's keys send. One button is the whole answer: "positive", "undecided", "negative:" with its reason.

    Read by hand: a form object costs every answer as much as a query."""

    given: Given
    alike: bool  # holds for all look-alikes

    @classmethod
    def of(cls, sent: Mapping[str, str]) -> Word:
        """Return what was sent; raises FormRefused."""
        said = sent.get("answer", "")
        if said not in ANSWERS:
            nonsense = gettext("“%(answer)s” is not an answer.") % {"answer": said[:40]}
            raise FormRefused(nonsense if said else gettext("No answer was given."))
        answer, _separator, reason = said.partition(":")
        family, note = (_text(sent, name, most) for name, most in (("family", LONGEST_FAMILY), ("note", LONGEST_NOTE)))
        authorised, alike = (sent.get(name, "") in _YES for name in ("authorised", "alike"))
        return cls(Given(answer, reason, family, authorised, note, **_expiry(sent)), alike)


def _text(sent: Mapping[str, str], name: str, most: int) -> str:
    text = sent.get(name, "").strip()
    if len(text) > most:
        raise FormRefused(
            gettext("“%(text)s…” is longer than %(most)s characters.") % {"text": text[:20], "most": most}
        )
    return text


def _expiry(sent: Mapping[str, str]) -> dict[str, Any]:
    """Return until when the answer holds, as fields of Given."""
    chosen = sent.get("expires", "")
    if chosen in Trigger.values:
        return {"expires_when": chosen}
    if chosen == ON_A_DATE:  # its first minute where the person is
        return {"expires_at": timezone.make_aware(datetime.combine(_date(sent.get("expires_on", "")), time()))}
    if chosen not in dict(EXPIRIES):
        raise FormRefused(gettext("Until which date?"))
    return {"expires_at": timezone.now() + timedelta(days=int(chosen))} if chosen else {}


def _date(text: str) -> date:
    try:
        found = parse_date(text)
    except ValueError:  # the 31st of February
        found = None
    if found is None:
        raise FormRefused(gettext("Until which date?"))
    return found


class QueueForm(forms.Form):
    """How many equal answers settle an item, and for which part of new items it is one more."""

    labels_needed = forms.IntegerField(label=_("equal answers that settle an item"), min_value=1, max_value=MOST_NEEDED)
    raised_percent = forms.FloatField(
        label=_("percent of new items that need one more"), min_value=0, max_value=100, help_text=_("0 to 100, by lot")
    )

    def __init__(self, data: Any = None, *, queue: Queue) -> None:
        initial = {"labels_needed": queue.labels_needed, "raised_percent": round(100 * queue.raised_share, 2)}
        super().__init__(data, initial=initial)
        if queue.kind == Queue.Kind.PROOF:  # one answer is the sample's; only how many have a second one is a choice
            self.fields["labels_needed"].disabled = True

    def rules(self) -> dict[str, Any]:
        """Return the arguments of labeling.services.queue_rules.change."""
        data = self.cleaned_data
        return {"labels_needed": data["labels_needed"], "raised_share": data["raised_percent"] / 100}
