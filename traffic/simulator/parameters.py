"""What a simulation may be told. `docs/simulator.md` explains every field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from traffic.simulator.attacks import FAMILIES
from traffic.simulator.sites import SITES

DEFAULT_FAMILIES: Mapping[str, float] = MappingProxyType({name: family.weight for name, family in FAMILIES.items()})


@dataclass(frozen=True, slots=True)
class Parameters:
    """Shares are of sessions on a working day; the same parameters and seed give the same bytes."""

    site: str = "core"  # whose network; see SITES
    hosts: int = 300  # inside the network, servers not counted
    begins: datetime = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday; where a window is not named, it begins here
    days: int = 7  # and lasts so long; any other window may be asked for
    sessions_per_day: int = 100_000  # HTTP sessions of a working day, all kinds together
    tls_per_day: int = 0  # TLS sessions of a working day, besides those of applications that talk HTTP too
    attack_share: float = 0.04
    families: Mapping[str, float] = field(default_factory=lambda: DEFAULT_FAMILIES)  # weights within the attacks
    known_to_rules: float = 0.55  # share of each family's sessions that the rules hit
    look_alike_share: float = 0.03  # harmless, and looks like an attack
    rule_mistakes: float = 0.03  # share of look-alike flows on which an attack rule speaks
    policy_noise: float = 0.02  # share of harmless flows with a hit of no attack: ET POLICY, ET INFO, SURICATA
    ipv6_share: float = 0.05  # of the hosts, inside and outside
    utc_offset_hours: int = 3  # where the people are: their working day is not UTC's

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise ValueError(f"site: expected one of {', '.join(SITES)}, got {self.site!r}")
        unknown = set(self.families) - set(FAMILIES)
        if unknown:
            raise ValueError(f"families: unknown {sorted(unknown)}, expected some of {', '.join(FAMILIES)}")
        if self.begins.tzinfo is None:
            raise ValueError("begins: expected a time with its zone")
        for name in ("hosts", "days", "sessions_per_day"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.tls_per_day < 0:
            raise ValueError(f"tls_per_day: expected 0 or more, got {self.tls_per_day}")
        for name in (
            "attack_share",
            "known_to_rules",
            "look_alike_share",
            "rule_mistakes",
            "policy_noise",
            "ipv6_share",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")
        if self.attack_share + self.look_alike_share > 1:
            raise ValueError("attack_share and look_alike_share: together more than all sessions")
        if self.attack_share and not sum(self.families.values()) > 0:
            raise ValueError("families: some weight above 0 is needed where attack_share is above 0")
        if any(weight < 0 for weight in self.families.values()):
            raise ValueError("families: a weight is 0 or more")
