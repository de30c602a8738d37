from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from detection.filters import FilterError
from detection.selection import Cell
from labeling.services import hunts
from models_registry.services import indicators
from models_registry.services.hunt_counts import Bar, count, survey
from models_registry.services.hunt_tables import opened
from models_registry.services.hunts import Group, Window, groups, newest, rows
from models_registry.services.scoring import score_waiting
from tests import hunt_scenes
from tests.factories import make_detector, make_session_item, make_version
from tests.hunt_scenes import KTALK, OWNER, SEEN
from tests.labeling.conftest import make_scores
from tests.models_registry.loop import hit, http, take_in
from traffic.models import LateHit, Segment
from traffic.services import ingest
from traffic.services.segments import read_rows

pytestmark = pytest.mark.django_db


def ask(text, **options):
    """Return what `manage.py hunt` prints of the traffic of the day in question."""
    out = io.StringIO()
    call_command("hunt", text, "--json", f"--since={SEEN.isoformat()}", *options.get("more", ()), stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def loop(tmp_path):
    """A small log with rule hits, and a version that flags its third and fifth session."""
    records = [http(number, f"/page-{number}") for number in range(20)]
    take_in(tmp_path, [*records, hit(4), hit(7)])
    version = make_version(detector=make_detector(name="http-attacks"))
    make_scores(version, Segment.objects.get(), {3: 2.0, 5: 3.0})
    return version


def test_ktalk_is_right_on_484_sessions_and_wrong_on_11230(tmp_path):
    hunt_scenes.learn(tmp_path, "ktalk", "ktalk.exe", hunt_scenes.KTALK_MEDIA)
    indicators.import_list("c2", "domain", b"c2-0.bad.test\nc2-1.bad.test\nc2-2.bad.test\nc2-9.bad.test\n")
    ingest.ingest_paths([hunt_scenes.ktalk(tmp_path)], "lab")
    score_waiting()
    indicators.match_waiting()
    right = ask(f'alert.msg == "[ML-TEST] Looks like ktalk.exe" and dst.dns == "{KTALK}"')
    assert (right["sessions"], right["hosts"], right["indicators"]) == (484, 74, 0)
    wrong = ask(f'alert.msg == "[ML-TEST] Looks like ktalk.exe" and dst.dns != "{KTALK}"')
    assert (wrong["sessions"], wrong["hosts"], wrong["indicators"]) == (11_230, 785, 3)
    assert list(wrong) == ["sessions", "hosts", "rule_hits", "attacks", "indicators", "first", "last", "seconds"]
    assert wrong["first"] < wrong["last"]


def test_telegram_is_right_on_21001_sessions_and_doubtful_on_37(tmp_path, settings):
    settings.ETALON_GEO = str(hunt_scenes.owners(tmp_path))
    hunt_scenes.learn(tmp_path, "telegram", "Telegram", hunt_scenes.TELEGRAM_PHONE)
    ingest.ingest_paths([hunt_scenes.telegram(tmp_path)], "lab")
    score_waiting()
    text = f'app_service=="Telegram" && !dst.geo.org == "{OWNER}" and app_proto=="tls" && flags == "APP_SERVICE_ML"'
    doubtful, right = ask(text), ask(text.replace("!dst", "dst"))
    assert (doubtful["sessions"], doubtful["hosts"]) == (37, 15)
    assert (right["sessions"], right["hosts"]) == (21_001, 241)


def test_owners_without_a_source_are_an_error(loop, settings):
    settings.ETALON_GEO = ""
    Segment.objects.update(geo_digest="")
    with pytest.raises(CommandError, match="nobody has told who owns addresses"):
        call_command("hunt", 'dst.geo.org == "Example Ltd"')
    Segment.objects.filter(pk=Segment.objects.first().pk).update(geo_digest="c" * 64)
    call_command("hunt", 'dst.geo.org == "Example Ltd"', "--json", stdout=io.StringIO())


def test_an_error_points_at_its_column(loop):
    with pytest.raises(CommandError) as refused:
        call_command("hunt", "dst.port == 80 and htp.url == x")
    assert str(refused.value).splitlines() == [
        "column 20: there is no field “htp.url”; did you mean http.url?",
        "  dst.port == 80 and htp.url == x",
        "                     ^",
    ]
    with pytest.raises(CommandError, match="no version 'nobody:1'"):
        call_command("hunt", "", "--under-test", "nobody:1")


def test_people_read_figures_with_their_names(loop):
    out = io.StringIO()
    call_command("hunt", "rule.sid == 2000001", stdout=out)
    assert "sessions" in out.getvalue()
    assert "rule hits" in out.getvalue()


def test_what_experts_said_is_asked_and_counted(loop):
    segment = Segment.objects.get()
    [row] = read_rows(segment, [3])
    item = make_session_item(row=row, detector=loop.detector, version=loop, cell=Cell.UNIQUE, state="settled",
                             outcome="positive", settled_at=datetime.now(UTC))  # fmt: skip
    item.subject_key = f"{segment.sensor.name}|{row['flow_id']}|{row['tx_id']}|{row['start']}"
    item.save()
    everything = count(hunts.prepare(""))
    assert (everything.sessions, everything.attacks) == (segment.rows, 1)
    assert count(hunts.prepare('label("http-attacks") == positive')).sessions == 1
    assert count(hunts.prepare('label("http-attacks") == null')).sessions == segment.rows - 1
    assert count(hunts.prepare(f"flow_id != {row['flow_id']}")).attacks == 0


def test_hits_that_came_late_are_asked_too(loop):
    segment = Segment.objects.get()
    before = count(hunts.prepare("")).rule_hits
    value = {"sid": 77, "gid": 1, "rev": 1, "signature": "late", "category": "c", "severity": 1, "action": "allowed",
             "scope": "flow"}  # fmt: skip
    LateHit.objects.create(segment=segment, row=2, mark="m", value=json.dumps(value))
    Segment.objects.update(late_hits=1)
    assert count(hunts.prepare("")).rule_hits == before + 1
    found = hunts.prepare("rule.sid == 77")
    assert count(found).sessions == 1
    assert [rid & 0xFFFF for _, rid in newest(found)] == [2]


def test_a_version_without_scores_says_so_and_gives_no_verdict(loop, tmp_path):
    take_in(tmp_path, [http(9_000, "/later", timestamp="2026-03-09T12:00:00.000000+0000")], name="later.json")
    hunt = hunts.prepare('model("http-attacks").verdict == positive')
    assert count(hunt).sessions == 2
    assert hunt.unscored == {"http-attacks:1": 1}
    assert count(hunts.prepare('model("http-attacks").score == null')).sessions == 1


def test_only_segments_that_may_hold_an_answer_are_opened(loop, tmp_path):
    take_in(tmp_path, [http(9_000, "/later", timestamp="2026-03-09T12:00:00.000000+0000")], name="later.json")
    old, new = Segment.objects.order_by("id")
    assert [one.pk for one in hunts.prepare("").segments] == [new.pk, old.pk]
    assert [one.pk for one in hunts.prepare("start > 2026-03-05").segments] == [new.pk]
    assert [one.pk for one in hunts.prepare("start < 2026-03-05 and dst.port == 80").segments] == [old.pk]
    assert hunts.prepare("sensor == nobody").segments == []
    assert hunts.prepare("tls.sni == x").segments == []
    late = Window(since=datetime(2026, 3, 5, tzinfo=UTC))
    assert [one.pk for one in hunts.prepare("", window=late).segments] == [new.pk]
    assert count(hunts.prepare("sensor == nobody")).sessions == 0


def test_the_newest_come_first_and_are_paged_by_their_place(tmp_path):
    moments = [datetime(2026, 3, day, 12, tzinfo=UTC) + timedelta(minutes=n) for day in (1, 3, 2) for n in range(7)]
    for number, some in enumerate((moments[:7], moments[7:14], moments[14:])):
        records = [http(100 * number + n, f"/{at:%d-%M}", timestamp=f"{at:%Y-%m-%dT%H:%M:%S}.000000+0000")
                   for n, at in enumerate(some)]  # fmt: skip
        take_in(tmp_path, records, name=f"{number}.json")
    hunt = hunts.prepare("")
    pages, last = [], None
    while page := newest(hunt, 5, last):
        pages.append(rows(hunt, page, ["uri", "start"]))
        last = page[-1]
    seen = [row["uri"] for page in pages for row in page]
    assert seen == [f"/{at:%d-%M}" for at in sorted(moments, reverse=True)]
    assert [len(page) for page in pages] == [5, 5, 5, 5, 1]


def test_groups_are_counted_in_sessions_and_hosts(loop, tmp_path):
    take_in(tmp_path, [http(9_001, "/x", src_ip="10.0.0.1"), http(9_002, "/x", src_ip="10.0.0.2"),
                       http(9_003, "/y", src_ip="10.0.0.1"), hit(9_001)], name="more.json")  # fmt: skip
    hunt = hunts.prepare("flow_id > 9000")
    assert groups(hunt, "http.url") == [Group("/x", 2, 2), Group("/y", 1, 1)]
    assert groups(hunt, "http.referer") == [Group(None, 3, 2)]
    assert groups(hunt, "rule.msg") == [Group("ET WEB_SERVER Attack", 1, 1)]
    assert [one.sessions for one in groups(hunt, "sensor")] == [3]
    assert groups(hunt, "http.url", most=1) == [Group("/x", 2, 2)]
    with pytest.raises(FilterError, match=r"did you mean http\.url"):
        groups(hunt, "http.ur")


def test_bars_are_sessions_per_stretch_of_time(tmp_path):
    at = ["2026-03-01T12:00:01", "2026-03-01T12:59:59", "2026-03-01T14:00:00"]
    records = [http(n, "/", timestamp=f"{moment}.000000+0000") for n, moment in enumerate(at)]
    take_in(tmp_path, records)
    hunt = hunts.prepare("")
    counts, bars, seconds = survey(hunt, 200)
    noon, minute = datetime(2026, 3, 1, 12, tzinfo=UTC), timedelta(minutes=1)
    assert bars == [Bar(noon, 1), Bar(noon + 59 * minute, 1), Bar(noon + 120 * minute, 1)]
    assert seconds == 60
    assert counts == count(hunt)
    _counts, bars, seconds = survey(hunt, 2)
    assert (bars, seconds) == ([Bar(noon, 2), Bar(noon + 120 * minute, 1)], 3_600)
    assert survey(hunts.prepare("dst.port == 1"), 60) == (count(hunts.prepare("dst.port == 1")), [], 60)


def test_a_window_is_exact_whatever_lies_in_the_segments_it_cuts(tmp_path):
    begins = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records = [http(n, "/", timestamp=f"2026-03-01T12:{n:02}:00.000000+0000") for n in range(30)]
    take_in(tmp_path, records)
    minute = timedelta(minutes=1)
    assert count(hunts.prepare("", window=Window(since=begins + 20 * minute))).sessions == 10
    assert count(hunts.prepare("", window=Window(begins + 5 * minute, begins + 9 * minute))).sessions == 5


def test_a_forked_child_asks_with_a_connection_of_its_own(loop):
    expected = count(hunts.prepare(""))
    asked = hunts.prepare("")
    child = os.fork()
    if not child:
        os._exit(0 if _distinct(asked) == expected.hosts else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert count(asked) == expected


def _distinct(hunt):
    with opened(hunt) as asked:
        return asked.rows("SELECT count(DISTINCT s.src_ip)")[0][0]


def test_many_ask_at_once(loop):
    hunt = hunts.prepare("")
    expected = _distinct(hunt)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(_distinct, [hunt] * 40)) == {expected}
