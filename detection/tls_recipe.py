"""What is counted in TLS sessions."""

from __future__ import annotations

import string
import zlib
from collections.abc import Iterator
from itertools import product

from detection.recipes import CONTROL, ByteClass, NeedleGroup, Ratio, Recipe, byte_class, group

CLASSES = (
    byte_class("digits", "digits", string.digits),
    byte_class("vowels", "vowels", "aeiou"),
    byte_class("hex", "hexadecimal digits", string.hexdigits),
    byte_class("dots", "dots", "."),
    byte_class("dashes", "dashes and underscores", "-_"),
    byte_class("punctuation", "punctuation", string.punctuation),
    byte_class("spaces", "spaces", " "),
    ByteClass("non_printable", "non-printable bytes", frozenset((*CONTROL, *range(0x80, 0xFF)))),
)

# A name of an application comes in many hosts ("web.", "api-3.", another country's suffix) that share letters, not
# whole words. So pairs of letters are counted, all 1,443 of them, dealt to a few columns by their CRC-32.
PAIR_COLUMNS = 96
_LETTERS = string.ascii_lowercase + string.digits + "-."


def _pairs() -> Iterator[NeedleGroup]:
    dealt: list[list[str]] = [[] for _ in range(PAIR_COLUMNS)]
    for first, second in product(_LETTERS, repeat=2):
        if first + second != "..":
            dealt[zlib.crc32((first + second).encode()) % PAIR_COLUMNS].append(first + second)
    for number, pairs in enumerate(dealt):
        yield group(f"pairs_{number}", f"letter pairs {' '.join(pairs[:3])} …", *pairs)


HOSTS = (
    group("web", "web", "www."),
    group("api", "programming interfaces", "api.", "api-", "gateway"),
    group("content", "content delivery", "cdn", "static", "assets", "edge", "akamai", "fastly", "cloudfront"),
    group("cloud", "rented servers", "amazonaws", "azure", "googleapis", "appspot", "herokuapp", "workers.dev"),
    group("dynamic", "dynamic names", "duckdns", "no-ip", "ddns", "dyndns", "hopto", "ngrok", "trycloudflare"),
    group("mail", "mail", "mail", "smtp", "imap"),
    group("update", "updates and telemetry", "update", "telemetry", "metrics", "analytics", "tracking"),
    group("chat", "talk and video", "chat", "talk", "meet", "call", "turn.", "voice", "media"),
    group("foreign", "names beyond ASCII", "xn--"),
    group("common", "old suffixes", ".com", ".net", ".org"),
    group("cheap", "cheap suffixes", ".xyz", ".top", ".info", ".online", ".site", ".club", ".icu", ".pw"),
    group("inside", "names of no public zone", ".local", ".lan", ".internal", ".corp", "localhost"),
)
# what those leave who never filled in the form
_DEFAULTS = group(
    "defaults",
    "unfilled forms",
    "internet widgits",
    "some-state",
    "default",
    "snakeoil",
    "example",
    "o=xx",
    "my company",
)
SUBJECTS = (
    group("wildcard", "wildcards", "cn=*"),
    group("name", "common names", "cn="),
    group("owner", "organisations", "o=", ", o =", "/o="),
    group("place", "places", "c=", "st=", "l="),
    group("mail", "mail addresses", "emailaddress", "email="),
    group("inside", "names of no public zone", "localhost", ".local", ".lan", "server ca", "desktop-", "win-"),
    _DEFAULTS,
)
ISSUERS = (
    group("free", "free authorities", "let's encrypt", "zerossl", "buypass", "cacert"),
    group("sold", "sold certificates", "digicert", "globalsign", "sectigo", "comodo", "godaddy", "entrust", "gogetssl"),
    group("old", "authorities that are gone", "symantec", "verisign", "geotrust", "thawte", "startcom", "rapidssl"),
    group("google", "Google", "google"),
    group("microsoft", "Microsoft", "microsoft"),
    group("amazon", "Amazon or Apple", "amazon", "apple"),
    group("content", "content delivery", "cloudflare", "akamai", "fastly"),
    group("owner", "organisations", "o=", ", o =", "/o="),
    group("place", "places", "c=", "st=", "l="),
    group("validated", "kinds of validation", "domain valid", " dv ", " ev ", "extended valid", "organization valid"),
    group("inside", "names of no public zone", "localhost", ".local", ".lan", "server ca", "desktop-", "win-"),
    _DEFAULTS,
)
CERT_NAMES = (
    group("wildcard", "wildcards", "*."),
    group("cheap", "cheap suffixes", ".xyz", ".top", ".info", ".online", ".site", ".club", ".icu", ".pw"),
    group("inside", "names of no public zone", ".local", ".lan", "localhost"),
)
ALPN = (
    group("http2", "HTTP/2", "h2"),
    group("http1", "HTTP/1", "http/1"),
    group("http3", "HTTP/3", "h3"),
    group("old", "SPDY", "spdy"),
    group("other", "other protocols", "dot", "xmpp", "imap", "smtp", "pop3", "ftp", "webrtc", "grpc", "acme", "mqtt"),
)
# JA4 of a client: "t13d1516h2_..." = protocol, version, d for a name or i for none, counts, ALPN, and two hashes
JA4 = (
    group("tls13", "TLS 1.3 over TCP", "t13"),
    group("tls12", "TLS 1.2 over TCP", "t12"),
    group("older", "older versions over TCP", "t11", "t10", "ts3", "ts2"),
    group("quic", "QUIC", "q13", "q12"),
    group("named", "a name was asked for", "13d", "12d", "11d", "10d"),
    group("unnamed", "no name was asked for", "13i", "12i", "11i", "10i"),
    group("http2", "HTTP/2 offered", "h2_"),
    group("http1", "HTTP/1 offered", "h1_"),
    group("nothing", "no protocol offered", "00_"),
)
VERSIONS = (
    group("tls13", "TLS 1.3", "tls 1.3"),
    group("tls12", "TLS 1.2", "tls 1.2"),
    group("older", "TLS 1.0 and 1.1", "tls 1.0", "tls 1.1"),
    group("ssl", "SSL", "ssl"),
    group("datagrams", "DTLS", "dtls"),
)
CIPHERS = (
    group("aes128", "AES with 128 bits", "aes_128"),
    group("aes256", "AES with 256 bits", "aes_256"),
    group("chacha", "ChaCha20", "chacha20"),
    group("weak", "weak ciphers", "rc4", "des_", "null", "export", "_anon_"),
    group("chained", "chained blocks", "cbc"),
    group("fresh", "fresh keys", "ecdhe", "_dhe_"),
    group("ecdsa", "ECDSA", "ecdsa"),
)

