"""Ship queries: what a version may at most flag where it should not, in sessions and in hosts.

A ship query is a filter over the version's positives of a week of traffic. What it finds is taken for wrong: so many
sessions, so many hosts are borne, and more block the version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Base = Literal["positives", "traffic"]
POSITIVES: Base = "positives"
TRAFFIC: Base = "traffic"
SHARES = (POSITIVES, TRAFFIC)


class ShipQueryError(ValueError):
    """The terms are no ship query; the message says why."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """At most so many; every ceiling that is set must hold, and each unit has one. Shares are 0 to 1."""

    sessions: int | None = None
    hosts: int | None = None
    sessions_share: float | None = None
    hosts_share: float | None = None
    of: Base = POSITIVES  # what shares are of: the version's positives, or all traffic of its protocol

    def __post_init__(self) -> None:
        if self.of not in SHARES:
            raise ShipQueryError(f"a share is of the {POSITIVES} or of the {TRAFFIC}, not of {self.of!r}")
        if self.sessions is None and self.sessions_share is None:
            raise ShipQueryError("a ceiling in sessions is missing: a number, or a share")
        if self.hosts is None and self.hosts_share is None:
            raise ShipQueryError("a ceiling in hosts is missing: a number, or a share")
        if any(count is not None and count < 0 for count in (self.sessions, self.hosts)):
            raise ShipQueryError("a ceiling is not below 0")
        if any(share is not None and not 0.0 <= share <= 1.0 for share in (self.sessions_share, self.hosts_share)):
            raise ShipQueryError("a share is from 0 to 100 %")


@dataclass(frozen=True, slots=True)
class Exemption:
    """What the query finds and people have looked at: it counts for nothing."""

    filter: str
    reason: str

    def __post_init__(self) -> None:
        if not self.filter.strip() or not self.reason.strip():
            raise ShipQueryError("an exception is a filter and the reason for it")


@dataclass(frozen=True, slots=True)
class Terms:
    """What two people agreed on under the name of a ship query."""

    filter: str
    ceilings: Ceilings
    exceptions: tuple[Exemption, ...] = ()

    def __post_init__(self) -> None:
        if not self.filter.strip():
            raise ShipQueryError("a ship query needs a filter")

    def to_dict(self) -> dict[str, Any]:
        return {
            "filter": self.filter,
            "ceilings": asdict(self.ceilings),
            "exceptions": [asdict(one) for one in self.exceptions],
        }

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Terms:
        """Return the terms of a dict that `to_dict` made. Raises ShipQueryError."""
        try:
            exceptions = tuple(Exemption(**one) for one in given.get("exceptions", ()))
            return cls(given["filter"], Ceilings(**given["ceilings"]), exceptions)
        except (KeyError, TypeError) as error:
            raise ShipQueryError(f"these are no terms of a ship query: {error}") from error

    @property
    def digest(self) -> str:
        return digest_of(self.to_dict())

    def asked(self) -> str:
        """Return the filter without what is excepted, in the language of hunts."""
        if not self.exceptions:
            return f"({self.filter})"
        excepted = " or ".join(f"({one.filter})" for one in self.exceptions)
        return f"({self.filter}) and not ({excepted})"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of plain values in their canonical form."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def digest_of_all(queries: Mapping[str, str]) -> str:
    """Return one digest of all queries in force, by name and digest."""
    return digest_of(sorted(queries.items()))


@dataclass(frozen=True, slots=True)
class Extent:
    """How much, in both units."""

    sessions: int
    hosts: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What a ship query found among a version's positives."""

    found: Extent
    positives: Extent
    traffic: Extent

    def base(self, of: Base) -> Extent:
        return self.positives if of == POSITIVES else self.traffic

    @property
    def precision(self) -> float | None:
        """Of the positives, if all that was found is wrong and nothing else; None without positives."""
        if not self.positives.sessions:
            return None
        return 1.0 - self.found.sessions / self.positives.sessions


def exceeded(ceilings: Ceilings, findings: Findings) -> list[str]:
    """Return what stands above its ceiling, in words."""
    found, base = findings.found, findings.base(ceilings.of)
    counts = (("sessions", found.sessions, ceilings.sessions), ("hosts", found.hosts, ceilings.hosts))
    shares = (
        ("sessions", found.sessions, base.sessions, ceilings.sessions_share),
        ("hosts", found.hosts, base.hosts, ceilings.hosts_share),
    )
    return [
        *(f"{count:,} {unit}, at most {most:,}" for unit, count, most in counts if most is not None and count > most),
        *(
            f"{_percent(count, of)} of {unit}, at most {_percent_of(share)}"
            for unit, count, of, share in shares
            if share is not None and count > share * of
        ),
    ]


def told(ceilings: Ceilings, findings: Findings) -> str:
    """Return what was found, what was allowed and what it would mean, in one line."""
    found, positives = findings.found, findings.positives
    text = (
        f"{found.sessions:,} sessions, {found.hosts:,} hosts of {positives.sessions:,} positive sessions "
        f"on {positives.hosts:,} hosts; at most {allowed(ceilings)}"
    )
    if (precision := findings.precision) is not None and found.sessions:
        text += f"; precision {precision * 100:.1f} % if all of them are wrong"
    return text


def allowed(ceilings: Ceilings) -> str:
    """Return the ceilings in words: "0.2 % of sessions, 20 hosts"."""
    of = "" if ceilings.of == POSITIVES else " of all traffic"
    return ", ".join(
        text
        for text, is_set in (
            (f"{ceilings.sessions or 0:,} sessions", ceilings.sessions is not None),
            (f"{_percent_of(ceilings.sessions_share)} of sessions{of}", ceilings.sessions_share is not None),
            (f"{ceilings.hosts or 0:,} hosts", ceilings.hosts is not None),
            (f"{_percent_of(ceilings.hosts_share)} of hosts{of}", ceilings.hosts_share is not None),
        )
        if is_set
    )


def differences(old: Terms | None, new: Terms) -> Sequence[tuple[str, str, str]]:
    """Return what changes from some terms to others: name, old, new."""
    was, now = (_lines(terms) if terms else {} for terms in (old, new))
    return [(name, was.get(name, ""), now.get(name, "")) for name in {**was, **now} if was.get(name) != now.get(name)]


def _lines(terms: Terms) -> dict[str, str]:
    excepted = {f"except {one.filter}": one.reason for one in terms.exceptions}
    return {"filter": terms.filter, "ceilings": allowed(terms.ceilings)} | excepted


def _percent(count: int, of: int) -> str:
    return f"{100 * count / of if of else 0.0:.3g} %"


def _percent_of(share: float | None) -> str:
    return f"{100 * (share or 0.0):.6g} %"
