"""Forms of detectors: what is asked, which rules speak about it, when it is trained."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from detection.rules import PROTOCOL_ODDITY
from detection.ship_queries import POSITIVES, TRAFFIC, ShipQueryError, Terms
from models_registry.models import Detector, IndicatorList, Weekday
from models_registry.services.detectors import SCHEDULE, DetectorError, protocols, read_mapping
from models_registry.services.foreign import Offer

LINES = {"rows": 4, "class": "wire", "spellcheck": "false"}


class IndicatorsForm(forms.Form):
    """A file that becomes the newest version of a list."""

    MOST = 32 << 20  # bytes; a larger one comes by the command

    name = forms.SlugField(max_length=64, label=_("name"))
    kind = forms.ChoiceField(choices=IndicatorList.Kind.choices, label=_("holds"))
    is_hint = forms.BooleanField(
        required=False, label=_("a hint only: popular or known, shown and matched with nothing")
    )
    file = forms.FileField(label=_("file"), help_text=_("one entry per line: entry,note; plain or gzip"))

    def clean_file(self) -> bytes:
        file = self.cleaned_data["file"]
        if file.size > self.MOST:
            raise forms.ValidationError(_("Larger than 32 MiB: use manage.py import_indicators."))
        data: bytes = file.read()
        return data


class UploadForm(forms.Form):
    """A model that was trained elsewhere."""

    model = forms.FileField(label=_("model"), help_text=_("ONNX with the inputs and outputs of a version"))
    text_model = forms.FileField(label=_("text model"), help_text=_("LightGBM's text of the same trees"))
    training_set = forms.FileField(
        required=False, label=_("training set"), help_text=_("the frozen file, where it may come along")
    )
    threshold = forms.FloatField(label=_("threshold"), min_value=0, max_value=1, initial=0.5)
    origin = forms.CharField(required=False, max_length=100, label=_("who trained it, and where"))

    def offer(self, by: User) -> Offer:
        told = self.cleaned_data
        return Offer(
            model=told["model"].read(),
            text_model=told["text_model"].read(),
            threshold=told["threshold"],
            training_set=told["training_set"].read() if told["training_set"] else b"",
            origin=f"upload: {told['origin'] or by.username}",
        )


class LinesField(forms.CharField):
    """One text per line."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=20_000, widget=forms.Textarea(attrs=LINES), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]


class NumbersField(LinesField):
    """One number per line."""

    def to_python(self, value: Any) -> Any:
        lines = super().to_python(value)
        wrong = [line for line in lines if not (line.isascii() and line.isdecimal() and len(line) < 16)]
        if wrong:
            raise forms.ValidationError(_("Expected numbers, one per line; got: %(wrong)s") % {"wrong": wrong[0][:40]})
        return [int(line) for line in lines]


class RulesForm(forms.Form):
    """detection.rules.RuleMapping, as people write it."""

    name_patterns = LinesField(label=_("names, with * and ?"), help_text="ET EXPLOIT *")
    categories = LinesField(label=_("categories"))
    classtypes = LinesField(label=_("classtypes"))
    sids = NumbersField(label=_("sids"))
    max_severity = forms.IntegerField(
        required=False, min_value=1, max_value=255, label=_("severity at most (1 is worst)")
    )
    exclude_name_patterns = LinesField(label=_("but not the names"), initial=[PROTOCOL_ODDITY])
    exclude_sids = NumbersField(label=_("but not the sids"))

    RULES = (
        "name_patterns",
        "categories",
        "classtypes",
        "sids",
        "max_severity",
        "exclude_name_patterns",
        "exclude_sids",
    )

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = self.cleaned_data
        if not self.errors:
            told["rules"] = {name: told[name] for name in self.RULES}
            try:
                told["mapping"] = read_mapping(told["rules"])
            except DetectorError as error:
                raise forms.ValidationError(str(error)) from error
        return told


class CostForm(forms.Form):
    false_positive_cost = forms.FloatField(
        min_value=0.01, max_value=1e6, initial=10, label=_("a false positive costs, in missed detections")
    )


class ScheduleForm(forms.Form):
    """When training is considered."""

    hour = forms.IntegerField(min_value=0, max_value=23, initial=2, label=_("at this hour, UTC"))
    weekday = forms.ChoiceField(required=False, choices=[("", _("every night")), *Weekday.choices], label=_("on"))
    labels = forms.IntegerField(
        min_value=1, max_value=1_000_000, initial=50, label=_("new labels that make it worth it")
    )
    days = forms.IntegerField(min_value=1, max_value=3650, initial=7, label=_("in any case after so many days"))

    @property
    def schedule(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SCHEDULE}


