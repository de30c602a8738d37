"""Forms of the users page and of tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Token, User
from accounts.roles import Role
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


class OwnTokenForm(forms.Form):
    """What a script is called, and how long its token lasts."""

    name = forms.CharField(max_length=100, label=_("name"))
    days = forms.IntegerField(min_value=1, max_value=MOST_DAYS, initial=DAYS, label=_("days"))


class TokenForm(OwnTokenForm):
    """The same for a machine: its name is what its rows will carry."""

    kind = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in (Token.Kind.SENSOR, Token.Kind.SYSTEM)], label=_("kind")
    )
    field_order = ["kind", "name", "days"]
