"""What a kit tells beside its evidence, for a complaint's page: why its appliance said so, and the names it hides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from detection import evidence
from detection.contract import CONTRACTS
from detection.features import feature_specs
from detection.kits import Kit, Said
from models_registry.models import Version
from traffic import storage
from triage.models import Attachment, Complaint

SHOWN = 8  # features, those that added most
LEAST = 0.0005  # that a feature must have added to be named: less is shown as nothing
LARGEST = 2**20  # bytes of a kit that a page opens; one of 400 features and 8 versions has 100 KB


@dataclass(frozen=True, slots=True)
class Added:
    """What one feature added to the raw score."""

    title: str
    value: str
    added: float


@dataclass(frozen=True, slots=True)
class ToldKit:
    """What the newest kit of a complaint tells."""

    base: float | None  # None: no contributions of the version
    strongest: tuple[Added, ...]
    others: int  # further features that added something
    rest: float  # and what they added together
    names: tuple[tuple[str, str], ...]  # whose, and what stands for it

    @property
    def raw(self) -> float:
        return (self.base or 0.0) + sum(one.added for one in self.strongest) + self.rest


def newest(complaint: Complaint, attachments: Sequence[Attachment]) -> ToldKit | None:
    """Return what the newest kit tells of the complaint's version; None without a kit, or after its erasure."""
    found = [one for one in attachments if one.kind == evidence.Kind.KIT and one.path and one.size <= LARGEST]
    if not found:
        return None
    try:
        kit = evidence.read(storage.get_bytes(found[-1].path), complaint.received_at).kit
    except (FileNotFoundError, evidence.Refused):
        return None
    if kit is None:
        return None
    labels = {"client": _("client"), "server": _("server"), "host": _("host")}
    names = tuple((labels[who], name) for who, name in sorted(kit.names.items()))
    said = _said(kit, complaint.version)
    added = _added(kit, said) if said else []
    strongest = [one for one in added[:SHOWN] if abs(one.added) >= LEAST]
    weaker = [one.added for one in added[len(strongest) :]]
    base = said.base if said and added else None
    return ToldKit(base, tuple(strongest), len(weaker), math.fsum(weaker), names)


def _said(kit: Kit, version: Version | None) -> Said | None:
    if version is None:
        return None
    asked = (version.detector.name, version.number)
    return next((one for one in kit.said if (one.detector, one.version) == asked and one.base is not None), None)


def _added(kit: Kit, said: Said) -> list[Added]:
    """Return the features that added something, the strongest first."""
    contract = CONTRACTS.get(kit.contract)
    specs = feature_specs(contract) if contract else ()
    if len(specs) != len(kit.features):
        return []
    told = zip(specs, kit.features, said.contributions, strict=True)
    found = [Added(spec.title, _words(value), added) for spec, value, added in told if added]
    return sorted(found, key=lambda one: (-abs(one.added), one.title))


def _words(value: float) -> str:
    if math.isnan(value):
        return _("missing")
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
