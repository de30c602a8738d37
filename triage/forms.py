"""What support sends: three fields that a complaint needs, and everything that may come later."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from detection.sources.pasted import LONGEST
from models_registry.models import Bundle, Customer, Detector, Site
from triage.services.complaints import LONGEST_TEXT, Details

BUNDLES = 50  # the newest; a customer that is further behind is helped by an engineer


class FlaggedForm(forms.Form):
    """What was flagged, and in which bundle: enough to score it before anything is filed."""

    flagged = forms.CharField(
        label=_("What was flagged"),
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "wire", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("One EVE http or tls record, or a URL with its headers below."),
    )
    bundle = forms.ModelChoiceField(
        Bundle.objects.none(), required=False, label=_("Bundle"), empty_label=_("the newest")
    )
    detector = forms.ModelChoiceField(
        Detector.objects.all(), required=False, label=_("Detector"), empty_label=_("the one that is surest")
    )
    score_told = forms.CharField(
        max_length=24,
        required=False,
        label=_("Score at the customer"),
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        newest = list(Bundle.objects.order_by("-id").values_list("pk", flat=True)[:BUNDLES])
        self.fields["bundle"].queryset = Bundle.objects.filter(pk__in=newest).order_by("-id")  # type: ignore[attr-defined]

    def details(self) -> Details:
        """Return what came beside the three fields."""
        names = ("bundle", "detector", "score_told", "site", "note", "received_at")
        return Details(**{name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)})


class ComplaintForm(FlaggedForm):
    """A complaint."""

    customer = forms.ModelChoiceField(Customer.objects.all(), label=_("Customer"), empty_label="")
    contact = forms.CharField(
        max_length=200, label=_("Contact"), help_text=_("Whom we answer: a name, an address, a ticket.")
    )
    site = forms.ModelChoiceField(
        Site.objects.select_related("customer"), required=False, label=_("Site"), empty_label=""
    )
    received_at = forms.DateTimeField(
        required=False,
        label=_("Received, UTC"),
        help_text=_("Empty: now. The 24 hours run from here."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    note = forms.CharField(
        max_length=LONGEST_TEXT, required=False, label=_("Note"), widget=forms.Textarea(attrs={"rows": 3})
    )

    needed = ("customer", "flagged", "contact")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([*self.needed, "bundle", "site", "detector", "score_told", "received_at", "note"])
        self.fields["customer"].widget.attrs["autofocus"] = True

    @property
    def first_fields(self) -> list[Any]:
        return [self[name] for name in self.needed]

    @property
    def later_fields(self) -> list[Any]:
        return [self[name] for name in self.fields if name not in self.needed]

    @property
    def has_later_errors(self) -> bool:
        return any(name not in self.needed for name in self.errors if name in self.fields)


class OrganisationForm(forms.Form):
    """Whose users and hosts are watched."""

    name = forms.CharField(max_length=64, label=_("name"))
    time_zone = forms.CharField(
        max_length=64, initial="UTC", label=_("time zone"), help_text=_("its days begin there: Europe/Berlin")
    )


class BudgetForm(forms.Form):
    """How many alerts a day are wanted, and which values never alert."""

    budget = forms.FloatField(min_value=0.01, max_value=100_000, label=_("alerts a day"))
    floor = forms.FloatField(min_value=0, required=True, label=_("values up to this never alert"))


class PlaceForm(forms.Form):
    """Who an entity is like, and where it alerts at the latest."""

    peers = forms.CharField(max_length=100, required=False, label=_("group of peers"))
    ceiling = forms.FloatField(
        min_value=0, required=False, label=_("alerts above, whatever is usual"), help_text=_("for critical assets")
    )
