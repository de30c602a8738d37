"""The form of the upload page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from traffic.services.ingest import DEFAULT_SENSOR


class SeveralFiles(forms.FileField):
    """One or more files, each of them checked; empty ones are refused by name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=_SeveralFilesInput(), **kwargs)

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        several = data if isinstance(data, list | tuple) else [data]
        return [super(SeveralFiles, self).clean(one, initial) for one in several or [None]]


class _SeveralFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


def one_printable_line(name: str) -> None:
    if not name.isprintable():
        raise forms.ValidationError(_("A name is one line of text."))


class UploadForm(forms.Form):
    """Which sensor wrote the logs, and the logs."""

    sensor = forms.CharField(
        max_length=100,
        initial=DEFAULT_SENSOR,
        label=_("sensor"),
        validators=[one_printable_line],
        widget=forms.TextInput(attrs={"list": "known-sensors", "autocomplete": "off"}),
    )
    logs = SeveralFiles(label=_("logs"))
