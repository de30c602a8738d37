"""When is training considered, and is there enough that is new to train another version?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Schedule:
    """One moment a day, or a week, in UTC."""

    hour: int = 2
    weekday: int | None = None  # 0 is Monday; None: every day

    def last_due(self, now: datetime) -> datetime:
        """Return the last such moment that is not after `now`."""
        moment = now.replace(hour=self.hour, minute=0, second=0, microsecond=0)
        if moment > now:
            moment -= timedelta(days=1)
        return moment if self.weekday is None else moment - timedelta(days=(moment.weekday() - self.weekday) % 7)


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """Stored with every decision."""

    labels: int = 50  # new gate-worthy ones that make a night's training worth it
    days: int = 7  # after that many nights it is trained in any case: traffic changes without anybody labelling it

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to train, and why."""

    train: bool
    reason: str


def decide(new_labels: int, since_last: timedelta | None, policy: RetrainPolicy) -> Decision:
    """Return whether a detector is trained tonight. `since_last` is None for one that never was."""
    if since_last is None:
        return Decision(True, "never trained")
    days = since_last / timedelta(days=1)
    if new_labels >= policy.labels:
        return Decision(True, f"{new_labels} new labels since the last training set")
    if round(days) >= policy.days:  # what was trained at 02:05 is due at 02:00 a week later
        return Decision(True, f"the last training was {days:.1f} days ago")
    return Decision(
        False,
        f"{new_labels} new labels since the last training set, {policy.labels} are wanted; "
        f"the last training was {days:.1f} days ago, {policy.days} are allowed",
    )
