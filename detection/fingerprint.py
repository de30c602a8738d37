"""What makes sessions look alike. Items fold by the fingerprint: a hash of detector, board cell and shape.

The cell is part of the fingerprint, so no group mixes cells; the shape alone is the look-alike key of reference rows.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

import tldextract
import ua_parser

from detection.sessions import Row

SHAPE_VERSION = 1  # part of every shape: a changed recipe never meets an old fingerprint
TITLE_LENGTH = 255

# classes that stand for many literals; the slash keeps them apart from real names
ADDRESS = "/address"
NO_HOST = "/none"

# bounds of what is looked at: texts come from attackers
_LONGEST_TEXT = 2_048
_LONGEST_PART = 48
_MOST_PARTS = 12
_MOST_PARAMETERS = 24

# Bundled snapshot of the public suffix list: nothing is fetched, nothing is cached on disk. Private suffixes count:
# two tenants of one hosting or dynamic DNS service are two owners, and one answer must not settle both.
_SUFFIXES = tldextract.TLDExtract(
    cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True, include_psl_private_domains=True
)
_REGISTRIES = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_LONG_RUN = re.compile(r"[A-Za-z0-9+_=-]{20,}")
_RANDOM = re.compile(r"(?=[A-Za-z0-9]*[A-Z])(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{16,}")
_HEX_OR_NUMBER = re.compile(r"[0-9a-fA-F]{8,}|[0-9]+")
_WORD = re.compile(r"[\w.~-]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def shape_of(row: Row) -> str:
    """Return the look-alike key of a session, as hex: the digest of its `shape_parts`."""
    parts = json.dumps([SHAPE_VERSION, *shape_parts(row).values()], separators=(",", ":"))
    return hashlib.sha256(parts.encode("ascii")).hexdigest()


def shape_parts(row: Row) -> dict[str, str]:
    """Return what the shape is made of, readable, for each protocol the same keys in the same order."""
    if row.get("protocol") == "tls":
        return _tls_parts(row)
    return {
        "protocol": row.get("protocol") or "",
        "domain": registered_domain(row.get("host")),
        "method": (row.get("method") or "")[:16],
        "uri": uri_shape(row.get("uri")),
        "agent": agent_family(row.get("user_agent")),
        "ja3": row.get("ja3") or "",
        "ja4": row.get("ja4") or "",
    }


def _tls_parts(row: Row) -> dict[str, str]:
    """Who asks for whom. Where no name is asked for, the issuer of the certificate stands for the server."""
    domain = registered_domain(row.get("host"))
    named = domain not in (ADDRESS, NO_HOST)
    return {
        "protocol": "tls",
        "domain": domain,
        "client": tls_client(row.get("ja4"), None if named else row.get("ja3")),
        "issuer": "" if named else issuer_name(row.get("cert_issuer")),
    }


def tls_client(ja4: str | None, ja3: str | None) -> str:
    """Return the kind of a TLS client: JA4 without what changes from one connection to the next of one program.

    Counts and the hash of extensions change when a session is resumed; protocol, version, ALPN and ciphers stay. JA3
    changes with each connection of browsers that shuffle extensions: only where nothing better is known."""
    parts = (ja4 or "").split("_")
    if len(parts) == 3 and len(parts[0]) == 10:
        return f"{parts[0][:4]}{parts[0][8:]}_{parts[1][:12]}"
    return (ja3 or "")[:32]


@lru_cache(maxsize=1 << 14)
def issuer_name(issuer: str | None) -> str:
    """Return the organisation that issued a certificate, else its common name, else its whole name; numbers folded."""
    text = (issuer or "")[:_LONGEST_TEXT]
    for attribute in ("O", "CN"):
        if found := re.search(rf"(?:^|[,/])\s*{attribute}\s*=\s*(\"[^\"]*\"|(?:\\.|[^,/\\])+)", text, re.IGNORECASE):
            return _fold(found[1].strip(' "'))
    return _fold(text)


def fingerprint(detector: str, cell: str, shape: str) -> str:
    """Return the key by which items fold, as hex."""
    return hashlib.sha256(json.dumps([detector, str(cell), shape]).encode("ascii")).hexdigest()


def title_of(row: Row) -> str:
    """Return one line for lists: "GET example.com/cgi-bin/N", "TLS example.com". Printable, at most 255 characters."""
    parts = shape_parts(row)
    domain = {ADDRESS: "address", NO_HOST: "no host"}.get(parts["domain"], parts["domain"])
    if parts["protocol"] == "tls":
        words = ["TLS", domain, parts["issuer"] and f"by {parts['issuer']}", parts["client"]]
    else:
        words = [parts["method"] or parts["protocol"].upper(), f"{domain}{parts['uri']}"]
    text = " ".join(word for word in words if word)
    text = "".join(letter if _is_printable(letter) else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return text if len(text) <= TITLE_LENGTH else f"{text[: TITLE_LENGTH - 1]}…"


@lru_cache(maxsize=1 << 16)
def registered_domain(host: str | None) -> str:
    """Return the registered domain, "/address" for any IP address, "/none" without a host.

    A suffix that is not in the list counts as one label ("corp.local", as the list's own default rule says), a single
    label keeps its letters and folds its numbers ("workstation6")."""
    name = host_name(host or "")
    if not name:
        return NO_HOST
    if _is_address(name):
        return ADDRESS
    found = _SUFFIXES.extract_str(name)
    return found.top_domain_under_public_suffix or found.suffix or _fold(".".join(name.split(".")[-2:]))


def public_suffix(name: str) -> str:
    """Return the part of a host name under which anybody may register ("co.uk"); empty when the list does not know it.

    Private suffixes do not count here: their owners stand behind all of them."""
    return str(_REGISTRIES.extract_str(name).suffix)


@lru_cache(maxsize=1 << 16)
def agent_family(user_agent: str | None) -> str:
    """Return the user agent's family ("Firefox"), or its own first product name with numbers folded."""
    text = (user_agent or "").strip()[:512]
    if not text:
        return ""
    found = ua_parser.parse_user_agent(text)
    return found.family if found else _fold(re.split(r"[/(;]", text, maxsplit=1)[0].strip())[:_LONGEST_PART]


@lru_cache(maxsize=1 << 12)  # small: a key may be 64 kB of somebody's URI
def uri_shape(uri: str | None) -> str:
    """Return a request target with its changing parts replaced.

    In the path numbers become N, hex runs H, UUIDs U and long random runs B; parameter names stay (sorted, once each)
    and values become such letters too, W for plain words, and X with their punctuation for the rest."""
    text = (uri or "")[:_LONGEST_TEXT]
    if not text or text == "/":
        return text
    text = _SCHEME.sub("", text, count=1).split("#", 1)[0]
    path, question, query = text.partition("?")
    parts = path.split("/")
    shaped = "/".join(_fold(unquote(part)) for part in parts[:_MOST_PARTS]) + ("/…" if len(parts) > _MOST_PARTS else "")
    return f"{shaped}{question}{_query_shape(query)}"


def _query_shape(query: str) -> str:
    parameters = set()
    for parameter in re.split("[&;]", query)[:_MOST_PARAMETERS]:
        name, equals, value = parameter.partition("=")
        parameters.add(_fold(unquote(name)) + equals + _value_shape(unquote(value.replace("+", " "))))
    return "&".join(sorted(parameters))


def _value_shape(value: str) -> str:
    if not value or value.isalpha():
        return value and "W"
    folded = _fold(value)
    if folded in {"N", "H", "U", "B"}:
        return folded
    return "W" if _WORD.fullmatch(value) else "X" + "".join(sorted({c for c in value if not c.isalnum()}))[:16]


def _fold(text: str) -> str:
    """Replace the parts that differ between look-alikes: UUIDs, long random runs, hex runs, numbers."""
    if text.isdecimal():
        return "N"
    if not text.isalpha():
        if len(text) >= 36:
            text = _UUID.sub("U", text)
        if len(text) >= 20:
            text = _LONG_RUN.sub(lambda run: "B" if _RANDOM.search(run[0]) else run[0], text)
        text = _HEX_OR_NUMBER.sub(_hex_or_number, text)
    return text if len(text) <= _LONGEST_PART else f"{text[:_LONGEST_PART]}…"


def _hex_or_number(found: re.Match[str]) -> str:
    if found[0].isdigit():
        return "N"
    # eight letters from a to f are a word, not a number
    return found[0] if found[0].isalpha() else "H"


def host_name(host: str) -> str:
    """Lower case, without port, brackets and trailing dot."""
    name = host.strip()[:512].lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    if name.count(":") == 1:  # more of them are an IPv6 address without brackets
        name = name.partition(":")[0]
    return name.rstrip(".")


def _is_address(name: str) -> bool:
    if ":" not in name and not name[-1].isdigit():
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_printable(letter: str) -> bool:
    # control, format (bidirectional overrides), surrogate and private characters do not belong in a list
    return not unicodedata.category(letter).startswith("C")