TLS = Recipe(
    titles={
        "host": "server name",
        "cert_subject": "certificate's subject",
        "cert_issuer": "certificate's issuer",
        "cert_names": "certificate's names",
        "alpn": "protocols offered",
        "ja4": "client fingerprint JA4",
        "tls_version": "TLS version",
        "cipher": "cipher suite",
        "dst_port": "server port",
        "session_resumed": "session resumed",
        "bytes_to_server": "bytes to the server",
        "bytes_to_client": "bytes to the client",
        "packets_to_server": "packets to the server",
        "packets_to_client": "packets to the client",
        "duration": "duration, seconds",
        "cert_days": "certificate valid for, days",
        "cert_age": "age of the certificate, days",
        "cert_left": "certificate still valid for, days",
        "cert_self_issued": "certificate issued by its own subject",
        "ja3_code": "client fingerprint JA3, coded",
        "ja3s_code": "server fingerprint JA3S, coded",
        "ja4_ciphers_code": "client's ciphers (JA4), coded",
        "ja4_extensions_code": "client's extensions (JA4), coded",
        "ja4_ciphers": "number of ciphers offered",
        "ja4_extensions": "number of extensions offered",
        "labels": "labels of the server name",
        "cert_owners": "number of names in the certificate",
    },
    histograms=("host", "cert_subject", "cert_issuer"),
    classes=CLASSES,
    needles={
        "host": (*HOSTS, *_pairs()),
        "cert_subject": SUBJECTS,
        "cert_issuer": ISSUERS,
        "cert_names": CERT_NAMES,
        "alpn": ALPN,
        "ja4": JA4,
        "tls_version": VERSIONS,
        "cipher": CIPHERS,
    },
    single_bytes={},
    ratios=(
        Ratio("packet_to_server", "bytes of a packet to the server", "bytes_to_server", "packets_to_server"),
        Ratio("packet_to_client", "bytes of a packet to the client", "bytes_to_client", "packets_to_client"),
        Ratio("received_per_sent", "bytes received for a byte sent", "bytes_to_client", "bytes_to_server"),
    ),
)
