"""Indicator lists: imported by page and command, matched with what is stored, shown beside sessions."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Role
from labeling.models import Queue
from models_registry.models import IndicatorList, IndicatorListVersion, IndicatorMatch
from models_registry.services import indicators
from tests import factories
from tests.detection import eve
from traffic import storage
from traffic.models import Segment
from traffic.services.ingest import ingest_paths

pytestmark = pytest.mark.django_db
LISTS = reverse("models_registry:indicators")


def page_of(name: str) -> str:
    return reverse("models_registry:indicator-list", args=[name])


@pytest.fixture
def traffic(tmp_path: Path) -> Callable[..., Segment]:
    """Take sessions of these hosts in."""

    def made(*hosts: str) -> Segment:
        path = tmp_path / f"{Segment.objects.count()}.json"
        records = [eve.http(number, http={"hostname": host}) for number, host in enumerate(hosts, 1)]
        path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
        ingest_paths([path])
        return Segment.objects.sealed().latest("pk")

    return made


def test_a_file_becomes_a_list_on_the_page(engineer_client: Client) -> None:
    file = SimpleUploadedFile("bad.csv", b"value,note\nevil.example,loader\n")
    told = {"name": "bad-domains", "kind": "domain", "file": file}
    page = engineer_client.post(LISTS, told, follow=True).text
    assert "bad-domains:1 is in force." in page
    assert "value note" in page  # what was skipped
    version = IndicatorListVersion.objects.get()
    assert (version.entries, version.skipped) == (1, 1)
    assert AuditEntry.objects.first().action == "indicators.imported"
    assert "bad-domains:1" in engineer_client.get(LISTS).text


@pytest.mark.parametrize(
    ("name", "kind", "data", "said"),
    [
        ("bad", "domain", b"what is this\n", "expected a domain name"),
        ("bad name", "domain", b"evil.example\n", "slug"),
        ("bad", "hostnames", b"evil.example\n", "valid choice"),
        ("bad", "domain", b"", "empty"),
    ],
)
def test_what_is_no_list_is_refused_with_a_reason(
    engineer_client: Client, name: str, kind: str, data: bytes, said: str
) -> None:
    file = SimpleUploadedFile("bad.csv", data)
    answer = engineer_client.post(LISTS, {"name": name, "kind": kind, "file": file})
    assert answer.status_code == 400
    assert said in answer.text
    assert not IndicatorList.objects.exists()


def test_the_command_imports_and_says_what_it_skipped(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"sha1,why\n" + b"ab" * 20 + b",bot\n")
    out = io.StringIO()
    call_command("import_indicators", "certificates", str(path), "--kind", "cert-sha1", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["list"], told["version"], told["entries"], told["examples"]) == ("certificates", 1, 1, ["sha1 why"])
    with pytest.raises(CommandError, match="is a list of certificates"):
        call_command("import_indicators", "certificates", str(path), "--kind", "cert-sha1", "--hint")
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_indicators", "certificates", str(tmp_path / "none"), "--kind", "cert-sha1")


def test_the_same_bytes_again_are_the_same_version() -> None:
    first = indicators.import_list("bad", "domain", b"evil.example\n")
    assert indicators.import_list("bad", "domain", b"evil.example\n") == first
    assert indicators.import_list("bad", "domain", b"other.example\n").number == 2


def test_what_came_in_is_matched_and_shown_on_the_page(
    client: Client, expert: Any, traffic: Callable[..., Segment]
) -> None:
    segment = traffic("a.evil.example", "shop.example", "evil.example")
    indicators.import_list("bad", "domain", b"evil.example,loader\n")
    assert indicators.match_waiting() == 1
    match = IndicatorMatch.objects.get()
    assert (match.segment, match.hits) == (segment, 2)
    assert storage.get_table(match.path)["rid"].to_pylist() == [segment.pk << 32, segment.pk << 32 | 2]
    client.force_login(expert)
    page = client.get(page_of("bad")).text
    assert "2 matches in what is stored" in page
    assert "a.evil.example" in page and "loader" in page and "shop.example" not in page


def test_nothing_is_matched_twice_until_lists_change(traffic: Callable[..., Segment]) -> None:
    traffic("shop.example")
    indicators.import_list("bad", "domain", b"evil.example\n")
    assert [indicators.match_waiting() for _ in range(2)] == [1, 0]
    indicators.import_list("bad", "domain", b"shop.example\n")
    assert indicators.match_waiting() == 1
    path = IndicatorMatch.objects.get(hits=1).path
    indicators.withdraw(IndicatorList.objects.get())
    assert indicators.match_waiting() == 1
    assert IndicatorMatch.objects.get().hits == 0
    assert not storage.exists(path)


def test_a_damaged_segment_holds_up_no_other(traffic: Callable[..., Segment]) -> None:
    good, damaged = traffic("evil.example"), traffic("evil.example", "shop.example")
    storage.delete(damaged.sessions_path)
    indicators.import_list("bad", "domain", b"evil.example\n")
    assert indicators.match_waiting() == 1
    assert IndicatorMatch.objects.get(hits__gt=0).segment == good
    assert indicators.match_waiting() == 0


def test_a_hint_is_matched_with_nothing_and_shown_beside_a_session(traffic: Callable[..., Segment]) -> None:
    traffic("www.popular.example")
    indicators.import_list("popular", "domain", b"popular.example,rank 3\n", is_hint=True)
    indicators.match_waiting()
    assert IndicatorMatch.objects.get().hits == 0
    [told] = indicators.of_row({"host": "www.popular.example"})
    assert (told.is_hint, told.entry, told.note) == (True, "popular.example", "rank 3")


def test_an_item_shows_what_lists_say_and_a_drawn_one_does_not(client: Client) -> None:
    row = factories.make_row(host="a.evil.example")
    indicators.import_list("bad", "domain", b"evil.example,<b>loader</b>\n")
    expert = factories.make_user(Role.EXPERT)
    client.force_login(expert)
    item = factories.make_session_item(row=row)
    page = client.get(reverse("labeling:explanation", args=[item.pk])).text  # others' words come with it
    assert "bad:1" in page and "&lt;b&gt;loader" in page
    queue = factories.make_queue(kind=Queue.Kind.PROOF, slug="drawn", detector=item.detector)
    drawn = factories.make_proof_item(queue, row)
    assert "bad:1" not in client.get(reverse("labeling:item", args=[drawn.pk])).text
    assert "bad:1" not in client.get(reverse("labeling:explanation", args=[drawn.pk])).text


def test_a_list_is_withdrawn(engineer_client: Client) -> None:
    indicators.import_list("bad", "domain", b"evil.example\n")
    url = reverse("models_registry:withdraw-indicators", args=["bad"])
    assert "bad is out of force." in engineer_client.post(url, follow=True).text
    assert not indicators.of_row({"host": "evil.example"})
    assert "withdrawn" in engineer_client.get(page_of("bad")).text
    indicators.import_list("bad", "domain", b"evil.example\n")  # imported again, it is in force again
    assert indicators.of_row({"host": "evil.example"})


def test_real_certificates_of_malware_are_found_in_real_traffic(shared_data: Path) -> None:
    ingest_paths([shared_data / "eve" / "corelight-packages.eve.json.gz"])
    data = (shared_data / "reference" / "sslbl-cert-sha1.csv.gz").read_bytes()
    version = indicators.import_list("bad-certificates", "cert-sha1", data)
    indicators.match_waiting()
    hits = indicators.newest_hits(version.indicator_list)
    assert len(hits) == 2
    assert all("RAT" in hit.note for hit in hits)
    assert all(hit.row["cert_sha1"] == hit.entry for hit in hits)
