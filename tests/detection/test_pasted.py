"""A pasted record or request becomes the EVE record that the customer's sensor would have written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.sources.pasted import LONGEST, record_of
from detection.sources.suricata import session_row
from detection.sources.values import BadRecordError
from tests.detection import eve
from tests.detection.eve import record

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REQUEST = """POST /cgi-bin/x.sh?id=1%27 HTTP/1.1
Host: shop.example.com:8080
User-Agent: curl/8.4.0
referer: http://shop.example.com/

body: that is no header

HTTP/1.1 404 Not Found
Content-Type: text/html; charset=utf-8
Content-Length: 1532

<html>"""


def row(text):
    return session_row(record_of(text, NOW))


def test_an_eve_record_is_taken_as_it_is():
    eve = record("http", http={"url": "/", "hostname": "www.example.com"})
    for text in (json.dumps(eve), json.dumps(eve, indent=2), f"\ufeff {json.dumps(eve)}\n"):
        assert record_of(text, NOW) == eve | {"tx_id": eve.get("tx_id", 0)}


def test_a_record_without_time_and_flow_gets_them_from_receipt_and_text():
    text = '{"http": {"url": "/"}}'
    found = record_of(text, NOW)
    assert found["timestamp"] == "2026-03-01T12:00:00+00:00"
    assert found == record_of(text, NOW)
    assert found["flow_id"] != record_of(text.replace("/", "/x"), NOW)["flow_id"]
    assert session_row(found)["start"] == 1_772_366_400_000_000


def test_a_request_with_its_answer():
    found = row(REQUEST)
    expected = {
        "method": "POST",
        "uri": "/cgi-bin/x.sh?id=1%27",
        "host": "shop.example.com",
        "dst_port": 8080,
        "user_agent": "curl/8.4.0",
        "referer": "http://shop.example.com/",
        "http_version": "HTTP/1.1",
        "status": 404,
        "content_type": "text/html",
        "response_bytes": 1532,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "host", "uri", "port"),
    [
        ("http://a.example/x?y=1#z", "a.example", "/x?y=1", 80),
        ("https://a.example", "a.example", "/", 443),
        ("a.example/x", "a.example", "/x", 80),
        ("a.example/go?to=http://b.example/", "a.example", "/go?to=http://b.example/", 80),
        ("GET https://a.example:8443/x", "a.example", "/x", 8443),
        ("http://[2001:db8::1]/x", "2001:db8::1", "/x", 80),
        ("/x\r\nHost: a.example\r\n", "a.example", "/x", 80),
    ],
)
def test_an_address_alone(text, host, uri, port):
    found = row(text)
    assert (found["host"], found["uri"], found["dst_port"], found["method"]) == (host, uri, port, "GET")
    assert found["status"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing was pasted"),
        (" \n", "nothing was pasted"),
        ("x" * (LONGEST + 1), "paste one record"),
        ("{", "one whole EVE record"),
        ('{"http": {}}\n{"http": {}}', "more than one record"),
        ('{"event_type": "alert"}', "no http object"),
        ("please help us", "line 1: expected a URL"),
        ("http://a.example/\nHost a.example", "line 2: expected “Name: value”"),
        ("/x", "no host"),
        ("http://a.example:99999/", "no host"),
        ("http://[/", "no host"),
    ],
)
def test_what_was_expected_is_said(text, message):
    with pytest.raises(BadRecordError, match=message):
        record_of(text, NOW)


@given(st.text(max_size=300))
def test_whatever_is_pasted_is_a_row_or_a_clear_refusal(text):
    try:
        session_row(record_of(text, NOW))
    except BadRecordError as error:
        assert str(error)


def test_a_tls_record_is_taken_as_it_is():
    pasted = json.dumps(eve.tls())
    row = session_row(record_of(pasted, NOW))
    assert (row["protocol"], row["ja4"]) == ("tls", "t13d1516h2_8daaf6152771_e5627efa2ab1")
    with pytest.raises(BadRecordError, match="paste the http or tls record"):
        record_of(json.dumps(eve.flow()), NOW)
