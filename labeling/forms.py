"""What people send: an answer with its details."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Answer, ReasonCode
from labeling.services.details import LONGEST_NOTE

ANSWERS = (
    (Answer.POSITIVE.value, Answer.POSITIVE.label),
    *((f"{Answer.NEGATIVE.value}:{code}", label) for code, label in ReasonCode.choices),
    (Answer.NEGATIVE.value, Answer.NEGATIVE.label),
    (Answer.UNDECIDED.value, Answer.UNDECIDED.label),
)


class LabelForm(forms.Form):
    """One button is the whole answer: "positive", "undecided", or "negative:" with its reason."""

    answer = forms.ChoiceField(choices=ANSWERS, error_messages={"required": _("No answer was given.")})
    family = forms.CharField(max_length=64, required=False)
    authorised = forms.BooleanField(required=False)
    note = forms.CharField(max_length=LONGEST_NOTE, required=False)

    def label(self) -> dict[str, object]:
        """Return the arguments of labeling.services.labels.submit."""
        answer, _colon, reason = self.cleaned_data["answer"].partition(":")
        details = {name: self.cleaned_data[name] for name in ("family", "authorised", "note")}
        return {"answer": answer, "reason_code": reason, **details}
