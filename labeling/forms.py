"""What people send: an answer with its details."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labeling.models import Answer, Queue, ReasonCode, Trigger
from labeling.services.details import LONGEST_FAMILY, LONGEST_NOTE, Given
from labeling.services.queue_rules import MOST_NEEDED

ANSWERS = (
    (Answer.POSITIVE.value, Answer.POSITIVE.label),
    *((f"{Answer.NEGATIVE.value}:{code}", label) for code, label in ReasonCode.choices),
    (Answer.NEGATIVE.value, Answer.NEGATIVE.label),
    (Answer.UNDECIDED.value, Answer.UNDECIDED.label),
)
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


class LabelForm(forms.Form):
    """One button is the whole answer: "positive", "undecided", or "negative:" with its reason."""

    answer = forms.ChoiceField(choices=ANSWERS, error_messages={"required": _("No answer was given.")})
    family = forms.CharField(max_length=LONGEST_FAMILY, required=False)
    authorised = forms.BooleanField(required=False)
    note = forms.CharField(max_length=LONGEST_NOTE, required=False)
    expires = forms.ChoiceField(choices=EXPIRIES, required=False)
    expires_on = forms.DateField(required=False)
    alike = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        told = super().clean() or self.cleaned_data
        if told.get("expires") == ON_A_DATE and not told.get("expires_on") and "expires_on" not in self.errors:
            self.add_error("expires_on", _("Until which date?"))
        return told

    def given(self) -> Given:
        """Return the answer with its details."""
        answer, _colon, reason = self.cleaned_data["answer"].partition(":")
        details = {name: self.cleaned_data[name] for name in ("family", "authorised", "note")}
        return Given(answer, reason, **details, **self._expiry())

    def _expiry(self) -> dict[str, Any]:
        chosen = self.cleaned_data["expires"]
        if chosen in Trigger.values:
            return {"expires_when": chosen}
        if chosen == ON_A_DATE:  # its first minute where the person is
            return {"expires_at": timezone.make_aware(datetime.combine(self.cleaned_data["expires_on"], time()))}
        return {"expires_at": timezone.now() + timedelta(days=int(chosen))} if chosen else {}


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
