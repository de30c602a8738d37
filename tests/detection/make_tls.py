"""TLS sessions for tests: odd ones, and a small application to detect."""

from __future__ import annotations

import random
from typing import Any

from detection.sessions import COLUMN_NAMES

START = 1_780_000_000_000_000
DAY = 86_400_000_000
HOSTS = ("www.example.com", "api-3.talk.example", "192.0.2.8", "xn--e1afmkfd.test", "", None, "q" * 300, "\0\udcff")
SUBJECTS = ("CN=*.example.com", "C=XX, O=Internet Widgits Pty Ltd, CN=localhost", "", None, "CN=" + "é" * 400)
JA4 = ("t13d1516h2_8daaf6152771_02713d6af862", "t12i0300_1_2", "t", "", None, "q13d٣٣10h3_x", "____")


def make_tls_row(draw: random.Random, **changes: Any) -> dict[str, Any]:
    """One session of odd parts."""
    lasts = draw.choice((None, 0, 1_500_000, 10**12))
    values = {
        "start": START,
        "protocol": "tls",
        "dst_port": draw.choice((443, 8443, None)),
        "host": draw.choice(HOSTS),
        "tls_version": draw.choice(("TLS 1.3", "TLS 1.2", "SSL 3.0", "0x7e01", None)),
        "ja3": draw.choice(("b32309a26951912be7dba376398abc3b", "", None)),
        "ja3s": draw.choice(("eb1d94daa7e0344597e756a1fb6e7054", None)),
        "ja4": draw.choice(JA4),
        "alpn": draw.choice(("h2,http/1.1", "h3", "", None)),
        "cipher": draw.choice(("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_MD5", None)),
        "session_resumed": draw.choice((0, 1, None)),
        "cert_subject": draw.choice(SUBJECTS),
        "cert_issuer": draw.choice((*SUBJECTS, "C=US, O=Let's Encrypt, CN=R3")),
        "cert_names": draw.choice(("*.example.com,example.com", None, ",".join(["a.example"] * 90))),
        "cert_not_before": draw.choice((None, START - 40 * DAY, START + DAY)),
        "cert_not_after": draw.choice((None, START + 50 * DAY, START - DAY)),
        "flow_start": START,
        "flow_end": None if lasts is None else START + lasts,
        "bytes_to_server": draw.choice((0, 4_800, 2**40, None)),
        "bytes_to_client": draw.choice((0, 61_000, None)),
        "packets_to_server": draw.choice((0, 12, None)),
        "packets_to_client": draw.choice((0, 48, None)),
    }
    return dict.fromkeys(COLUMN_NAMES) | values | changes


def make_tls_rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [make_tls_row(draw) for _ in range(count)]
