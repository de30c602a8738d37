"""The navigation on the left: which pages exist, in which order. Who sees them is asked of the views themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, resolve, reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from accounts.rights import roles_of
from accounts.roles import EXPERTS, Role
from labeling.services import saved_queues
from triage.services import home


@dataclass(frozen=True, slots=True)
class Place:
    """A page of the navigation. `key` follows `g` on the keyboard."""

    url_name: str
    title: Promise
    key: str


PLACES = (
    Place("triage:home", _("Home"), "h"),
    Place("labeling:queues", _("Queues"), "q"),
    Place("labeling:contradictions", _("Contradictions"), "d"),
    Place("labeling:conflicts", _("Conflicts"), "x"),
    Place("labeling:hunt", _("Hunt"), "f"),
    Place("triage:complaints", _("Complaints"), "c"),
    Place("triage:incidents", _("Incidents"), "v"),
    Place("triage:fleet", _("The field"), "z"),
    Place("triage:risk", _("Hosts at risk"), "r"),
    Place("models_registry:detectors", _("Models"), "m"),
    Place("models_registry:bundles", _("Bundles"), "b"),
    Place("models_registry:ledger", _("Ledger"), "p"),
    Place("models_registry:releases", _("Releases"), "y"),
    Place("models_registry:indicators", _("Indicators"), "i"),
    Place("triage:customers", _("Customers"), "k"),
    Place("models_registry:sites", _("Sites"), "s"),
    Place("traffic:intakes", _("Traffic"), "t"),
    Place("labeling:experts", _("Experts"), "e"),
    Place("jobs:jobs", _("Jobs"), "j"),
    Place("triage:health-page", _("Health"), "l"),
    Place("triage:outbox", _("Outbox"), "n"),
    Place("triage:servings", _("Who serves whom"), "w"),
    Place("accounts:users", _("Users"), "u"),
    Place("accounts:tokens", _("Tokens"), "o"),
    Place("accounts:audit", _("Audit"), "a"),
)


@cache
def _places() -> tuple[tuple[Place, str, frozenset[Role]], ...]:
    found = []
    for place in PLACES:
        try:
            url = reverse(place.url_name)
        except NoReverseMatch:
            continue
        found.append((place, url, roles_of(resolve(url).func)))
    return tuple(found)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Give templates the places this user may see, and what the bar on top counts."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"navigation": []}
    return {
        "saved_queues": SimpleLazyObject(lambda: saved_queues.places(user)) if user.has_role(*EXPERTS) else [],
        "bar": SimpleLazyObject(lambda: home.bar(user)),  # fragments do not show it: they do not pay for it
        "navigation": [
            {"title": place.title, "url": url, "key": place.key, "here": _is_here(request.path, url)}
            for place, url, roles in _places()
            if user.has_role(*roles)
        ],
    }


def _is_here(path: str, url: str) -> bool:
    return path == url if url == "/" else path.startswith(url)
