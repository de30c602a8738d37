"""What makes sessions look alike."""

from __future__ import annotations

import socket
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detection.fingerprint import (
    agent_family,
    fingerprint,
    issuer_name,
    registered_domain,
    shape_of,
    shape_parts,
    title_of,
    uri_shape,
)
from detection.selection import CELL_CODES

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"


def make_row(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": "http",
        "host": "intranet.example.com",
        "method": "GET",
        "uri": "/cgi-bin/17?id=4",
        "user_agent": FIREFOX.format(115),
    } | changes


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.example.com", "example.com"),
        ("WWW.Example.COM.:8080", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("one.github.io", "one.github.io"),  # tenants are owners of their own
        ("two.github.io", "two.github.io"),
        ("adfs01.blacksmith.local", "blacksmith.local"),
        ("workstation6", "workstationN"),
        ("co.uk", "co.uk"),
        ("192.0.2.7", "/address"),
        ("192.0.2.7:8080", "/address"),
        ("[2001:db8::1]:8443", "/address"),
        ("2001:db8::1", "/address"),
        ("", "/none"),
        (":80", "/none"),
        (None, "/none"),
    ],
)
def test_registered_domain(host: str | None, domain: str) -> None:
    assert registered_domain(host) == domain


@pytest.mark.parametrize(
    ("uri", "shape"),
    [
        ("/", "/"),
        ("/cgi-bin/17", "/cgi-bin/N"),
        ("/v1.2/item4711", "/vN.N/itemN"),
        ("/files/5f2d6e8a9b0c1d2e", "/files/H"),
        ("/files/20260101", "/files/N"),
        ("/facade/deadbeef", "/facade/deadbeef"),
        ("/u/123e4567-e89b-12d3-a456-426614174000/x", "/u/U/x"),
        ("/MFEwTzBNMEswSTAJBgUrDgMCGgUABBTHLnmK3f9hNLO6", "/B"),
        ("/How-To-Install-Python-3-On-Ubuntu-2204", "/How-To-Install-Python-N-On-Ubuntu-N"),
        ("/%69ndex.php", "/index.php"),
        ("/search?q=hello&page=2", "/search?page=N&q=W"),
        ("/search?page=9&q=world", "/search?page=N&q=W"),
        ("/search?q=1'+OR+'1'='1", "/search?q=X '="),
        ("/search?q=%3Cscript%3E", "/search?q=X<>"),
        ("/x?a=1&a=2;a=3", "/x?a=N"),
        ("/x?token=abcDEF123456ghiJKL7890&empty=&flag", "/x?empty=&flag&token=B"),
        ("http://proxied.example.com/a/1?b=c#frag", "/a/N?b=W"),
        ("example.com:443", "example.com:N"),
        ("*", "*"),
        ("", ""),
        (None, ""),
        ("/a" * 20, "/a" * 11 + "/…"),
    ],
)
def test_uri_shape(uri: str | None, shape: str) -> None:
    assert uri_shape(uri) == shape


@given(st.text("aFz09217-_=&?/.;:#+é١", max_size=80))
def test_every_digit_folds_alike(uri: str) -> None:
    # the commonest looks of millions of sessions are found by it: models_registry.services.hunt_looks
    assert uri_shape(uri) == uri_shape(uri.translate(str.maketrans("023456789", "111111111")))


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        (FIREFOX.format(115), "Firefox"),
        ("curl/7.88.1", "curl"),
        ("Microsoft WinRM Client", "Microsoft WinRM Client"),
        ("Evil9/1.0 (x)", "EvilN"),
        ("", ""),
        (None, ""),
    ],
)
def test_agent_family(agent: str | None, family: str) -> None:
    assert agent_family(agent) == family


def test_versions_numbers_and_sub_domains_fold_into_one_shape() -> None:
    alike = make_row(host="www.example.com", uri="/cgi-bin/99?id=123", user_agent=FIREFOX.format(128))
    assert shape_of(make_row()) == shape_of(alike)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "intranet.example.org"},
        {"method": "POST"},
        {"uri": "/cgi-bin/17/x?id=4"},
        {"uri": "/cgi-bin/17?other=4"},
        {"uri": "/cgi-bin/17?id=4'--"},
        {"user_agent": "curl/7.88.1"},
        {"protocol": "tls"},
        {"ja3": "e7d705a3286e19ea42f587b344ee6865"},
        {"ja4": "t13d1516h2_8daaf6152771_b186095e22b6"},
    ],
)
def test_what_differs_in_one_part_has_another_shape(changes: dict[str, Any]) -> None:
    assert shape_of(make_row()) != shape_of(make_row(**changes))


def test_no_group_mixes_cells_or_detectors() -> None:
    shape = shape_of(make_row())
    keys = {fingerprint(detector, cell, shape) for detector in ("http-attacks", "ktalk") for cell in CELL_CODES}
    assert len(keys) == 12
    assert fingerprint("ab", "c", shape) != fingerprint("a", "bc", shape)


def test_golden_keys() -> None:
    shape = shape_of(make_row())
    assert shape == "15007b165a8aa18296fc6c9d42e526d2bb16a2b7681721798a07367f239b42db"
    assert (
        fingerprint("http-attacks", "unique", shape)
        == "4b91cb10db325b76ee5e5834f7abc61843eaef1934873a2ebf7af529d0dd96f3"
    )


