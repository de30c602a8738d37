from __future__ import annotations

import gzip
from collections import Counter

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.records import model_row
from detection.contract import CONTRACTS
from detection.sources.suricata import flow_end, session_row
from detection.sources.values import BadRecordError
from tests.detection import eve
from tests.detection.eve import record

READ = {contract.name: contract.reads for contract in CONTRACTS.values()}
ODD = (
    st.none()
    | st.text(max_size=9)
    | st.integers()
    | st.booleans()
    | st.floats()
    | st.lists(st.text(max_size=3), max_size=2)
)
TLS_ODD = ODD | st.dictionaries(st.sampled_from(("hash", "string")), st.text(max_size=4) | st.integers(), max_size=2)
TLS_FIELDS = (
    *("sni", "subject", "issuerdn", "subjectaltname", "notbefore", "notafter", "version", "ja3", "ja3s", "ja4"),
    *("client_alpns", "server_alpns", "session_resumed"),
)
FLOW_ENDS = ("start", "end", "bytes_toserver", "bytes_toclient", "pkts_toserver", "pkts_toclient")
FIELDS = (
    *("url", "hostname", "http_user_agent", "http_refer", "http_content_type", "http_method", "status", "length"),
    *("version", "http2"),
)


def whole_row(each, flow=None):
    return session_row(each) | ({} if flow is None else flow_end(flow))


def assert_same(each, *flow):
    names = READ[each["event_type"]]
    short, whole = read(model_row, each, *flow), read(whole_row, each, *flow)
    assert [short and short[name] for name in names] == [whole and whole[name] for name in names]


def read(row_of, *records):
    """Return a row, or None where it is refused: both ways must refuse the same."""
    try:
        return row_of(*records)
    except BadRecordError:
        return None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ODD), ODD)
def test_the_short_way_says_what_the_session_says(http, port):
    assert_same(record("http", http=http) | {"dest_port": port})


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(TLS_FIELDS), TLS_ODD), st.sampled_from(("timestamp", "flow_id", "dest_port")), ODD
)
def test_the_short_way_of_tls_too(tls, name, value):
    assert_same(eve.tls(tls=tls))
    assert_same(eve.tls(tls=tls) | {name: value})


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(FLOW_ENDS), ODD))
def test_the_end_of_a_flow_is_read_alike(told):
    assert_same(eve.tls(), eve.flow(**told))
    assert_same(eve.http(), eve.flow(**told))
    assert_same(eve.tls(), {"flow": None})


def test_a_record_without_its_object_is_an_empty_session():
    assert_same(record("http"))
    assert_same(record("tls"))
    assert_same(record("tls", tls=None))
    assert_same(record("tls", tls=[]))


def test_real_records_are_read_alike(shared_data):
    seen: Counter[str] = Counter()
    for file in sorted((shared_data / "eve").glob("*.eve.json.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            for kind in ("http", "tls"):
                if f'"event_type":"{kind}"'.encode() in line:
                    assert_same(orjson.loads(line))
                    seen[kind] += 1
    assert seen["http"] > 2000
    assert seen["tls"] > 1000
