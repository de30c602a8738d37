"""What the builder page says before anything is built: the configuration, its checks, what would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from django.utils.translation import gettext as _

from detection.bundle import CACHE_LEAVES
from detection.bundle_config import ConfigEntry, ConfigError, parse_config
from models_registry.models import Bundle, BundleEntry, Channel, Customer, GateReport, Publication, Stage, Version
from models_registry.services import dials, gates, holds, publications, snapshots


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. Only failed ones that block keep a bundle from being built."""

    title: str
    holds: bool
    blocks: bool
    told: str
    report: GateReport | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two bundles, for people."""

    version: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration with what is known about it."""

    config: str
    error: str = ""
    checks: list[Check] = field(default_factory=list)
    former: Bundle | None = None
    changes: list[Change] = field(default_factory=list)

    @property
    def may_build(self) -> bool:
        return not self.error and all(check.holds or not check.blocks for check in self.checks)


def config_of(chosen: Sequence[Mapping[str, Any]]) -> str:
    """Return the build_config.yml of chosen versions, in the form of the documentation."""
    entries = [
        f'- registry_name: "{one["name"]}"\n  version: {one["version"]}\n  threshold: {one["threshold"]}\n'
        f'  is_silent: "{"true" if one["is_silent"] else "false"}"\n'
        for one in chosen
    ]
    return "models:\n" + "\n".join(entries) if entries else ""


def choice(version: Version, threshold: float | str, is_silent: bool) -> dict[str, Any]:
    """Return one version as `config_of` takes it; a threshold that somebody typed stays as it was typed."""
    return {
        "name": version.detector.name,
        "version": version.number,
        "threshold": threshold,
        "is_silent": is_silent,
    }


def with_threshold(version: Version, threshold: float, customer: Customer | None = None) -> str:
    """Return the configuration in force, for a customer when one is named, with a version at another threshold."""
    protocol = version.detector.protocol
    former = publications.in_force(customer, protocol) if customer else in_force(protocol)
    entries = former.entries.select_related("version__detector") if former else []
    chosen = {one.version: choice(one.version, one.threshold, one.is_silent) for one in entries}
    return config_of(list((chosen | {version: choice(version, threshold, is_silent=False)}).values()))


def plan(config: str) -> Plan:
    """Check a configuration without building it."""
    try:
        entries = parse_config(config)
        chosen = [(entry, version_of(entry)) for entry in entries]
    except (ConfigError, yaml.YAMLError) as error:
        return Plan(config, str(error))
    protocols = {version.detector.protocol for _entry, version in chosen}
    if len(protocols) > 1:
        return Plan(config, _("All versions of a bundle read the same protocol, these read %(names)s.") % {
            "names": ", ".join(sorted(protocols))
        })  # fmt: skip
    former = in_force(protocols.pop())
    checks = [check for entry, version in chosen for check in _checks(entry, version)]
    return Plan(config, "", [*checks, _size(chosen)], former, changes(former, entries))


def version_of(entry: ConfigEntry) -> Version:
    """Return the version that an entry names; ConfigError with its line when there is none."""
    found = Version.objects.select_related("detector", "training_set").filter(
        detector__name=entry.registry_name, number=entry.version
    )
    for version in found:
        return version
    known = Version.objects.filter(detector__name=entry.registry_name).values_list("number", flat=True)
    hint = f"its versions: {', '.join(map(str, known))}" if known else "no such detector has versions"
    raise ConfigError(entry.line, f"{entry.registry_name} has no version {entry.version} ({hint})")


def in_force(protocol: str, channels: Sequence[str] = (Channel.STABLE, Channel.CANARY)) -> Bundle | None:
    """Return the bundle of a protocol that the first of these channels has which has one."""
    for channel in channels:
        if (newest := Publication.objects.newest(channel, protocol)) is not None:
            return newest.bundle
    return None


def changes(former: Bundle | None, entries: Sequence[ConfigEntry]) -> list[Change]:
    """Return what customers would notice: versions that come and go, thresholds and voices that change."""
    before = _voices(former) if former else {}
    return _differences(before, {f"{entry.registry_name}:{entry.version}": _voice(entry) for entry in entries})


def changes_between(former: Bundle, later: Bundle) -> list[Change]:
    """Return what a customer would notice who runs one bundle and gets the other."""
    return _differences(_voices(former), _voices(later))


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    names = sorted(before.keys() | after.keys())
    return [
        Change(name, before.get(name, "–"), after.get(name, "–"))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _voices(bundle: Bundle) -> dict[str, str]:
    return {str(one.version): _voice(one) for one in bundle.entries.select_related("version__detector")}


def _voice(entry: ConfigEntry | BundleEntry) -> str:
    return f"≥ {entry.threshold:g} · {_('silent') if entry.is_silent else _('loud')}"


def _checks(entry: ConfigEntry, version: Version) -> list[Check]:
    title = f"{version} ≥ {entry.threshold:g}"
    if version.stage == Stage.RETIRED:
        return [Check(title, False, True, _("retired versions go nowhere"))]
    if entry.is_silent:
        return [Check(title, True, False, _("silent: no gate needed, no customer sees its verdict"))]
    found = [_gated(title, entry, version)]
    if told := dials.objection(version, entry.threshold):
        found.insert(0, Check(title, False, True, told))
    if version.stage != Stage.ACTIVE:
        found.append(Check(title, False, False, _("not active: it can be built, and not released as loud")))
    for hold in holds.open_against(version, entry.threshold):
        found.append(Check(title, False, False, f"{hold.source}: {hold.reason}"))
    return found


def _gated(title: str, entry: ConfigEntry, version: Version) -> Check:
    snapshot = snapshots.newest_snapshot(version.detector)
    if snapshot is None:
        return Check(title, False, True, _("loud, and there is no reference set to check it on"))
    report = version.gate_reports.filter(threshold=entry.threshold, snapshot=snapshot).order_by("-id").first()
    if report is None or not gates.is_current(report):
        told = _("the gate runs when it is built: at this threshold, on snapshot %(number)s")
        return Check(title, True, True, told % {"number": snapshot.number})
    return Check(title, report.passed, True, str(report.report["sentence"]), report)


def _size(chosen: Sequence[tuple[ConfigEntry, Version]]) -> Check:
    leaves = sum(int((version.report.get("model") or {}).get("leaves", 0)) for _entry, version in chosen)
    if not leaves:
        return Check(_("Size"), True, False, _("the receipt measures it"))
    told = _("%(leaves)s leaves; %(most)s fit the cache of one core") % {"leaves": leaves, "most": CACHE_LEAVES}
    return Check(_("Size"), leaves <= CACHE_LEAVES, False, told)
