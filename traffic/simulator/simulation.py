"""The simulation itself: what happens in each ten seconds, from nothing but the parameters, the seed and the time."""

from __future__ import annotations

import heapq
import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from traffic.simulator.attacks import FAMILIES, known_shares
from traffic.simulator.company import Company
from traffic.simulator.eve import Hit, Session, Wire, lines_of
from traffic.simulator.everyday import ODDITIES, REPUTATION
from traffic.simulator.handshakes import APPLICATIONS, Application, Client, handshake, is_known, lasting, server_of
from traffic.simulator.look_alikes import LOOK_ALIKES
from traffic.simulator.parameters import Parameters
from traffic.simulator.rhythm import one_or_more, poisson, weight_at
from traffic.simulator.sites import SITES
from traffic.simulator.vocabulary import ALWAYS, HTML, Activity, Kind, Page, Rule, Statuses, Way, fill

SLOT = 10  # seconds that are drawn together
_SECOND = 1_000_000
_DAY = 86_400
_LONGEST = 40 * _SECOND  # no request begins later than that after its flow, so that logs join well
_FLOWS_PER_SLOT = 1 << 20
_SCRAMBLE, _FLOW_BITS = 0x9E3779B97F4A7, 50  # odd, so flow numbers are scrambled without ever meeting
_FLOW_MASK = (1 << _FLOW_BITS) - 1
_VISIT_BEFORE = 0.12  # of the attacks on web servers begin with an innocent look
_BY_ADDRESS = 0.05  # of the harmless flows to our own servers name an address instead of a host
_INFECTED = ("office", "developer", "server")  # hosts inside from which attacks go on
_PROBES = 0.004  # hits of reputation lists on connections without a session, per session
_VISIT = Page("GET", "/", HTML, 38_000, ALWAYS)


class Truth(NamedTuple):
    """What a session really is. It is keyed as the session in the log, and never part of the log."""

    flow_id: int
    tx_id: int
    at: int  # microseconds since 1970: when the flow began
    sensor: str
    kind: Kind
    family: str  # of an attack, else the activity
    variant: str
    rules_hit: bool  # a rule of an attack (of TLS: of the application) spoke about it
    protocol: str = "http"  # of TLS sessions the family is the application

    @property
    def is_attack(self) -> bool:
        return self.kind is Kind.ATTACK


@dataclass(frozen=True, slots=True)
class _Source:
    """An activity as this simulation runs it."""

    activity: Activity
    kind: Kind
    family: str
    flows: float  # per working day
    hit: float  # share of its flows that an attack rule hits


@dataclass(frozen=True, slots=True)
class _Run:
    """A burst: one client, one tool, one target, for some minutes."""

    source: _Source
    begins: float  # seconds since 1970
    lasts: float
    flows: float
    actor: int


@dataclass(slots=True)
class _Flow:
    wire: Wire
    kinds: list[Kind]  # of each session
    family: str
    variant: str
    hit: bool


