from __future__ import annotations

import gzip

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.records import model_row
from detection.contract import HTTP_1
from detection.sources.suricata import session_row
from tests.detection.eve import record

READ = [text.column for text in HTTP_1.texts] + list(HTTP_1.columns)
ODD = (
    st.none()
    | st.text(max_size=9)
    | st.integers()
    | st.booleans()
    | st.floats()
    | st.lists(st.text(max_size=3), max_size=2)
)
FIELDS = (
    *("url", "hostname", "http_user_agent", "http_refer", "http_content_type", "http_method", "status", "length"),
    *("version", "http2"),
)


def assert_same(each):
    short, whole = model_row(each), session_row(each)
    assert {name: short[name] for name in READ} == {name: whole[name] for name in READ}


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ODD), ODD)
def test_the_short_way_says_what_the_session_says(http, port):
    assert_same(record("http", http=http) | {"dest_port": port})


def test_a_record_without_its_object_is_an_empty_session():
    assert_same(record("http"))


def test_real_records_are_read_alike(shared_data):
    seen = 0
    for file in sorted((shared_data / "eve").glob("*.eve.json.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            if b'"event_type":"http"' in line:
                assert_same(orjson.loads(line))
                seen += 1
    assert seen > 2000
