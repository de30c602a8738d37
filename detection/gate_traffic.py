"""What the gate says of a week of traffic: a version's positives, against the active version, and ship queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detection.gate_report import Check
from detection.ship_queries import Ceilings, Extent, Findings, exceeded, told


@dataclass(frozen=True, slots=True)
class ShipFinding:
    """A ship query with what it found; without findings it could not be asked, and `error` says why."""

    name: str
    ceilings: Ceilings
    findings: Findings | None
    asked: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Against:
    """What changes for customers: sessions that this version alone flags, and those that only the active one does."""

    version: str
    threshold: float
    gained: Extent
    lost: Extent
    gained_asked: str
    lost_asked: str
    unscored: int  # segments that the active version has not scored
    diff: int  # number of the stored diff
    groups: int  # looks that flip
    accepted: int  # of these, found as they should be
    labelled: int  # of these, sent to experts

    @property
    def waiting(self) -> int:
        return self.groups - self.accepted - self.labelled


@dataclass(frozen=True, slots=True)
class WeekOfTraffic:
    """All sessions of a protocol in a week, and those that a version flags at its threshold."""

    since: str  # ISO 8601
    until: str
    days: float
    traffic: Extent
    positives: Extent
    segments: int
    unscored: int  # of these, without scores of the version
    asked: str  # opens the positives in a hunt
    against: Against | None = None

    @property
    def per_thousand_hosts_and_day(self) -> float:
        if not self.traffic.hosts:
            return 0.0
        return self.positives.sessions / (self.traffic.hosts / 1000) / self.days

    def to_dict(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "until": self.until,
            "days": self.days,
            "traffic": _plain(self.traffic),
            "positives": _plain(self.positives),
            "per_thousand_hosts_and_day": self.per_thousand_hosts_and_day,
            "segments": self.segments,
            "unscored": self.unscored,
            "asked": self.asked,
            "against": _against(self.against),
        }


def traffic_check(week: WeekOfTraffic) -> Check:
    """Say what the version flags; sessions without a score would hide in a smaller number, so they block."""
    positives = week.positives
    text = (
        f"{positives.sessions:,} sessions, {positives.hosts:,} hosts of {week.traffic.sessions:,} sessions, "
        f"{week.traffic.hosts:,} hosts in {week.days:.1f} days: "
        f"{week.per_thousand_hosts_and_day:,.1f} per 1,000 hosts and day"
    )
    if week.unscored:
        text += f"; incomplete: {week.unscored:,} of {week.segments:,} segments have no scores"
    return Check("traffic", not week.unscored, "block", week.unscored, 0, text, asked=week.asked)


def diff_check(against: Against) -> Check:
    """Block while nobody has looked at what would change for customers."""
    text = (
        f"beside {against.version}: +{against.gained.sessions:,} −{against.lost.sessions:,} sessions in "
        f"{against.groups:,} looks; {against.accepted:,} accepted, {against.labelled:,} sent to experts"
    )
    if against.waiting:
        text += f", {against.waiting:,} not reviewed"
    if against.unscored:
        text += f"; incomplete: the other has not scored {against.unscored:,} segments"
    return Check("verdict diff", not against.waiting and not against.unscored, "block", against.waiting, 0, text)


def ship_check(found: ShipFinding) -> Check:
    """Block what stands above a ceiling, and what could not be asked."""
    name = f"ship query {found.name}"
    if found.findings is None:
        return Check(name, False, "block", 0, 0, f"could not be asked: {found.error}", asked=found.asked)
    above = exceeded(found.ceilings, found.findings)
    text = told(found.ceilings, found.findings)
    if above:
        text = f"{text}; too much: {'; '.join(above)}"
    return Check(name, not above, "block", found.findings.found.sessions, _most(found), text, asked=found.asked)


def _most(found: ShipFinding) -> float:
    """Return the lowest ceiling in sessions."""
    ceilings, findings = found.ceilings, found.findings
    assert findings is not None
    most = [float(ceilings.sessions)] if ceilings.sessions is not None else []
    if ceilings.sessions_share is not None:
        most.append(float(int(ceilings.sessions_share * findings.base(ceilings.of).sessions)))
    return min(most)


def _against(against: Against | None) -> dict[str, Any] | None:
    if against is None:
        return None
    return {
        "version": against.version,
        "threshold": against.threshold,
        "gained": _plain(against.gained) | {"asked": against.gained_asked},
        "lost": _plain(against.lost) | {"asked": against.lost_asked},
        "unscored": against.unscored,
        "diff": against.diff,
        "groups": against.groups,
        "accepted": against.accepted,
        "labelled": against.labelled,
    }


def _plain(extent: Extent) -> dict[str, Any]:
    return {"sessions": extent.sessions, "hosts": extent.hosts}
