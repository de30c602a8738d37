"""The words in which the catalogue of activities is written: pages, activities, rules, and templates of texts.

A template is a text in which `~` and a letter stand for something drawn: ~n a number, ~p a small number, ~h eight and
~H 32 hexadecimal digits, ~w a word, ~s a few words with dashes, ~q a few words with plus signs, ~b base64, ~u a UUID,
~d a day, ~v a version, ~I 32 hexadecimal digits that their owner keeps, ~P one of the page's payloads, encoded as
clients do.
"""

from __future__ import annotations

import random
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from urllib.parse import quote, quote_plus

WORDS = tuple(
    """
    account alpine amber annual archive autumn balance basket blue board bridge budget calendar camera canvas carbon
    castle catalogue city cloud coffee copper corner course cycle data delivery design desk digital door early
    energy engine event family field finance flower forest garden general glass global golden green guide harbour
    health history holiday house index island journal kitchen laptop leather letter library light local market
    meeting member metal mobile modern monthly morning mountain museum music network north notice office orange
    order outdoor paper partner phone picture planning plastic policy portal price project quality quarter radio
    region report review river room sales school season select service silver simple sports spring square station
    stone store street student studio summer supply support system table team theatre ticket travel union update
    urban valley vendor video village water weather weekly white window winter winner wood world yellow
    """.split()  # noqa: SIM905 - a hundred words read better than a hundred quotes
)


class Kind(StrEnum):
    """What a session really is."""

    BENIGN = "benign"
    ATTACK = "attack"
    LOOK_ALIKE = "look-alike"


class Way(Enum):
    """Who talks to whom."""

    OUT = "a host inside asks a server outside"
    INTERNAL = "a host inside asks a server inside"
    IN = "somebody outside asks a published server"


class Rhythm(Enum):
    OFFICE = "people at work"
    PUBLIC = "people at home, with an evening"
    MACHINES = "all day alike"
    NIGHT = "updates and backups"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that the sensors run. Numbers from 1,000,000 on are those that Suricata reserves for local rules."""

    sid: int
    msg: str
    classtype: str
    about_response: bool = False  # its hit comes after the http record


# (status, weight)
Statuses = tuple[tuple[int, float], ...]
OK: Statuses = ((200, 93), (304, 4), (302, 2), (404, 1))
ALWAYS: Statuses = ((200, 1),)
STATIC: Statuses = ((200, 62), (304, 37), (404, 1))
REFUSED: Statuses = ((404, 45), (403, 30), (200, 20), (500, 5))
ANSWERED: Statuses = ((200, 55), (500, 20), (403, 15), (404, 10))

HTML = "text/html"
JSON = "application/json"
TEXT = "text/plain"
BINARY = "application/octet-stream"
SCRIPT = "application/javascript"
STYLE = "text/css"
JPEG = "image/jpeg"
PNG = "image/png"
XML = "text/xml"


@dataclass(frozen=True, slots=True)
class Page:
    """A kind of request and its answer."""

    method: str
    target: str  # a template
    content_type: str | None = HTML
    size: int = 9_000  # median of the answer's bytes
    statuses: Statuses = OK
    weight: float = 1.0
    payloads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Activity:
    """Something hosts do again and again: one flow of `size` requests on average."""

    name: str
    pages: tuple[Page, ...]
    servers: tuple[str, ...] = ()  # host names, templates: the first most popular; none: what the way offers
    agents: tuple[str, ...] = ()  # user agents, templates; none: the client's own browser
    roles: tuple[str, ...] = ("office", "developer", "admin")
    way: Way = Way.OUT
    rhythm: Rhythm = Rhythm.OFFICE
    share: float = 1.0  # weight among those of its kind (of its family, for attacks)
    size: float = 1.0  # sessions per flow, mean
    port: int = 80
    burst: int = 0  # comes in runs of about so many sessions by one client
    period: float = 0.0  # comes every so many seconds from the same host,
    jitter: float = 0.0  # later by up to this share of it
    tls: float = 0.0  # TLS connections beside each HTTP flow
    rule: Rule | None = None  # that would hit it
    noise: tuple[Rule, ...] = ()  # rules of no attack that may hit it


_TOKEN = re.compile("~([npPhHwsqbudvI])")


@lru_cache(maxsize=8_192)
def _parts(template: str) -> tuple[str, ...]:
    return tuple(_TOKEN.split(template))


def fill(rng: random.Random, template: str, payloads: Sequence[str] = (), owner: int = 0) -> str:
    """Return a template with its tokens drawn; what an owner keeps is drawn by its number."""
    if "~" not in template:
        return template
    parts = list(_parts(template))
    for at in range(1, len(parts), 2):
        token = parts[at]
        if token == "P":  # noqa: S105 - no secret
            parts[at] = _payload(rng, payloads)
        else:
            parts[at] = _kept(owner) if token == "I" else _DRAWN[token](rng)  # noqa: S105
    return "".join(parts)


def _payload(rng: random.Random, payloads: Sequence[str]) -> str:
    """Encode as a tool, as a form, fully, twice, or hardly at all."""
    text, style = fill(rng, rng.choice(payloads)), rng.random()
    if style < 0.45:
        return quote(text, safe="/:'()*,;!")
    if style < 0.70:
        return quote_plus(text)
    if style < 0.82:
        return "".join(f"%{byte:02x}" if rng.random() < 0.6 else quote(chr(byte)) for byte in text.encode())
    if style < 0.90:
        return quote(quote(text, safe=""), safe="")
    return text.replace(" ", "+").replace("#", "%23").replace("\r", "%0d").replace("\n", "%0a")


def word(rng: random.Random) -> str:
    return WORDS[int(rng.random() * len(WORDS))]


def _words(rng: random.Random, between: str) -> str:
    return between.join(word(rng) for _ in range(2 + int(rng.random() * 4)))


def _kept(owner: int) -> str:
    return f"{(owner + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 & ((1 << 128) - 1):032x}"


def _base64(rng: random.Random) -> str:
    return b64encode(rng.randbytes(18 + int(rng.random() * 60))).decode().replace("+", "%2B").replace("=", "%3D")


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


_DRAWN: dict[str, Callable[[random.Random], str]] = {
    "n": lambda rng: str(int(10 ** (2 + 5 * rng.random()))),
    "p": lambda rng: str(1 + int(rng.random() * 40)),
    "h": lambda rng: f"{rng.getrandbits(32):08x}",
    "H": lambda rng: f"{rng.getrandbits(128):032x}",
    "w": word,
    "s": lambda rng: _words(rng, "-"),
    "q": lambda rng: _words(rng, "+"),
    "b": _base64,
    "u": _uuid,
    "d": lambda rng: f"2026-{1 + int(rng.random() * 12):02d}-{1 + int(rng.random() * 28):02d}",
    "v": lambda rng: f"{1 + int(rng.random() * 12)}.{int(rng.random() * 20)}.{int(rng.random() * 9_000)}",
}
