"""How an item got its place in its queue, part by part, for people."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from detection.selection import Cause, SelectionPolicy
from labeling.models import Item
from labeling.models.items import CAUSE_NAMES
from labeling.services import priorities


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the number."""

    name: str
    why: str
    amount: float


@dataclass(frozen=True)
class PlaceInQueue:
    """The number of an item and what it comes from."""

    item: Item

    @property
    def parts(self) -> list[Part]:
        """The parts that add up to the number; none where no formula of ours gave it."""
        found = priorities.explained(self.item)
        if found is None:
            return []
        return [
            Part(str(CAUSE_NAMES[term.cause]), self._why(term.cause), term.amount)
            for term in found.terms
            if term.amount or term.cause is Cause.MARGIN
        ]

    @property
    def word(self) -> str:
        """What is to say where there are no parts."""
        if self.item.cause == Cause.DEADLINE:
            return _("Complaints go by their deadline, the nearest first, before all that scores order.")
        if self.item.cause == Cause.LOT:
            return _("Drawn sessions come in the order of the traffic: nothing is to be learnt from their order.")
        return _("The figures that gave this number are not kept with the item.")

    def _why(self, cause: Cause) -> str:
        said, item = self.item.decision, self.item
        policy = SelectionPolicy.of_dict(said["policy"])
        assert policy is not None  # else there are no parts
        if cause is Cause.MARGIN:
            return _("%(score)s, on the way from the threshold %(threshold)s to 1") % _scores(said)
        if cause is Cause.CLOSE:
            words = _scores(said) | {"band": f"{policy.uncertain_band:g}"}
            return _("%(score)s is within %(band)s of the threshold %(threshold)s") % words
        if cause is Cause.HOSTS:
            return _counted(ngettext("%(n)s host", "%(n)s hosts", item.hosts), item.hosts, policy.full_hosts)
        if cause is Cause.SESSIONS:
            sessions = ngettext("%(n)s session", "%(n)s sessions", item.sessions)
            return _counted(sessions, item.sessions, policy.full_sessions)
        if cause is Cause.ROUND:
            turn = said.get("round", 0)
            return _("every host gets one item first: this is item %(n)s of its host") % {"n": turn + 1}
        return item.raised_by.cause if item.raised_by else ""


def _scores(said: dict[str, float]) -> dict[str, str]:
    return {name: f"{said[name]:.4f}" for name in ("score", "threshold")}


def _counted(words: str, number: int, full: int) -> str:
    most = _("on a logarithmic scale, full at %(most)s") % {"most": f"{full:,}"}
    return f"{words % {'n': f'{number:,}'}}, {most}"
