"""Two sensors, one way to say it."""

from __future__ import annotations

import pytest

from detection.sources import certificates

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("TLSv12", "TLS 1.2"), ("TLSv1", "TLS 1.0"), ("TLSv10", "TLS 1.0"), ("TLS 1.3", "TLS 1.3"),
        ("TLS 1.3 draft-26-fb", "TLS 1.3"), ("TLSv13-draft23", "TLS 1.3"), ("SSLv3", "SSL 3.0"), ("SSLv2", "SSL 2.0"),
        ("DTLSv12", "DTLS 1.2"), ("UNDETERMINED", None), ("unknown-64282", "unknown-64282"), ("", None), (None, None),
    ],
)  # fmt: skip
def test_versions(told: str | None, expected: str | None) -> None:
    assert certificates.version(told) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("00:96:DF", "96DF"),
        ("96df", "96DF"),
        ("0861C0", "0861C0"),
        ("8:6", "86"),
        ("00", "00"),
        ("-5", "-5"),
        (None, None),
    ],
)
def test_serial_numbers(told: str | None, expected: str | None) -> None:
    assert certificates.serial(told) == expected


def test_names_of_both_sensors_agree() -> None:
    assert certificates.name("CN=*.adnxs.com,O=AppNexus\\, Inc.,L=New York,C=US") == (
        "C=US, L=New York, O=AppNexus, Inc., CN=*.adnxs.com"
    )
    assert certificates.name("CN=\\C3\\A9t\\C3\\A9\\\\,O=a") == "O=a, CN=\u00e9t\u00e9\\"
    assert certificates.name("") is None


def test_times_of_validity() -> None:
    assert certificates.time("1970-01-01T00:00:02") == 2 * SECOND
    assert certificates.time("1969-12-31T23:59:59") == -SECOND
    assert certificates.time("1900-01-01T00:00:00") is None
    assert certificates.seconds(2.5) == 2_500_000
    assert certificates.seconds(1e20) is None
    assert certificates.seconds(253402300799.0) == certificates.time("9998-12-31T23:59:59")