def _key() -> forms.TextInput:
    return forms.TextInput(attrs={"size": 2, "autocomplete": "off"})


class NewDetectorForm(RulesForm, CostForm, ScheduleForm):
    """Everything a detector is."""

    name = forms.SlugField(max_length=64, label=_("name"), help_text=_("registry_name of build_config.yml"))
    protocol = forms.ChoiceField(label=_("protocol"))
    positive_class = forms.CharField(max_length=32, initial="malicious", label=_("positive class"))
    positive_key = forms.CharField(max_length=1, initial="m", label=_("its key"), widget=_key())
    negative_class = forms.CharField(max_length=32, initial="benign", label=_("negative class"))
    negative_key = forms.CharField(max_length=1, initial="b", label=_("its key"), widget=_key())

    TASK = ("name", "protocol", "positive_class", "positive_key", "negative_class", "negative_key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["protocol"].choices = [(one, one) for one in protocols()]  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Detector.objects.filter(name=name).exists():
            raise forms.ValidationError(_("There is a detector of that name."))
        return name

    @property
    def spec(self) -> dict[str, Any]:
        """What models_registry.services.detectors.make_detector takes."""
        told = self.cleaned_data
        return {name: told[name] for name in (*self.TASK, "rules", "false_positive_cost")} | {"schedule": self.schedule}


class ChangeForm(RulesForm, CostForm):
    """What takes two people."""

    reason = forms.CharField(required=False, max_length=255, label=_("why"))


class ShipQueryForm(forms.Form):
    """detection.ship_queries.Terms, as people write them."""

    detector = forms.ModelChoiceField(Detector.objects.all(), to_field_name="name", label=_("detector"))
    name = forms.SlugField(max_length=64, label=_("name"), help_text="ktalk-elsewhere")
    filter = forms.CharField(
        max_length=4_000, label=_("finds, among the version's positives"), widget=forms.Textarea(attrs=LINES)
    )
    sessions = forms.IntegerField(required=False, min_value=0, label=_("sessions"))
    sessions_percent = forms.FloatField(required=False, min_value=0, max_value=100, label=_("sessions, %"))
    hosts = forms.IntegerField(required=False, min_value=0, label=_("hosts"))
    hosts_percent = forms.FloatField(required=False, min_value=0, max_value=100, label=_("hosts, %"))
    of = forms.ChoiceField(
        choices=[(POSITIVES, _("of the version's positives")), (TRAFFIC, _("of all traffic of the protocol"))],
        label=_("shares are"),
    )
    exceptions = LinesField(label=_("except"), help_text=_("one per line: filter # reason"))
    withdraw = forms.BooleanField(required=False, label=_("withdraw this query"))
    reason = forms.CharField(required=False, max_length=255, label=_("why"))

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = self.cleaned_data
        if not self.errors:
            try:
                told["terms"] = None if told["withdraw"] else Terms.of(self._written())
            except ShipQueryError as error:
                raise forms.ValidationError(str(error)) from error
        return told

    def _written(self) -> dict[str, Any]:
        told = self.cleaned_data
        ceilings = {
            "sessions": told["sessions"],
            "hosts": told["hosts"],
            "sessions_share": _share(told["sessions_percent"]),
            "hosts_share": _share(told["hosts_percent"]),
            "of": told["of"],
        }
        exceptions = [line.rpartition("#") for line in told["exceptions"]]
        return {
            "filter": told["filter"].strip(),
            "ceilings": ceilings,
            "exceptions": [{"filter": text.strip(), "reason": reason.strip()} for text, _hash, reason in exceptions],
        }

    @staticmethod
    def initial_of(terms: Terms) -> dict[str, Any]:
        """Return what the form shows of terms in force."""
        ceilings = terms.ceilings
        return {
            "filter": terms.filter,
            "sessions": ceilings.sessions,
            "hosts": ceilings.hosts,
            "sessions_percent": _percent(ceilings.sessions_share),
            "hosts_percent": _percent(ceilings.hosts_share),
            "of": ceilings.of,
            "exceptions": [f"{one.filter} # {one.reason}" for one in terms.exceptions],
        }


def _share(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 12)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 10)
