"""TLS applications of the simulation: which names, clients, certificates and sizes each has, and what rules know of it.

Fingerprints are made up and of the shape of real ones: JA4 as written by its authors, JA3 and JA3S as MD5. Browsers
shuffle their extensions, so their JA3 is another each time; programs built on a browser's engine share its ciphers.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zlib import crc32

from traffic.simulator.vocabulary import Kind, Rhythm, Rule, fill

_DAY = 86_400_000_000
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Client:
    """A TLS library in the hands of a program."""

    program: str
    head: str  # first part of JA4 with a name: protocol, version, d, counts, ALPN
    ciphers: str  # who shares its list of ciphers
    alpn: str = "h2,http/1.1"
    shuffles: bool = False
    resumes: float = 0.3  # share of connections that resume an earlier session

    @property
    def knows_tls13(self) -> bool:
        return self.head.startswith("t13")


CHROME = Client("chrome", "t13d1516h2", "chromium", shuffles=True)
FIREFOX = Client("firefox", "t13d1715h2", "nss")
SAFARI = Client("safari", "t13d2014h2", "apple")
ELECTRON = Client("electron", "t13d1515h2", "chromium", shuffles=True)
KTALK_DESKTOP = Client("ktalk desktop", "t13d1514h2", "chromium")
KTALK_MEDIA = Client("ktalk media", "t12d0610h1", "ktalk media", alpn="webrtc")
TELEGRAM_DESKTOP = Client("telegram desktop", "t13d301000", "openssl desktop", alpn="")
TELEGRAM_PHONE = Client("telegram phone", "t13d030500", "telegram phone", alpn="", resumes=0.6)
WINDOWS = Client("windows", "t12d1909h2", "schannel", resumes=0.5)
CURL = Client("curl", "t13d3112h2", "openssl", resumes=0.0)
JAVA = Client("java", "t13d491100", "java", alpn="", resumes=0.1)
MAIL = Client("mail", "t12d2510m0", "nss old", alpn="imap")
IMPLANT = Client("implant", "t12d140600", "implant", alpn="", resumes=0.0)
BROWSERS = (CHROME, CHROME, CHROME, FIREFOX, SAFARI)


@dataclass(frozen=True, slots=True)
class Application:
    """Something that talks TLS: one connection at a time."""

    name: str
    servers: tuple[str, ...]  # names, templates; the first most popular
    clients: tuple[Client, ...]
    share: float  # of the TLS sessions
    sent: float  # bytes, median
    received: float
    lasts: float  # seconds, median
    kind: Kind = Kind.BENIGN
    issuer: str = "C=XX, O=Synthetic Trust, CN=Synthetic DV CA 3"
    owner: str = ""  # organisation in the certificate; none: only a name
    cert_days: int = 90
    spread: float = 0.8  # of the sizes: standard deviation of their logarithm
    unnamed: float = 0.0  # share of connections that ask for no name
    tls13: float = 0.8  # share of servers that speak it
    port: int = 443
    inside: bool = False
    rhythm: Rhythm = Rhythm.OFFICE
    rule: Rule | None = None  # speaks where a server's name ends with `known`
    known: tuple[str, ...] = ()


KTALK_SEEN = Rule(1_300_031, "ET INFO Observed ktalk Domain in TLS SNI", "misc-activity")
TELEGRAM_TLS = Rule(1_300_032, "ET INFO Observed Telegram Domain in TLS SNI", "misc-activity")
IMPLANT_CERT = Rule(1_300_033, "ET MALWARE Synthetic Implant Certificate Observed", "trojan-activity")

APPLICATIONS = (
    Application("ktalk", ("ktalk.example", "api.ktalk.example", "~w.ktalk.example", "talk.~w-~w.test"),
                (KTALK_DESKTOP, KTALK_DESKTOP, CHROME), 9, 9_000, 24_000, 9, owner="Synthetic Talk",
                rule=KTALK_SEEN, known=("ktalk.example",)),
    Application("ktalk", ("media-~p.ktalk.example", "media.~w-~w.test"), (KTALK_MEDIA,), 5, 900_000, 1_300_000, 30,
                owner="Synthetic Talk", unnamed=0.35, tls13=0, port=8443, rule=KTALK_SEEN, known=("ktalk.example",)),
    Application("telegram", ("venus.web.telegram.example", "pluto.web.telegram.example", "cdn~p.telegram.example",
                             "~w-proxy.~w.test"),
                (TELEGRAM_DESKTOP, TELEGRAM_DESKTOP, TELEGRAM_PHONE, CHROME), 11, 5_200, 48_000, 14, spread=1.2,
                unnamed=0.2, owner="Synthetic Messenger", rule=TELEGRAM_TLS, known=("telegram.example",)),
    # look like them: names, engines, sizes
    Application("other-talk", ("talk.~w.example", "api.kontalk.example", "meet.~w.test"), (ELECTRON, CHROME, FIREFOX),
                7, 11_000, 30_000, 9, Kind.LOOK_ALIKE, owner="Synthetic Meetings", rule=KTALK_SEEN, known=("none",)),
    Application("other-media", ("turn-~p.~w.example",), (Client("other media", "t12d0610h1", "webrtc", alpn="webrtc"),),
                4, 700_000, 1_100_000, 30, Kind.LOOK_ALIKE, unnamed=0.3, tls13=0, port=8443),
    Application("other-messenger", ("web.~w-chat.example", "telegraph.example", "t.~w.test"),
                (Client("other messenger", "t13d301100", "openssl desktop", alpn=""), CHROME), 6, 5_000, 40_000, 14,
                Kind.LOOK_ALIKE, spread=1.2, unnamed=0.1),
    # everything else
    Application("web", ("www.~w-~w.example", "~w.~w.test", "static.~w-~w.example", "cdn.~w.example"), BROWSERS,
                38, 3_800, 60_000, 11, spread=1.4),
    Application("update", ("update.~w.example", "telemetry.~w.example"), (WINDOWS, CURL), 9, 2_600, 21_000, 3,
                tls13=0.3, rhythm=Rhythm.NIGHT, issuer="C=XX, O=Synthetic Update, CN=Synthetic Update CA",
                cert_days=365, owner="Synthetic Update"),
    Application("mail", ("imap.~w.example", "smtp.~w.example"), (MAIL, SAFARI), 5, 4_000, 34_000, 20, tls13=0.2,
                port=993, cert_days=365),
    Application("inside", ("wiki.corp", "git.corp", "printer-~p.corp"), (CHROME, FIREFOX, JAVA, CURL), 9, 3_000, 26_000,
                8, issuer="CN=Corp Issuing CA", cert_days=1_825, inside=True, tls13=0.4),
    Application("implant", ("~w~h.test", ""), (IMPLANT,), 1.5, 1_400, 900, 2, Kind.ATTACK, issuer="",
                cert_days=3_650, unnamed=0.3, tls13=0, spread=0.15, rhythm=Rhythm.MACHINES, rule=IMPLANT_CERT,
                known=("a.test", "b.test", "c.test", "d.test", "e.test", "1.test", "2.test", "3.test")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a sensor sees of one connection."""

    name: str | None
    version: str
    ja3: str
    ja3s: str
    ja4: str
    alpn: str
    resumed: bool
    subject: str | None  # None: no certificate was seen
    issuer: str | None
    not_before: int  # microseconds since 1970
    not_after: int
    sent: int  # bytes of the flow, headers apart
    received: int

    @property
    def sha1(self) -> str:
        seen = f"{self.subject}|{self.not_before}".encode()
        return hashlib.sha1(seen, usedforsecurity=False).hexdigest()