def test_the_title_says_method_domain_and_path() -> None:
    assert title_of(make_row()) == "GET example.com/cgi-bin/N?id=N"
    assert title_of(make_row(host=None, uri=None, method=None)) == "HTTP no host"
    assert title_of(make_row(host="192.0.2.7", uri="/x")) == "GET address/x"


hostile = st.none() | st.text(st.characters(), max_size=300)  # NUL, controls, lone surrogates and all


@given(hostile, hostile, hostile, hostile)
@example("[", "\x00", "/\ud800?\x00=%00", "\u202egnp.exe")
@example("xn--", "GET", "/%ff%fe?" + "&" * 99, "Mozilla/5.0 (" + "a" * 200)
@example("http://[::1", "GET", "//[", "")
def test_hostile_texts_give_a_shape_and_a_printable_title(
    host: str | None, method: str | None, uri: str | None, agent: str | None
) -> None:
    row = make_row(host=host, method=method, uri=uri, user_agent=agent)
    assert len(shape_of(row)) == 64
    title = title_of(row)
    assert len(title) <= 255
    title.encode("utf-8")
    assert not any(ord(letter) < 32 for letter in title)


def test_a_91_kilobyte_target_is_no_trouble() -> None:
    row = make_row(uri="/" + "A1b" * 30_000 + "?" + "a=1&" * 20_000, host="h" * 90_000, user_agent="(" * 90_000)
    started = time.thread_time()
    assert len(title_of(row)) <= 255
    assert time.thread_time() - started < 1.0


def test_nothing_is_fetched_and_nothing_needs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a fingerprint went to the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    registered_domain.cache_clear()
    assert registered_domain("www.never-seen-before.example.ac.jp") == "example.ac.jp"


def test_the_parts_have_always_the_same_keys() -> None:
    assert (
        list(shape_parts({}))
        == list(shape_parts(make_row()))
        == [
            "protocol",
            "domain",
            "method",
            "uri",
            "agent",
            "ja3",
            "ja4",
        ]
    )


# --- TLS


def make_tls(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": "tls",
        "host": "api-3.talk.example.com",
        "ja3": "b32309a26951912be7dba376398abc3b",
        "ja4": "t13d1516h2_8daaf6152771_02713d6af862",
        "cert_issuer": "C=XX, O=Synthetic Trust, CN=Synthetic CA 1",
    } | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "web.example.com"},  # another host of the same domain
        {"ja4": "t13d1517h2_8daaf6152771_b1ff8ab2d16f"},  # resumed: one extension more
        {"ja3": "e4d448cdfe06dc1243c1eb026c74ac9a"},  # a browser that shuffles its extensions
        {"cert_issuer": None},  # hidden by TLS 1.3
        {"uri": "/", "user_agent": "x"},
    ],
)
def test_connections_of_one_program_to_one_domain_look_alike(changes: dict[str, Any]) -> None:
    assert shape_of(make_tls(**changes)) == shape_of(make_tls())


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "example.org"},
        {"ja4": "t13d1516h2_9e2fdc1bd6a8_02713d6af862"},  # other ciphers
        {"ja4": "t12d1516h2_8daaf6152771_02713d6af862"},  # another version
        {"host": None},
        {"protocol": "http"},
    ],
)
def test_another_domain_or_program_looks_different(changes: dict[str, Any]) -> None:
    assert shape_of(make_tls(**changes)) != shape_of(make_tls())


def test_without_a_name_the_issuer_and_the_client_tell_servers_apart() -> None:
    unnamed = make_tls(host="192.0.2.8", ja4=None)
    assert shape_of(unnamed) == shape_of(make_tls(host="198.51.100.7", ja4=None))
    assert shape_of(unnamed) != shape_of(unnamed | {"cert_issuer": "CN=localhost"})
    assert shape_of(unnamed) != shape_of(unnamed | {"ja3": "e4d448cdfe06dc1243c1eb026c74ac9a"})


@pytest.mark.parametrize(
    ("issuer", "name"),
    [
        ("C=US, O=Let's Encrypt, CN=R3", "Let's Encrypt"),
        ("CN=R3,O=Let's Encrypt,C=US", "Let's Encrypt"),  # as Zeek writes it
        ('C=US, O="GoDaddy.com, Inc.", CN=x', "GoDaddy.com, Inc."),
        ("CN=DcRat Server, OU=qwq, O=DcRat By qwq", "DcRat By qwq"),
        ("CN=host-4711", "host-N"),
        ("whatever", "whatever"),
        ("", ""),
        (None, ""),
    ],
)
def test_issuer_name(issuer: str | None, name: str) -> None:
    assert issuer_name(issuer) == name


def test_titles_of_connections() -> None:
    assert title_of(make_tls()) == "TLS example.com t13dh2_8daaf6152771"
    assert title_of(make_tls(host=None)) == "TLS no host by Synthetic Trust t13dh2_8daaf6152771"
    assert title_of({"protocol": "tls"}) == "TLS no host"


@given(st.fixed_dictionaries(dict.fromkeys(("host", "ja3", "ja4", "cert_issuer"), st.none() | st.text(max_size=80))))
def test_any_connection_has_a_shape_and_a_printable_title(fields: dict[str, Any]) -> None:
    row = make_tls(**fields)
    assert len(shape_of(row)) == 64
    assert not any(unicodedata.category(letter).startswith("C") for letter in title_of(row))
