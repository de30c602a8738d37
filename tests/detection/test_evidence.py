"""Evidence of every kind, and broken and hostile evidence: what each gets, as docs/formats/evidence.md says."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection import evidence, kits
from detection.contract import TLS_1
from detection.evidence import LARGEST, Kind, Refused, is_mail, read, read_mail
from detection.sources.flow_ends import joined_row
from tests.detection import eve

RECEIVED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FORMATS = Path(__file__).resolve().parent.parent.parent / "docs" / "formats"
EVE = {
    "timestamp": "2026-03-01T12:00:00.000000+0000",
    "event_type": "http",
    "flow_id": 7,
    "http": {"hostname": "intranet.example", "url": "/?id=1", "http_method": "GET"},
}
ZEEK = {
    "ts": 1772366400.0,
    "uid": "C1",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": 4000,
    "id.resp_h": "10.0.0.2",
    "id.resp_p": 80,
    "trans_depth": 1,
    "method": "GET",
    "host": "intranet.example",
    "uri": "/?id=1",
    "status_code": 200,
    "response_body_len": 12,
}
SSL = {
    "_path": "ssl",
    "ts": 1772366400.0,
    "uid": "C2",
    "version": "TLSv12",
    "server_name": "a.example",
    "established": True,
}
HEADER = b"#separator \\x09\n#path\thttp\n#fields\tts\tuid\ttrans_depth\tmethod\thost\turi\tresponse_body_len\n"
HAR = {
    "log": {
        "entries": [
            {
                "startedDateTime": "2026-03-01T12:00:00Z",
                "request": {
                    "method": "GET",
                    "url": "http://a.example/x",
                    "headers": [{"name": "A", "value": "b\r\nc"}],
                },
                "response": {"status": 200, "headers": []},
            }
        ]
    }
}
KIT = {"etalon_kit": 1, "bundle": "0" * 64, "consent": "record", "record": EVE, "features": [1.0, None]}


def line(told) -> bytes:
    return json.dumps(told).encode()


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("data", "kind", "sessions"),
    [
        (line(EVE), Kind.EVE, 1),
        (line(EVE) + b"\n" + line({"event_type": "flow"}) + b"\r\n" + line(EVE), Kind.EVE, 2),
        (line([EVE, EVE]), Kind.EVE, 2),
        (b"\xef\xbb\xbf" + line(EVE), Kind.EVE, 1),
        (json.dumps(EVE).encode("utf-16"), Kind.EVE, 1),
        (pack(line(EVE)), Kind.EVE, 1),
        ((line(EVE) + b"\n") * 300, Kind.EVE, 200),
        (line(ZEEK), Kind.ZEEK, 1),
        (line(SSL), Kind.ZEEK, 1),
        (HEADER + b"1772366400.0\tC1\t1\tGET\ta.example\t/x\t12\n", Kind.ZEEK, 1),
        (line(HAR), Kind.HAR, 1),
        (b"http://a.example/x", Kind.REQUEST, 1),
        (b"GET /x HTTP/1.1\nHost: a.example", Kind.REQUEST, 1),
        (line(KIT), Kind.KIT, 1),
        (line(KIT | {"consent": "vector", "record": None}), Kind.KIT, 0),
        (b"[1, 2.5, -3e8]", Kind.VECTOR, 0),
        (b"\xd4\xc3\xb2\xa1" + bytes(20), Kind.CAPTURE, 0),
        (b"\n\r\r\n" + bytes(20), Kind.CAPTURE, 0),
    ],
)
def test_evidence_of_every_kind_is_known_by_its_content(data, kind, sessions):
    found = read(data, RECEIVED)
    assert (found.kind, len(found.records)) == (kind, sessions)
    if kind in (Kind.KIT, Kind.VECTOR):
        assert found.kit is not None


BOMB = pack(bytes(5_000_000))
HOSTILE = [
    ("empty", b""),
    ("empty", b" \n\0\0\t"),
    ("empty", b"\xff\xfe"),
    ("too-large", bytes(LARGEST + 1)),
    ("torn", line(EVE)[:-3]),
    ("torn", b'[{"http": '),
    ("torn", pack(line(EVE) * 50)[:-20]),
    ("torn", b"\x1f\x8b\x08\0" + b"\xff" * 40),
    ("torn", b"[" + b"9" * 5000 + b"]"),
    ("too-deep", b"[" * 5000 + b"]" * 5000),
    ("too-deep", b'{"http":' * 300 + b"1" + b"}" * 300),
    ("unpacks-too-far", BOMB),
    ("not-evidence", pack(pack(line(EVE)))),
    ("not-evidence", b"MZ\x90\0" + bytes(60)),
    ("not-evidence", b"\x7fELF\x02\x01" + bytes(60)),
    ("not-evidence", b"#!/bin/sh\nrm -rf /\n"),
    ("not-evidence", b"PK\x03\x04" + bytes(60)),
    ("not-evidence", b"%PDF-1.7\n"),
    ("not-evidence", b"\x89PNG\r\n\x1a\n" + bytes(40)),
    ("not-evidence", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94."),
    ("not-evidence", b"<html><script>alert(1)</script></html>"),
    ("not-evidence", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    ("not-evidence", bytes(range(1, 9)) * 50),
    ("no-session", b"the scanner was flagged at noon, please help"),
    ("no-session", b"our scanner"),
    ("no-session", b"[]"),
    ("no-session", b'{"event_type": "flow", "timestamp": "2026-03-01T12:00:00+0000"}'),
    ("no-session", line(EVE | {"timestamp": None}).replace(b'"timestamp": null, ', b"")),
    ("no-session", line({"log": {"entries": [None, 1, {"request": {}}]}})),
    ("no-session", HEADER + b"not\tenough\n"),
    ("no-session", b"javascript:alert(1)//%0a\nHost : x"),
    ("bad-kit", line(KIT | {"etalon_kit": 9})),
    ("bad-kit", line(KIT | {"bundle": "../../etc/passwd"})),
    ("bad-kit", line(KIT | {"eval": "1+1"})),
    ("bad-kit", line(KIT | {"features": "a" * 99})),
    ("bad-kit", line(KIT | {"record": None})),
    ("bad-kit", line(KIT | {"said": [{"detector": "a", "version": 1, "score": 7, "threshold": 0.5}]})),
    ("bad-vector", b"[" + b"1," * 5000 + b"1]"),
    ("bad-vector", b"[1, 1e39]"),
]


@pytest.mark.parametrize(("code", "data"), HOSTILE, ids=[f"{n}-{code}" for n, (code, _data) in enumerate(HOSTILE)])
def test_what_is_broken_or_hostile_is_refused_by_name(code, data):
    with pytest.raises(Refused) as refused:
        read(data, RECEIVED)
    assert refused.value.code == code
    assert str(refused.value)


def mail(**fields) -> bytes:
    message = EmailMessage()
    for name, value in (
        {"From": "soc@acme.example", "To": "support@etalon.example", "Subject": "flagged"} | fields
    ).items():
        message[name] = value
    message.set_content("please look")
    message.add_attachment(line(EVE), maintype="application", subtype="json", filename="../../x.json")
    return message.as_bytes()


def test_a_saved_mail_is_opened_once():
    assert is_mail(mail())
    assert not is_mail(line(EVE))
    found = read_mail(mail())
    assert (found.sender, found.text.strip()) == ("soc@acme.example", "please look")
    [(name, data)] = found.attachments
    assert (name, read(data, RECEIVED).kind) == ("../../x.json", Kind.EVE)


def test_mails_that_are_none_or_too_many_are_refused():
    many = EmailMessage()
    many["From"], many["To"] = "a@b.example", "c@d.example"
    many.set_content("x")
    for _ in range(30):
        many.add_attachment(b"x", maintype="application", subtype="x", filename="x")
    for code, data in (
        ("no-mail", b"Subject: x\n\nhello"),
        ("too-many-parts", many.as_bytes()),
        ("too-large", bytes(LARGEST + 1)),
    ):
        with pytest.raises(Refused) as refused:
            read_mail(data)
        assert refused.value.code == code


def test_every_answer_stands_in_the_format():
    table = (FORMATS / "evidence.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| ([a-z][a-z-]+) \|", table, re.MULTILINE)) - {"code"}
    mails = {"no-mail", "too-many-parts", "too-many", "no-suricata"}
    assert told == {code for code, _data in HOSTILE} | mails | {kind.value for kind in Kind}


@given(data=st.binary(max_size=300))
def test_no_bytes_do_more_than_be_read_or_refused(data):
    try:
        evidence.read(data, RECEIVED)
    except Refused as refused:
        assert refused.code


def test_the_example_of_the_format_is_a_kit():
    text = (FORMATS / "kit.md").read_text(encoding="utf-8")
    told = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    kit = kits.parse(told)
    assert read(line(told), RECEIVED).kind == Kind.KIT
    assert kits.parse(json.loads(kits.to_bytes(kits.document(kit, RECEIVED)))) == kit


@pytest.mark.parametrize(
    ("consent", "kept"),
    [("record", {"src_ip", "http", "event_type"}), ("text", {"event_type", "http"}), ("vector", set())],
)
def test_a_customer_hands_out_no_more_than_agreed(consent, kept):
    record = {"event_type": "http", "src_ip": "10.0.0.1", "http": {"url": "/", "request_headers": [{"name": "Cookie"}]}}
    found = kits.reduced(record, consent)
    assert set(found or {}) == kept
    assert ("Cookie" in str(found)) == (consent == "record")


def test_what_does_not_leave_in_clear_has_a_name_and_nothing_else_has():
    record = {"src_ip": "10.0.0.1", "dest_ip": "10.0.0.1", "http": {"hostname": "Shop.example."}}
    named = {consent: kits.hidden_names(record, consent, b"a key") for consent in kits.CONSENTS}
    assert [set(named[consent]) for consent in kits.CONSENTS] == [set(), {"client", "server"}, set(kits.NAMED)]
    hidden = named["vector"]
    assert hidden["client"] == hidden["server"] == named["text"]["client"] != hidden["host"]
    assert hidden["host"] == kits.name_of("host", "shop.example", b"a key") != kits.name_of("host", "shop.example", b"")
    assert kits.hidden_names({"src_ip": 7, "tls": {"sni": ""}}, "vector", b"a key") == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("names", {"user": "0" * 32}, "names: expected some of"),
        ("names", {"host": "shop.example"}, "32 hexadecimal"),
        ("contributions", {"base": 0.0, "features": [1.0]}, "one number for each feature"),
        ("contributions", {"base": None, "features": [0.0, 0.0, 0.0]}, "one number for each feature"),
        ("contributions", 7, "one number for each feature"),
    ],
)
def test_a_kit_with_odd_names_or_contributions_is_refused(name, value, reason):
    told = json.loads(re.search(r"```json\n(.*?)```", (FORMATS / "kit.md").read_text(encoding="utf-8"), re.DOTALL)[1])
    changed = told | {"names": value} if name == "names" else told | {"said": [told["said"][0] | {name: value}]}
    with pytest.raises(kits.BadKit, match=reason):
        kits.parse(changed)


def test_the_end_of_its_flow_is_put_into_a_tls_record_wherever_it_stands():
    lines = [eve.flow(7), eve.tls(7), eve.tls(8), eve.flow(9), eve.http(7)]
    found = read(eve.log(lines), RECEIVED)
    assert [("flow" in record) for record in found.records] == [True, False, False]
    assert found.skipped == 0
    [stored], _reader = eve.read([eve.tls(7), eve.flow(7)])
    row = joined_row(found.records[0])
    assert {name: row[name] for name in TLS_1.reads} == {name: stored.get(name) for name in TLS_1.reads}
    hit = eve.tls(7) | {"event_type": "alert", "flow": {"bytes_toserver": 5, "start": eve.stamp()}}
    assert joined_row(read(eve.line(hit), RECEIVED).records[0])["bytes_to_server"] is None  # the flow went on
    with pytest.raises(Refused, match="ends of flows alone"):
        read(eve.line(eve.flow(7)), RECEIVED)
