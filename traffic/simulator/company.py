"""A network: its hosts and their habits, the servers inside and outside, the addresses of all."""

from __future__ import annotations

import random
import zlib
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from traffic.simulator.everyday import BROWSER_OUTSIDE, INTERNAL
from traffic.simulator.parameters import Parameters
from traffic.simulator.sites import SITES
from traffic.simulator.vocabulary import WORDS, Activity, Way, fill

_NAMES_PER_TEMPLATE = 12
_PLACES_OUTSIDE = 240
_OUTSIDERS = 30_000
_BROWSERS = (
    *BROWSER_OUTSIDE[:1] * 4,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 "
    "Edg/120.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:122.0) Gecko/20100101 Firefox/122.0",
    *BROWSER_OUTSIDE[3:],
)
_PHONES = BROWSER_OUTSIDE[1:3]


@dataclass(frozen=True, slots=True)
class Host:
    """A machine inside and its habits."""

    address: str
    role: str
    browser: str
    activity: float  # how busy, relative to others of its role
    comes: int  # hour of the local day from which somebody sits there
    leaves: int
    taste: int  # which places outside it prefers


class Ranked:
    """Things of skewed popularity: the k-th is drawn with weight 1 / k."""

    def __init__(self, things: Sequence[str]) -> None:
        self._things = things
        self._sums = list(accumulate(1 / rank for rank in range(1, len(things) + 1)))

    def draw(self, rng: random.Random, turn: int = 0) -> str:
        """`turn` shifts the ranks: the favourites of one host are not those of another."""
        rank = bisect(self._sums, rng.random() * self._sums[-1])
        if turn and rng.random() < 0.5:
            rank = (rank + turn) % len(self._things)
        return self._things[min(rank, len(self._things) - 1)]


class Company:
    """Everything that stays: the same parameters and seed give the same hosts, names and addresses."""

    def __init__(self, parameters: Parameters, seed: int) -> None:
        self.site = SITES[parameters.site]
        self._rng = random.Random(f"{seed}|{parameters.site}|company")  # noqa: S311 - a simulation, nothing to guess
        self._ipv6_share = parameters.ipv6_share
        self.hosts = [self._host(number) for number in range(parameters.hosts)]
        self._by_roles: dict[tuple[str, ...], tuple[list[Host], list[float]]] = {}
        self._names: dict[str, Ranked] = {}
        inside = expand(self._rng, (name for one in INTERNAL for name in one.servers))
        self._found = {
            Way.OUT: Ranked([f"{'www.' * (number % 2)}{self._place(number)}" for number in range(_PLACES_OUTSIDE)]),
            Way.INTERNAL: Ranked([self.named(name) for name in inside]),
            Way.IN: Ranked(self.site.published),
        }
        self._addresses: dict[tuple[str, bool], str] = {}

    def _host(self, number: int) -> Host:
        rng = self._rng
        role = rng.choices(list(self.site.roles), list(self.site.roles.values()))[0]
        comes = min(12, max(6, round(rng.gauss(9, 1))))
        return Host(
            self._address_inside(number),
            role,
            rng.choice(_PHONES if role == "phone" else _BROWSERS),
            rng.lognormvariate(0, 0.8),
            0 if role in ("server", "scanner") else comes,
            24 if role in ("server", "scanner") else comes + 9,
            rng.randrange(_PLACES_OUTSIDE),
        )

    def _address_inside(self, number: int) -> str:
        if self._rng.random() < self._ipv6_share:
            return f"2001:0db8:0010:0000:0000:0000:0000:{number + 16:04x}"
        return f"10.{20 + number // 60_000}.{number % 60_000 // 250}.{2 + number % 250}"

    def _place(self, number: int) -> str:
        first, second = self._rng.choice(WORDS), self._rng.choice(WORDS)
        return f"{first}-{second}.{('example', 'test')[number % 5 == 4]}"

    # --- who

    def host_at(self, rng: random.Random, roles: tuple[str, ...], hour: int) -> Host:
        """Return a host of one of these roles; one whose people are there, if that is easily found."""
        hosts, sums = self._of_roles(roles)
        for _ in range(3):
            host = hosts[bisect(sums, rng.random() * sums[-1])]
            if host.comes <= hour < host.leaves:
                break
        return host

    def host_for(self, number: int, roles: tuple[str, ...]) -> Host:
        """Return the same host for the same number, each as likely."""
        hosts, _ = self._of_roles(roles)
        return hosts[number % len(hosts)]

    def _of_roles(self, roles: tuple[str, ...]) -> tuple[list[Host], list[float]]:
        if roles not in self._by_roles:
            hosts = [host for host in self.hosts if host.role in roles] or self.hosts
            self._by_roles[roles] = (hosts, list(accumulate(host.activity for host in hosts)))
        return self._by_roles[roles]

    def outsider(self, actor: int) -> str:
        """Return the address of somebody outside."""
        number = actor % _OUTSIDERS
        if number % 1_000 < 1_000 * self._ipv6_share:
            return f"2001:0db8:00fe:0000:0000:0000:{number:04x}:{number % 251:04x}"
        return f"198.{18 + number % 2}.{number // 250 % 256}.{1 + number % 250}"

    # --- with whom

    def server(self, rng: random.Random, activity: Activity, way: Way, taste: int) -> str:
        """Return a host name for this activity; where it names none, one that is found on this way."""
        if activity.servers:
            return self._expanded(activity).draw(rng, taste)
        return self._found[way].draw(rng, 0 if way is Way.IN else taste)

    def _expanded(self, activity: Activity) -> Ranked:
        names = self._names.get(activity.name)
        if names is None:
            rng = random.Random(f"{activity.name}|{self.hosts[0].taste}|{len(self.hosts)}")  # noqa: S311
            names = Ranked([self.named(name) for name in expand(rng, activity.servers)])
            self._names[activity.name] = names
        return names

    def named(self, name: str) -> str:
        """Return a name of what stands inside with the site's own domain."""
        return f"{name.removesuffix('corp')}{self.site.domain}" if name.endswith(".corp") else name

    def address_of(self, name: str, *, inside: bool, ipv6: bool) -> str:
        """Return the address of a server: of the same family as its client's."""
        key = (name, ipv6)
        address = self._addresses.get(key)
        if address is None:
            number = zlib.crc32(name.encode())
            if name[-1].isdigit() and not ipv6:  # an address already
                address = name
            elif ipv6:
                address = f"2001:0db8:{0x20 if inside else 0xF0:04x}:0000:0000:0000:0000:{number % 65_000 + 1:04x}"
            elif inside:
                address = f"10.1.{number % 16}.{number // 16 % 250 + 2}"
            else:
                address = f"{('203.0.113', '198.51.100', '192.0.2')[number % 3]}.{number // 3 % 250 + 2}"
            self._addresses[key] = address
        return address


def expand(rng: random.Random, templates: Iterable[str]) -> list[str]:
    """Return the names that templates stand for: the plain ones first, then a dozen of each."""
    found = dict.fromkeys(name for name in templates if "~" not in name)
    for template in templates:
        if "~" in template:
            found |= dict.fromkeys(fill(rng, template) for _ in range(_NAMES_PER_TEMPLATE))
    return list(found)
