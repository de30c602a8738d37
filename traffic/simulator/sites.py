"""Whose network is simulated: the vendor's own, and customers' sites of another mix."""

from __future__ import annotations

from dataclasses import dataclass, field

from traffic.simulator.everyday import EVERYDAY, PANELS, RECORDS, STOREFRONT
from traffic.simulator.look_alikes import HEALTH_MESSAGES, LOOK_ALIKES, MACHINE_COMMANDS, PUMPS, SHOP_WORDS, VENDOR_SITE
from traffic.simulator.vocabulary import Activity

SYNTHETIC = "synthetic"  # how the names of all simulated sensors begin


@dataclass(frozen=True, slots=True)
class Site:
    """Names say synthetic; `more` multiplies the shares of activities, 0 leaves one out."""

    name: str
    title: str
    domain: str  # of what stands inside: "wiki.corp" becomes "wiki.<domain>"
    published: tuple[str, ...]  # host names that the world sees, the most visited first
    roles: dict[str, float]  # hosts by what they are for
    more: dict[str, float] = field(default_factory=dict)
    own: tuple[Activity, ...] = ()
    own_look_alikes: tuple[Activity, ...] = ()

    @property
    def sensors(self) -> tuple[str, str]:
        """The sensor that sees hosts inside, and the one that sees published servers."""
        return f"{SYNTHETIC}-{self.name}", f"{SYNTHETIC}-{self.name}-dmz"

    def activities(self) -> tuple[Activity, ...]:
        return tuple(one for one in (*EVERYDAY, *self.own) if self.more.get(one.name, 1.0) > 0)

    def look_alikes(self) -> tuple[Activity, ...]:
        return tuple(one for one in (*LOOK_ALIKES, *self.own_look_alikes) if self.more.get(one.name, 1.0) > 0)


def _names(domain: str, labels: str) -> tuple[str, ...]:
    return tuple(f"{label}.{domain}" for label in labels.split())


_OFFICE = {"office": 0.62, "developer": 0.18, "admin": 0.04, "phone": 0.10, "server": 0.05, "scanner": 0.01}

SITES = {
    site.name: site
    for site in (
        Site(
            "core",
            "the vendor's own network",
            "corp.example",
            _names("synthetic-vendor.example", "www support api id blog")
            + _names("synthetic-labs.test", "sandbox academy m"),
            _OFFICE,
            own_look_alikes=VENDOR_SITE,
        ),
        Site(
            "shop",
            "a customer: online shop",
            "shop.test",
            (*_names("synthetic-shop.test", "www m api pay partners"), "synthetic-books.example"),
            _OFFICE | {"developer": 0.08, "office": 0.72},
            {"wiki": 0.3, "git": 0.4, "ktalk": 0.2, "visitors": 2, "crawlers": 3, "training-site": 0.2},
            (STOREFRONT,),
            (SHOP_WORDS,),
        ),
        Site(
            "clinic",
            "a customer: hospital",
            "clinic.test",
            (*_names("synthetic-clinic.test", "www appointments results"), "synthetic-health.example"),
            _OFFICE | {"developer": 0.02, "office": 0.80},
            {"git": 0, "packages": 0.1, "ktalk": 0.3, "telegram": 2, "training-site": 0, "code-browsing": 0},
            (RECORDS,),
            (HEALTH_MESSAGES, PUMPS),
        ),
        Site(
            "factory",
            "a customer: factory",
            "factory.test",
            _names("synthetic-factory.test", "www suppliers remote"),
            {"office": 0.45, "developer": 0.02, "admin": 0.05, "phone": 0.03, "server": 0.43, "scanner": 0.02},
            {
                "git": 0,
                "browsing": 0.4,
                "telegram": 0.3,
                "ktalk": 0.1,
                "training-site": 0,
                "update-pings": 2,
                "device-rollout": 4,
            },
            (PANELS,),
            (MACHINE_COMMANDS,),
        ),
    )
}
