"""What support sends: what a complaint needs, and everything that may come later."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from detection.evidence import LARGEST
from detection.sources.pasted import LONGEST
from models_registry.models import Bundle, Customer, Detector, Site
from traffic.models import Sensor
from triage.models import Organisation, Severity, Subscription, Topic
from triage.models.risk import PRIVATE
from triage.services import served
from triage.services.attachments import MOST
from triage.services.filing import Details
from triage.services.states import LONGEST_TEXT

BUNDLES = 50  # the newest; a customer that is further behind is helped by an engineer


class ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files, each of a size that evidence may have."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=ManyFiles(), **kwargs)

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        files = [forms.FileField.clean(self, one, initial) for one in data or []]
        if len(files) > MOST:
            raise forms.ValidationError(_("At most %(most)s files.") % {"most": MOST})
        if any(one.size > LARGEST for one in files):
            raise forms.ValidationError(_("At most %(most)s MB a file.") % {"most": LARGEST // 2**20})
        return files


class FlaggedForm(forms.Form):
    """What was flagged, and in which bundle: enough to score it before anything is filed."""

    flagged = forms.CharField(
        label=_("What was flagged"),
        max_length=LONGEST,
        strip=False,
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "wire", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("A record, a URL with its headers below, or what the customer says in words."),
    )
    files = FilesField(  # type: ignore[assignment]  # a form's own `files` is what was sent
        required=False,
        label=_("Files"),
        help_text=_("Kit, EVE or Zeek records, capture, HAR, saved mail (.eml)."),
    )
    bundle = forms.ModelChoiceField(
        Bundle.objects.none(), required=False, label=_("Bundle"), empty_label=_("the one the customer runs")
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

    def __init__(self, *args: Any, reader: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        newest = list(Bundle.objects.order_by("-id").values_list("pk", flat=True)[:BUNDLES])
        self.fields["bundle"].queryset = Bundle.objects.filter(pk__in=newest).order_by("-id")  # type: ignore[attr-defined]

    def details(self) -> Details:
        """Return what came beside the three fields."""
        names = ("bundle", "detector", "score_told", "site", "note", "received_at", "severity")
        told = {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)}
        return Details(**told, files=tuple((one.name, one.read()) for one in self.cleaned_data.get("files") or []))


class ComplaintForm(FlaggedForm):
    """A complaint."""

    customer = forms.ModelChoiceField(Customer.objects.none(), label=_("Customer"), empty_label="")
    contact = forms.CharField(
        max_length=200, label=_("Contact"), help_text=_("Whom we answer: a name, an address, a ticket.")
    )
    site = forms.ModelChoiceField(
        Site.objects.select_related("customer"), required=False, label=_("Site"), empty_label=""
    )
    severity = forms.ChoiceField(choices=Severity.choices, required=False, label=_("Severity"))
    received_at = forms.DateTimeField(
        required=False,
        label=_("Received, UTC"),
        help_text=_("Empty: now. The clock runs from here."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    note = forms.CharField(
        max_length=LONGEST_TEXT, required=False, label=_("Note"), widget=forms.Textarea(attrs={"rows": 3})
    )

    needed = ("customer", "flagged", "contact", "files")

    def __init__(self, *args: Any, reader: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        later = ["bundle", "site", "detector", "severity", "score_told", "received_at", "note"]
        self.order_fields([*self.needed, *later])
        mine = served.customers_of(reader) if reader else Customer.objects.none()
        self.fields["customer"].queryset = mine  # type: ignore[attr-defined]
        self.fields["site"].queryset = Site.objects.filter(customer__in=mine).select_related("customer")  # type: ignore[attr-defined]
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


class SensorForm(forms.Form):
    """To which organisation the hosts of a sensor belong."""

    organisation = forms.ModelChoiceField(
        Organisation.objects.all(), required=False, label=_("its hosts belong to"), empty_label=_("nobody")
    )
    networks = forms.CharField(
        max_length=2000,
        initial=PRIVATE,
        label=_("addresses of its hosts"),
        widget=forms.TextInput({"class": "wire", "size": 44}),
    )

    def __init__(self, sensor: Sensor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auto_id = f"id_sensor_{sensor.pk}_%s"
        for field in self.fields.values():  # they stand in cells of a table, the form behind them
            field.widget.attrs |= {"form": f"watch-{sensor.pk}", "aria-label": f"{sensor.name}: {field.label}"}


class LookForm(forms.Form):
    """What somebody looks at on the dial: a threshold, and the budget of places that have none of their own."""

    threshold = forms.FloatField(min_value=1e-6, max_value=1 - 1e-9, required=False)
    usual = forms.FloatField(min_value=0.01, max_value=1_000_000, required=False, label=_("alerts a day"))


class SiteBudgetForm(forms.Form):
    per_day = forms.FloatField(min_value=0.01, max_value=1_000_000, label=_("alerts a day"))


class PlaceForm(forms.Form):
    """Who an entity is like, and where it alerts at the latest."""

    peers = forms.CharField(max_length=100, required=False, label=_("group of peers"))
    ceiling = forms.FloatField(
        min_value=0, required=False, label=_("alerts above, whatever is usual"), help_text=_("for critical assets")
    )


class TelemetryFileForm(forms.Form):
    """Counts of sites without network."""

    file = forms.FileField(
        label=_("File of telemetry"),
        help_text=_("What an appliance without network wrote into a file: a message a line."),
    )


class PromiseForm(forms.Form):
    """What a contract promises."""

    severity = forms.ChoiceField(choices=Severity.choices, label=_("Severity"))
    hours = forms.FloatField(
        min_value=0.5, max_value=24 * 90, required=False, label=_("Hours"), help_text=_("Empty: nothing is promised.")
    )


class SubscriptionForm(forms.Form):
    """Who wants to hear of what."""

    carrier = forms.ChoiceField(choices=Subscription.Carrier.choices, label=_("How"))
    target = forms.CharField(
        max_length=500, label=_("Where to"), help_text=_("Mailbox, https:// address, or udp://HOST:514.")
    )
    topics = forms.MultipleChoiceField(
        choices=Topic.choices, required=False, label=_("Topics"), help_text=_("None chosen: all of them.")
    )
    customer = forms.ModelChoiceField(
        Customer.objects.all(), required=False, label=_("Customer"), empty_label=_("of all")
    )
    language = forms.ChoiceField(choices=settings.LANGUAGES, label=_("Language"))
