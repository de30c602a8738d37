"""How streams are doing, for people who watch them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from traffic.models import Stream

BEHIND = timedelta(minutes=5)  # of reading later than lines come, before somebody should look


@dataclass(frozen=True, slots=True)
class Reading:
    """A stream at a moment. `problem` is empty where nobody has to look."""

    stream: Stream
    behind: timedelta  # since when it has not caught up
    problem: str | Promise

    @property
    def lag(self) -> int:
        return 0 if self.stream.state == Stream.State.WAITING else self.stream.lag  # the other one's


def readings(now: datetime) -> list[Reading]:
    return [read(stream, now) for stream in Stream.objects.select_related("sensor")]


def read(stream: Stream, now: datetime) -> Reading:
    """Return how one stream is doing; a stopped one was stopped by somebody who knows."""
    waits = stream.lag > 0 and stream.state not in (Stream.State.STOPPED, Stream.State.WAITING)
    behind = now - stream.caught_up_at if waits else timedelta()
    return Reading(stream, behind, _problem(stream, behind, now))


def _problem(stream: Stream, behind: timedelta, now: datetime) -> str | Promise:
    if stream.state == Stream.State.STOPPED:
        return ""
    if not stream.is_alive(now):
        return _("not heard of")
    if stream.state == Stream.State.HELD:
        return _("reads nothing")
    if stream.state == Stream.State.READING and stream.reason:
        return _("stores nothing")
    return _("falls behind") if behind > BEHIND else ""
