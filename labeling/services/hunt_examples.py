"""Questions to begin with, about what is stored here and the detectors there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from detection.filters import quoted
from models_registry.services.hunt_names import RegistryNames
from traffic.models import Segment

MOST_VOICES = 4


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    title: str | Promise


def examples() -> list[Example]:
    """Return questions that can be asked here."""
    protocols = set(Segment.objects.of_traffic().values_list("protocol", flat=True).distinct())
    found = list(_of_models())
    if "http" in protocols:
        found.append(Example('http.url ~ "*../*" or http.url ~ "*%2e%2e*"', _("paths that climb")))
        found.append(Example("http.status >= 500 and start > -24h", _("server errors of the last 24 hours")))
    if "tls" in protocols:
        found.append(Example("tls.sni == null and dst.port == 443", _("TLS that names no server")))
    if protocols:
        found.append(Example("rule.severity == 1", _("hits of the gravest rules")))
    return found


def _of_models() -> Iterator[Example]:
    for voice in RegistryNames().voices()[:MOST_VOICES]:
        found = quoted(voice.version)
        yield Example(f"alert.msg == {quoted(voice.message)}", _("what this version found"))
        yield Example(
            f"model({found}).verdict == positive and model({found}).rules == clean",
            _("found by it alone: the rules looked and were silent"),
        )