def handshake(rng: random.Random, application: Application, client: Client, server: str, at: int) -> Handshake:
    """Return one connection of a client to a server."""
    name = None if not server or rng.random() < application.unnamed else server
    modern = crc32(server.encode()) % 100 < 100 * application.tls13 and client.knows_tls13
    resumed = rng.random() < client.resumes
    hides = modern or resumed  # TLS 1.3 encrypts its certificate, a resumed session shows none
    begins = _begin_of_certificate(application, server, at)
    subject = _subject(application, server)
    size = rng.lognormvariate(0, application.spread)
    return Handshake(
        name,
        "TLS 1.3" if modern else "TLS 1.2",
        _md5(f"{client.program}|{rng.getrandbits(64) if client.shuffles else ''}|{name is None}"),
        _md5(f"{client.ciphers}|{modern}|{crc32(server.encode()) % 5}"),
        _ja4(client, resumed=resumed, named=name is not None),
        client.alpn,
        resumed and not modern,
        None if hides else subject,
        None if hides else application.issuer or subject,
        begins,
        begins + application.cert_days * _DAY,
        int(application.sent * size) + 620,
        int(application.received * size * rng.lognormvariate(0, 0.25)) + (180 if hides else 3_100),
    )


def lasting(rng: random.Random, application: Application) -> int:
    """Return how long a connection lasts, in microseconds."""
    return int(application.lasts * rng.lognormvariate(0, 0.7) * _SECOND) + 40_000


def server_of(rng: random.Random, application: Application) -> str:
    """Return a server's name: the first of those an application has are the most popular."""
    place = min(int(rng.paretovariate(1.1)) - 1, len(application.servers) - 1)
    names = random.Random(f"{application.name}|{place}|{int(rng.random() ** 2 * 12)}")  # noqa: S311 - a dozen of each
    return fill(names, application.servers[place])


def is_known(application: Application, name: str | None) -> bool:
    """Would a rule speak about a connection that asks for this name?"""
    return application.rule is not None and bool(name) and str(name).endswith(application.known)


def _begin_of_certificate(application: Application, server: str, at: int) -> int:
    """Certificates are renewed when two thirds of their days are over, each server in its own rhythm."""
    period = application.cert_days * _DAY * 2 // 3
    phase = crc32(f"{application.name}|{server}".encode()) * 997 % period
    return (at - phase) // period * period + phase


def _subject(application: Application, server: str) -> str:
    common = server or "localhost"
    return f"C=XX, O={application.owner}, CN={common}" if application.owner else f"CN={common}"


def _ja4(client: Client, *, resumed: bool, named: bool) -> str:
    head = client.head
    extensions = int(head[6:8]) + resumed - (not named)  # the ticket is one more, a missing name one less
    first = f"{head[:3]}{'d' if named else 'i'}{head[4:6]}{extensions:02d}{head[8:]}"
    return f"{first}_{_short(client.ciphers)}_{_short(f'{client.program}|{resumed}|{named}')}"


@lru_cache(maxsize=1_024)
def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@lru_cache(maxsize=1_024)
def day_of(micros: int) -> str:
    """Return a time as certificates are written in EVE: whole seconds, no zone."""
    return datetime.fromtimestamp(micros // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
