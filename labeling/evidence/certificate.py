"""The certificate a server showed, beside the session that showed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labeling.services.records import moment

CERTIFICATE_COLUMNS = ("cert_subject", "cert_issuer", "cert_serial", "cert_sha1", "cert_not_before", "cert_not_after")


@dataclass(frozen=True, slots=True)
class Certificate:
    """When a certificate held, beside the session that showed it."""

    row: Mapping[str, Any]
    seen: datetime

    @property
    def begins(self) -> datetime | None:
        return _moment(self.row["cert_not_before"])

    @property
    def ends(self) -> datetime | None:
        return _moment(self.row["cert_not_after"])

    @property
    def days(self) -> int | None:
        """How long it holds in all."""
        return (self.ends - self.begins).days if self.begins and self.ends else None

    @property
    def age(self) -> int | None:
        """Days from its begin to the session."""
        return (self.seen - self.begins).days if self.begins else None

    @property
    def had_expired(self) -> bool:
        return self.ends is not None and self.ends < self.seen

    @property
    def had_not_begun(self) -> bool:
        return self.begins is not None and self.begins > self.seen

    @property
    def is_self_issued(self) -> bool:
        return bool(self.row["cert_subject"] and self.row["cert_subject"] == self.row["cert_issuer"])


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else moment(microseconds)
