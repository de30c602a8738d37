"""Forms of the users page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Role


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