class Simulation:
    """The same parameters and seed give the same flows, whatever windows are asked for and in which order.

    A flow belongs wholly to the window it begins in, with all its lines: hits never part from their sessions."""

    def __init__(self, parameters: Parameters | None = None, seed: int = 1) -> None:
        self.parameters = parameters or Parameters()
        self.seed = seed
        self.company = Company(self.parameters, seed)
        self.site = SITES[self.parameters.site]
        self._name = f"{seed}|{self.parameters.site}"
        self._salt = random.Random(f"{self._name}|flows").getrandbits(_FLOW_BITS)  # noqa: S311
        sources = list(_sources(self.parameters))
        self._steady = [one for one in sources if not one.activity.period and not one.activity.burst]
        self._bursts = [one for one in sources if one.activity.burst]
        self._clocks = [(one, number) for one in sources if one.activity.period for number in range(_implants(one))]
        self._table = lru_cache(maxsize=168)(self._steady_at)
        self._runs = lru_cache(maxsize=8)(self._runs_in)

    @property
    def sensors(self) -> tuple[str, str]:
        return self.site.sensors

    # --- what the caller gets

    def lines(
        self, start: datetime | None = None, end: datetime | None = None, sensor: str | None = None
    ) -> Iterator[bytes]:
        """Yield the EVE lines, without line ends, of the flows that begin in [start, end), by time.

        Lines about them may be up to a minute and a half younger than `end`. One sensor's only, when it is named."""
        waiting: list[tuple[int, int, int, bytes]] = []
        for begins, flow in self._flows(*self._window(start, end)):
            while waiting and waiting[0][0] < begins:
                yield heapq.heappop(waiting)[3]
            if sensor is None or flow.wire.sensor == sensor:
                for number, (at, line) in enumerate(lines_of(flow.wire)):
                    heapq.heappush(waiting, (at, flow.wire.flow_id, number, line))
        while waiting:
            yield heapq.heappop(waiting)[3]

    def truth(self, start: datetime | None = None, end: datetime | None = None) -> Iterator[Truth]:
        """Yield what the sessions of the same flows really are."""
        for _, flow in self._flows(*self._window(start, end)):
            yield from _truths(flow)

    def truth_of(self, flow_id: int, tx_id: int) -> Truth | None:
        """Return what a session really is, from its numbers alone; None when this simulation never made it."""
        number = (flow_id - self._salt) * pow(_SCRAMBLE, -1, 1 << _FLOW_BITS) & _FLOW_MASK
        slot, place = divmod(number, _FLOWS_PER_SLOT)
        flows = self._slot(slot)
        told = list(_truths(flows[place])) if place < len(flows) else []
        return told[tx_id] if 0 <= tx_id < len(told) else None

    def rule_file(self) -> bytes:
        """Return the rules of the sensors as a Suricata rule file (their patterns left out): to be declared, so that
        silence of the rules means something even in a window without a single hit."""
        head = f"# synthetic rules of the simulated site {self.site.name}\n"
        rules = sorted({rule.sid: rule for rule in _rules(self.parameters)}.values(), key=lambda rule: rule.sid)
        return (head + "".join(map(_rule_line, rules))).encode()

    def _window(self, start: datetime | None, end: datetime | None) -> tuple[int, int]:
        begins = start or self.parameters.begins
        ends = end or begins + timedelta(days=self.parameters.days)
        return _micros(begins), _micros(ends)

    # --- flows

    def _flows(self, start: int, end: int) -> Iterator[tuple[int, _Flow]]:
        """Yield flows by their begin."""
        for slot in range(start // (SLOT * _SECOND), -(-end // (SLOT * _SECOND))):
            for flow in sorted(self._slot(slot), key=lambda flow: flow.wire.start):
                if start <= flow.wire.start < end:
                    yield flow.wire.start, flow

    def _slot(self, slot: int) -> list[_Flow]:
        """Return the flows that begin in ten seconds, numbered."""
        rng = random.Random(f"{self._name}|{slot}")  # noqa: S311 - a simulation, nothing to guess
        flows = [*self._drawn(rng, slot), *self._of_runs(rng, slot), *self._of_clocks(rng, slot)]
        flows.sort(key=lambda flow: flow.wire.start)
        flows += self._of_tls(slot)  # after the others, whose numbers it leaves alone
        for place, flow in enumerate(flows):
            number = slot * _FLOWS_PER_SLOT + place
            flow.wire.flow_id = (number * _SCRAMBLE + self._salt) & _FLOW_MASK
        return flows

    def _drawn(self, rng: random.Random, slot: int) -> Iterator[_Flow]:
        hour = self._local_hour(slot * SLOT)
        sources, sums = self._table(hour % 168)
        sessions = 0
        for _ in range(poisson(rng, sums[-1] * SLOT / _DAY)):
            source = sources[bisect(sums, rng.random() * sums[-1])]
            at = self._moment(rng, slot)
            flow = self._flow(rng, source, at, hour % 24, self._actor(rng, source))
            sessions += len(flow.kinds)
            yield flow
            yield from self._tls_beside(rng, source.activity, flow.wire, slot)
        for _ in range(poisson(rng, sessions * _PROBES)):
            yield self._probe(rng, self._moment(rng, slot))

    def _of_runs(self, rng: random.Random, slot: int) -> Iterator[_Flow]:
        begins = slot * SLOT
        for run in self._runs(begins // 3_600):
            overlap = min(begins + SLOT, run.begins + run.lasts) - max(begins, run.begins)
            if overlap > 0:
                for _ in range(poisson(rng, run.flows * overlap / run.lasts)):
                    hour = self._local_hour(begins) % 24
                    yield self._flow(rng, run.source, self._moment(rng, slot), hour, run.actor)

    def _of_clocks(self, rng: random.Random, slot: int) -> Iterator[_Flow]:
        """Beacons and polls: the k-th of each comes at phase + k * period, later by a jitter that only k decides."""
        begins = slot * SLOT
        for source, number in self._clocks:
            period = _implants(source) * _DAY / source.flows
            actor = _mix(self.seed, number, len(source.activity.name), source.activity.name)
            late, phase = period * source.activity.jitter, actor % 10_000 / 10_000 * period
            for turn in range(int((begins - phase - late) // period), int((begins + SLOT - phase) // period) + 1):
                at = phase + turn * period + late * (_mix(actor, turn) % 10_000) / 10_000
                if begins <= at < begins + SLOT:
                    yield self._flow(rng, source, int(at * _SECOND), 12, actor)

    def _flow(self, rng: random.Random, source: _Source, at: int, hour: int, actor: int) -> _Flow:
        """Return one flow of an activity."""
        activity = source.activity
        wire, agent, owner = self._wire(rng, source, at, hour, actor)
        kinds = [source.kind] * one_or_more(rng, activity.size)
        pages = [activity.pages[_weighted(rng, activity)] for _ in kinds]
        if _roams(source) and rng.random() < _VISIT_BEFORE:
            kinds.insert(0, Kind.BENIGN)
            pages.insert(0, _VISIT)
        _talk(rng, wire, pages, agent, owner)
        is_hit = rng.random() < source.hit and activity.rule is not None
        if is_hit and activity.rule:
            _hit_attacks(rng, wire, activity.rule, kinds, source.kind)
        elif source.kind is Kind.BENIGN and rng.random() < self.parameters.policy_noise:
            _hit(rng, wire, rng.choice((*activity.noise, *ODDITIES)), rng.randrange(len(kinds)))
        return _Flow(wire, kinds, source.family, activity.name, is_hit)

    def _wire(self, rng: random.Random, source: _Source, at: int, hour: int, actor: int) -> tuple[Wire, str, int]:
        """Return client and server, the user agent, and who keeps what is kept."""
        activity, company = source.activity, self.company
        way, by_address = activity.way, activity.way is not Way.OUT and rng.random() < _BY_ADDRESS
        if _roams(source):
            way, by_address = _victim(actor)
        client, browser, taste = self._client(rng, source, way, hour, actor)
        host = company.server(_of_actor(actor) if _is_steadfast(activity) else rng, activity, way, taste)
        ipv6 = ":" in client
        address = company.address_of(host, inside=way is not Way.OUT, ipv6=ipv6)
        if by_address:
            host = f"[{address}]" if ipv6 else address
        owner = actor if way is Way.IN or _roams(source) or _is_steadfast(activity) else taste
        agent = fill(_of_actor(owner), _pick(_of_actor(owner), activity.agents)) if activity.agents else browser
        wire = Wire(
            self.sensors[way is Way.IN], at, at, client, _client_port(rng), address, activity.port, host,
            "HTTP/1.0" if rng.random() < 0.01 else "HTTP/1.1",
        )  # fmt: skip
        return wire, agent, owner

    def _client(self, rng: random.Random, source: _Source, way: Way, hour: int, actor: int) -> tuple[str, str, int]:
        """Return address, browser and taste of who asks."""
        roles = source.activity.roles or _INFECTED
        if way is Way.IN:
            return self.company.outsider(actor), "", 0
        if _is_steadfast(source.activity) or _roams(source):
            host = self.company.host_for(actor, roles)
        else:
            host = self.company.host_at(rng, roles, hour)
        return host.address, host.browser, host.taste

    def _actor(self, rng: random.Random, source: _Source) -> int:
        """Return who is behind a flow: outside, some come more often than others."""
        return int(30_000 * rng.random() ** 2) if source.activity.way is Way.IN else rng.getrandbits(20)

    def _tls_beside(self, rng: random.Random, activity: Activity, http: Wire, slot: int) -> Iterator[_Flow]:
        """Applications talk TLS beside their HTTP, to the same server."""
        for _ in range(int(activity.tls + rng.random()) if activity.tls else 0):
            at = self._moment(rng, slot)
            end = at + int(rng.expovariate(1 / 8) * _SECOND) % _LONGEST
            wire = Wire(
                http.sensor, at, end, http.src_ip, _client_port(rng), http.dst_ip, 443, http.host,
                logged_at=end + 5 * _SECOND,
            )  # fmt: skip
            own = random.Random(f"{self._name}|tls beside|{at}|{wire.src_port}")  # noqa: S311
            application = next(one for one in APPLICATIONS if one.name == activity.name)
            yield self._tls_flow(own, application, wire, http.host or "")

    def _of_tls(self, slot: int) -> list[_Flow]:
        """Return the TLS connections of ten seconds, drawn apart: the rest stays as it is without them."""
        if not self.parameters.tls_per_day:
            return []
        rng = random.Random(f"{self._name}|tls|{slot}")  # noqa: S311
        hour = self._local_hour(slot * SLOT)
        whole = sum(one.share for one in APPLICATIONS)
        flows = []
        for application in APPLICATIONS:
            mean = self.parameters.tls_per_day * application.share / whole * self.site.more.get(application.name, 1.0)
            for _ in range(poisson(rng, mean * weight_at(application.rhythm, hour % 168) * SLOT / _DAY)):
                at = self._moment(rng, slot)
                client = self.company.host_at(rng, _INFECTED, hour % 24)
                name = self.company.named(server_of(rng, application))
                address = self.company.address_of(
                    name or f"unnamed-{rng.getrandbits(4)}.example",
                    inside=application.inside,
                    ipv6=":" in client.address,
                )
                end = at + min(lasting(rng, application), _LONGEST)
                wire = Wire(
                    self.sensors[0], at, end, client.address, _client_port(rng), address, application.port, name,
                    logged_at=end + int(rng.random() * 20 * _SECOND),
                )  # fmt: skip
                flows.append(self._tls_flow(rng, application, wire, name))
        return sorted(flows, key=lambda flow: flow.wire.start)

    def _tls_flow(self, rng: random.Random, application: Application, wire: Wire, server: str) -> _Flow:
        wire.tls = handshake(rng, application, _pick_client(rng, application, wire.src_ip), server, wire.start)
        is_mistaken = application.kind is Kind.LOOK_ALIKE and rng.random() < self.parameters.rule_mistakes
        is_hit = is_known(application, wire.tls.name) or is_mistaken
        if is_hit and application.rule:
            wire.hits.append(Hit(application.rule, wire.start + 35_000, None))
        return _Flow(wire, [application.kind], application.name, application.name, is_hit and bool(application.rule))

    def _probe(self, rng: random.Random, at: int) -> _Flow:
        """Somebody of ill repute knocks; no session comes of it."""
        client = self.company.outsider(rng.getrandbits(20))
        target = self.company.address_of(self.site.published[0], inside=True, ipv6=":" in client)
        wire = Wire(
            self.sensors[1], at, at + 900, client, _client_port(rng), target, rng.choice((22, 445, 3389)),
            None, logged_at=at + 3 * _SECOND,
        )  # fmt: skip
        wire.hits.append(Hit(rng.choice(REPUTATION), at + 400, None))
        return _Flow(wire, [], "probe", "probe", False)

    # --- schedules

    def _steady_at(self, hour_of_week: int) -> tuple[list[_Source], list[float]]:
        weights = [one.flows * weight_at(one.activity.rhythm, hour_of_week) for one in self._steady]
        return self._steady, list(accumulate(weights)) or [0.0]

    def _runs_in(self, hour: int) -> list[_Run]:
        """Return the bursts of one hour; each ends within it."""
        rng = random.Random(f"{self._name}|runs|{hour}")  # noqa: S311
        of_week = self._local_hour(hour * 3_600) % 168
        runs = []
        for source in self._bursts:
            flows = source.activity.burst / source.activity.size
            expected = source.flows / 24 / flows * weight_at(source.activity.rhythm, of_week)
            for _ in range(poisson(rng, expected)):
                lasts = 60 + rng.random() * 1_200
                begins = hour * 3_600 + rng.random() * (3_600 - lasts)
                runs.append(_Run(source, begins, lasts, flows, rng.getrandbits(40)))
        return runs

    def _local_hour(self, seconds: int) -> int:
        """Return the hours since a Monday, in local time."""
        return (seconds // 3_600 + self.parameters.utc_offset_hours) + 72  # 1970 began on a Thursday

    @staticmethod
    def _moment(rng: random.Random, slot: int) -> int:
        return slot * SLOT * _SECOND + int(rng.random() * SLOT * _SECOND)


# --- one flow ------------------------------------------------------------------------------------------------------


def _talk(rng: random.Random, wire: Wire, pages: list[Page], agent: str, owner: int) -> None:
    """Let client and server exchange requests and answers; sometimes several requests go out at once."""
    now = wire.start + int(rng.lognormvariate(10, 0.7))
    browses = "Mozilla/5.0 (" in agent and "compatible" not in agent
    before = ""
    for page in pages:
        status = _status(rng, page.statuses)
        length = _length(rng, page, status)
        uri = fill(rng, page.target, page.payloads, owner)
        done = now + int(rng.lognormvariate(10.8, 0.9)) + length // 40
        referer = f"http://{wire.host}{before}" if before and browses and rng.random() < 0.8 else None
        has_file = length > 0 and status == 200 and rng.random() < (0.6 if length > 100_000 else 0.2)
        wire.sessions.append(
            Session(now, done, page.method, uri, agent, referer, status, page.content_type, length, has_file)
        )
        if page.content_type == HTML and status == 200:
            before = uri
        wire.end = max(wire.end, done)
        gap = 400 if rng.random() < 0.25 else int(rng.lognormvariate(11.5, 1.3))
        now = min((now if gap == 400 else done) + gap, wire.start + _LONGEST)
    wire.end = min(wire.end, wire.start + _LONGEST + 10 * _SECOND)
    wire.logged_at = wire.end + int(rng.random() * 30 * _SECOND)


def _client_port(rng: random.Random) -> int:
    return 1_025 + int(rng.random() * 64_000)


def _hit_attacks(rng: random.Random, wire: Wire, rule: Rule, kinds: list[Kind], kind: Kind) -> None:
    """A rule speaks: mostly about each transaction, sometimes once about the flow."""
    if rng.random() < 0.12:
        wire.hits.append(Hit(rule, wire.end + 1_500 if rule.about_response else wire.start + 30_000, None))
        return
    for tx_id, of_session in enumerate(kinds):
        if of_session is kind:
            _hit(rng, wire, rule, tx_id)


def _hit(rng: random.Random, wire: Wire, rule: Rule, tx_id: int) -> None:
    """The hit is written before the http record when the request gave it away, else after it."""
    session = wire.sessions[tx_id]
    delay = int(rng.random() * 900)
    wire.hits.append(Hit(rule, session.done_at + delay if rule.about_response else session.asked_at + delay, tx_id))


def _status(rng: random.Random, statuses: Statuses) -> int:
    if len(statuses) == 1:
        return statuses[0][0]
    drawn = rng.random() * sum(weight for _, weight in statuses)
    for status, weight in statuses:
        drawn -= weight
        if drawn < 0:
            return status
    return statuses[0][0]


def _length(rng: random.Random, page: Page, status: int) -> int:
    if page.method == "HEAD" or status in (204, 304):
        return 0
    if status >= 300:
        return int(180 + rng.random() * 900)
    return int(page.size * rng.lognormvariate(0, 0.5)) if page.size > 64 else page.size


def _truths(flow: _Flow) -> Iterator[Truth]:
    wire = flow.wire
    about_flow = any(hit.tx_id is None for hit in wire.hits)
    told = {hit.tx_id for hit in wire.hits}
    for tx_id, kind in enumerate(flow.kinds):
        hit = flow.hit and (about_flow or tx_id in told)
        visit = kind is Kind.BENIGN and flow.kinds[-1] is Kind.ATTACK
        family, variant = ("visitors", "visitors") if visit else (flow.family, flow.variant)
        protocol = "tls" if wire.tls else "http"
        yield Truth(wire.flow_id, tx_id, wire.start, wire.sensor, kind, family, variant, hit, protocol)


# --- choices that last ---------------------------------------------------------------------------------------------


def _roams(source: _Source) -> bool:
    """Is this an attack on servers? Then it strikes published ones, those inside, and others' in our name."""
    return source.kind is Kind.ATTACK and source.activity.way is Way.IN


def _victim(actor: int) -> tuple[Way, bool]:
    """Return which servers an attacker finds, and whether by address instead of name."""
    share = actor * 37 % 100
    if share < 65:
        return Way.IN, share < 20
    return (Way.INTERNAL if share < 85 else Way.OUT), share % 5 == 0


def _is_steadfast(activity: Activity) -> bool:
    """Does one client keep to one server and one tool?"""
    return bool(activity.period or activity.burst)


def _of_actor(actor: int) -> random.Random:
    """Return a source of choices that are the same whenever the same actor makes them."""
    return random.Random(actor)  # noqa: S311


def _pick_client(rng: random.Random, application: Application, address: str) -> Client:
    """Return the program of a host: each keeps to its own, mostly."""
    own = _mix(address, application.name) % len(application.clients)
    return application.clients[own if rng.random() < 0.85 else int(rng.random() * len(application.clients))]


def _pick(rng: random.Random, things: tuple[str, ...]) -> str:
    return things[int(rng.random() * len(things))]


@lru_cache(maxsize=512)
def _page_sums(activity: Activity) -> list[float]:
    return list(accumulate(page.weight for page in activity.pages))


def _weighted(rng: random.Random, activity: Activity) -> int:
    sums = _page_sums(activity)
    return bisect(sums, rng.random() * sums[-1])


def _mix(*parts: object) -> int:
    """Return a number that only these parts decide."""
    mixed = 0xCBF29CE484222325
    for part in parts:
        for byte in str(part).encode() + b"|":
            mixed = (mixed ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return mixed ^ (mixed >> 29)


# --- from parameters to sources ------------------------------------------------------------------------------------


def _sources(parameters: Parameters) -> Iterator[_Source]:
    site, sessions = SITES[parameters.site], parameters.sessions_per_day
    attacks, look_alikes = parameters.attack_share, parameters.look_alike_share
    for share, kind, activities in (
        (1 - attacks - look_alikes, Kind.BENIGN, site.activities()),
        (look_alikes, Kind.LOOK_ALIKE, site.look_alikes()),
    ):
        shares = {one.name: one.share * site.more.get(one.name, 1.0) for one in activities}
        for one in activities:
            of_all = share * shares[one.name] / sum(shares.values())
            if of_all:
                yield _Source(one, kind, one.name, sessions * of_all / one.size, parameters.rule_mistakes)
    whole = sum(parameters.families.values())
    for name, weight in parameters.families.items():
        family = FAMILIES[name]
        known = known_shares(family, parameters.known_to_rules)
        of_family = sum(one.share for one in family.variants)
        for one in family.variants:
            of_all = attacks * weight / whole * one.share / of_family if attacks else 0.0
            if of_all:
                yield _Source(one, Kind.ATTACK, name, sessions * of_all / one.size, known[one.name])


def _implants(source: _Source) -> int:
    return max(1, round(source.flows * source.activity.period / _DAY))


def _rules(parameters: Parameters) -> Iterator[Rule]:
    yield from ODDITIES
    yield from REPUTATION
    yield from (one.rule for one in APPLICATIONS if one.rule)
    for one in (*SITES[parameters.site].activities(), *LOOK_ALIKES, *SITES[parameters.site].look_alikes()):
        yield from one.noise
        if one.rule:
            yield one.rule
    for family in FAMILIES.values():
        known = known_shares(family, parameters.known_to_rules)
        yield from (one.rule for one in family.variants if one.rule and known[one.name] > 0)


def _rule_line(rule: Rule) -> str:
    protocol = "tls" if "TLS" in rule.msg or "Certificate" in rule.msg else "http"
    return (
        f'alert {protocol} any any -> any any (msg:"{rule.msg}"; classtype:{rule.classtype}; sid:{rule.sid}; rev:1;)\n'
    )


def _micros(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("expected a time with its zone")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
