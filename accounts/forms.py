"""Forms of the users page and of tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts import keys
from accounts.models import Token, User
from accounts.roles import Role
from accounts.services.preferences import CHOICES, time_zones
from accounts.services.tokens import DAYS, MOST_DAYS


class NewUserForm(forms.ModelForm):
    """Name and role; the password is made by the house."""

    class Meta:
        model = User
        fields = ["username", "role"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs.update(autocomplete="off", autofocus=True)
        self.fields["role"].initial = Role.EXPERT


class RoleForm(forms.Form):
    """One role of six."""

    role = forms.ChoiceField(choices=Role.choices, label=_("role"))


class PreferencesForm(forms.ModelForm):
    """What a person chooses for their own pages."""

    field_order = CHOICES

    language = forms.ChoiceField(
        choices=[("", _("as the browser asks")), *settings.LANGUAGES], required=False, label=_("language")
    )
    time_zone = forms.ChoiceField(
        choices=lambda: [("", _("as the browser says")), *((name, name) for name in time_zones())],
        required=False,
        label=_("time zone"),
    )
    positive_key = forms.CharField(max_length=1, required=False, label=_("key for positive"))
    negative_key = forms.CharField(max_length=1, required=False, label=_("key for negative"))

    class Meta:
        model = User
        fields = CHOICES
        labels = {
            "theme": _("theme"),
            "single_keys": _("single keys answer, skip, open the search and go to pages"),
        }

    def clean_positive_key(self) -> str:
        return str(self.cleaned_data["positive_key"]).lower()

    def clean_negative_key(self) -> str:
        return str(self.cleaned_data["negative_key"]).lower()

    def clean(self) -> dict[str, Any]:
        told = super().clean() or self.cleaned_data
        positive, negative = told.get("positive_key", ""), told.get("negative_key", "")
        if not positive and not negative:
            return told
        if not (positive.isalpha() and negative.isalpha()) or keys.refused(positive, negative):
            taken = {"keys": " ".join(sorted(keys.TAKEN))}
            self.add_error(
                "positive_key", _("Two different letters or none; these mean something else: %(keys)s") % taken
            )
        return told


class OwnTokenForm(forms.Form):
    """What a script is called, and how long its token lasts."""

    name = forms.CharField(max_length=100, label=_("name"))
    days = forms.IntegerField(min_value=1, max_value=MOST_DAYS, initial=DAYS, label=_("days"))


class TokenForm(OwnTokenForm):
    """The same for a machine: its name is what its rows will carry."""

    kind = forms.ChoiceField(choices=[(kind.value, kind.label) for kind in Token.MADE_BY_HAND], label=_("kind"))
    field_order = ["kind", "name", "days"]
