from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from tests.factories import make_detector, make_row, make_stored_segment, make_tls_row, make_version
from tests.labeling.conftest import make_scores

pytestmark = pytest.mark.django_db
NASTY = "<script>alert(1)</script>"


@pytest.fixture
def segment():
    hit = {"sid": 7, "gid": 1, "rev": 1, "signature": NASTY, "category": "c", "severity": 1, "action": "allowed",
           "scope": "flow"}  # fmt: skip
    begin, minute = 1_772_366_400_000_000, 60_000_000
    rows = [
        make_row(flow_id=n, start=begin + n * minute, uri=f"/page-{n}", src_ip=f"10.0.0.{n % 3}") for n in range(120)
    ]
    rows[5] |= {"uri": f"/{NASTY}", "user_agent": "=cmd|' /C calc'!A0", "hits": [hit], "host": "nul\0host"}
    return make_stored_segment(rows)


def ask(client, name, text="", *args, **more):
    return client.get(reverse(f"labeling:{name}", args=args), {"q": text, **more})


def test_the_page_itself_asks_nothing_and_its_fragments_do(expert_client, segment, django_assert_max_num_queries):
    with django_assert_max_num_queries(14):
        page = ask(expert_client, "hunt", "http.status == 200").text
    assert 'hx-get="/hunt/counts/?q=http.status+%3D%3D+200"' in page
    counts = ask(expert_client, "hunt-counts", "http.status == 200").text
    assert ">120<" in counts
    assert ">3</a>" in counts  # hosts
    narrower = counts.split("<rect")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert ">2<" in expert_client.get(narrower.replace("/hunt/?", "/hunt/counts/?")).text  # two minutes a bar
    assert counts.count("<rect") > 50


def test_an_error_stands_under_its_column_and_nothing_is_asked(expert_client, segment):
    page = ask(expert_client, "hunt", "htp.url == x").text
    assert "column 1: there is no field “htp.url”; did you mean http.url?" in page
    assert "htp.url == x\n^" in page
    assert "/hunt/counts/" not in page
    answer = ask(expert_client, "hunt-counts", "htp.url == x")
    assert answer.status_code == 400
    assert "did you mean http.url?" in answer.text


def test_rows_come_newest_first_fifty_at_a_time(expert_client, segment):
    seen, address = [], reverse("labeling:hunt-rows")
    while address:
        fragment = expert_client.get(address).text
        seen.append(fragment.count("data-row-link"))
        address = fragment.split('hx-get="')[1].split('"')[0].replace("&amp;", "&") if "hunt-more" in fragment else ""
    assert seen == [50, 50, 20]
    first = ask(expert_client, "hunt-rows").text
    assert first.index("/page-119") < first.index("/page-118")


def test_what_attackers_wrote_is_escaped_everywhere(expert_client, segment):
    for fragment in (
        ask(expert_client, "hunt", f'http.url == "{NASTY}"'),
        ask(expert_client, "hunt-rows", "rule.sid == 7"),
        ask(expert_client, "hunt-groups", "rule.sid == 7", group="rule.msg"),
        ask(expert_client, "hunt-counts", f'"{NASTY}" == x'),
        expert_client.get(reverse("labeling:session", args=[segment.pk << 32 | 5])),
    ):
        assert "<script>alert" not in fragment.text
        assert "alert(1)" in fragment.text


def test_what_is_wrong_is_said_in_the_persons_language(expert_client, expert, segment):
    expert.language = "ru"
    expert.save()
    assert "столбец 1: нет поля «htp.url»; может быть, http.url?" in ask(expert_client, "hunt", "htp.url == x").text
    assert "ожидалось: конец или «and» или «or»" in ask(expert_client, "hunt-counts", "dst.port == 1 2").text
    assert "адрес клиента" in ask(expert_client, "hunt").text


def test_a_page_without_a_question_has_some_to_begin_with(expert_client, segment):
    make_version(detector=make_detector(name="http-attacks"), stage="active")
    page = ask(expert_client, "hunt").text
    addresses = [part.split('"')[0] for part in page.split('<dd class="wire"><a href="')[1:]]
    assert len(addresses) == 5
    for address in addresses:
        assert expert_client.get(f"/hunt/counts/{address.replace('&amp;', '&')}").status_code == 200


def test_a_value_of_a_group_narrows_the_hunt(expert_client, segment):
    fragment = ask(expert_client, "hunt-groups", "http.status == 200 or dst.port == 1", group="http.url").text
    queries = [part.split('"')[0].replace("&amp;", "&") for part in fragment.split('<a href="/hunt/?')[1:]]
    assert len(queries) == 20
    for query in queries[:3]:
        assert "<dd>1</dd>" in expert_client.get(f"/hunt/counts/?{query}").text
    nothing = ask(expert_client, "hunt-groups", "", group="http.referer").text
    assert "referer+%3D%3D+null" in nothing


def test_groups_are_shown_with_sessions_and_hosts(expert_client, segment):
    fragment = ask(expert_client, "hunt-groups", "", group="src.ip").text
    assert fragment.count('<td class="number">40</td><td class="number">1</td>') == 3
    assert ask(expert_client, "hunt-groups", "", group="nothing").status_code == 400


def test_versions_without_scores_are_named(expert_client, segment):
    version = make_version(detector=make_detector(name="http-attacks"))
    assert (
        "http-attacks:1 has no scores of 1 segment"
        in ask(expert_client, "hunt-counts", 'model("http-attacks").score > 0.5').text
    )
    make_scores(version, segment, {3: 2.0})
    fragment = ask(expert_client, "hunt-counts", 'model("http-attacks").score > 0.5').text
    assert "has no scores" not in fragment
    assert ">1<" in fragment


def test_lines_carry_everything_that_passes(expert_client, segment):
    answer = ask(expert_client, "export-hunt", "src.ip == 10.0.0.1", "jsonl")
    lines = [json.loads(line) for line in answer.getvalue().splitlines()]
    assert len(lines) == 40
    assert lines[0]["host"] == "intranet.example"
    assert lines[0]["start"].endswith("Z")


def test_cells_are_no_formulas(expert_client, segment):
    answer = ask(expert_client, "export-hunt", "rule.sid == 7", "csv")
    [row] = csv.DictReader(io.StringIO(answer.getvalue().decode()))
    assert row["user_agent"] == "'=cmd|' /C calc'!A0"
    assert row["hits"] == f"1:7 {NASTY}"
    assert row["host"] == "nulhost"


def test_parquet_is_read_again(expert_client, segment):
    make_stored_segment([make_tls_row(flow_id=n) for n in range(3)])
    answer = ask(expert_client, "export-hunt", "", "parquet")
    table = pq.read_table(io.BytesIO(answer.getvalue()))
    assert len(table) == 123
    assert set(table["protocol"].to_pylist()) == {"http", "tls"}
    assert ask(expert_client, "export-hunt", "", "xlsx").status_code == 404


def test_a_session_is_shown_with_its_fields_verdicts_and_raw_line(expert_client, segment):
    make_scores(make_version(detector=make_detector(name="http-attacks")), segment, {5: 2.0})
    page = expert_client.get(reverse("labeling:session", args=[segment.pk << 32 | 5])).text
    assert "10.0.0.2" in page
    assert "http-attacks:1" in page
    assert "0.8808" in page  # sigmoid(2)
    assert "request_headers" in page
    for rid in (segment.pk << 32 | 999, 9_999 << 32, 0):
        assert expert_client.get(reverse("labeling:session", args=[rid])).status_code == 404
