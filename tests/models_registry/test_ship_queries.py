"""Ship queries: what a version may at most flag where it should not. Two people set the ceilings, the gate asks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.urls import reverse

from accounts.roles import Role
from detection.ship_queries import Ceilings, Exemption, Extent, Findings, ShipQueryError, Terms, exceeded, told
from models_registry.models import ShipQuery, ShipQueryDecision
from models_registry.services import gates, ship_queries
from models_registry.services.gate_evidence import ship_findings
from models_registry.services.ship_queries import approve, decline, in_force, propose
from models_registry.services.two_people import ChangeRefused
from tests import hunt_scenes
from tests.factories import make_detector, make_ship_query, make_ship_query_change, make_user, make_version
from tests.hunt_scenes import KTALK, OWNER
from traffic.services import ingest

ELSEWHERE = f'alert.msg == "[ML-TEST] Looks like ktalk.exe" and dst.dns != "{KTALK}"'
NOT_THEIRS = f'app_service=="Telegram" && !dst.geo.org == "{OWNER}" and app_proto=="tls" && flags == "APP_SERVICE_ML"'
STRICT = Terms('dst.dns == "shop.example"', Ceilings(sessions=0, hosts=0))


# ---- arithmetic


def findings(sessions=37, hosts=15, positives=(21_038, 256), traffic=(3_000_000, 785)):
    return Findings(Extent(sessions, hosts), Extent(*positives), Extent(*traffic))


@pytest.mark.parametrize(
    ("ceilings", "said"),
    [
        (Ceilings(sessions_share=0.002, hosts=20), []),
        (Ceilings(sessions_share=0.001, hosts=20), ["0.176 % of sessions, at most 0.1 %"]),
        (Ceilings(sessions_share=0.002, hosts=10), ["15 hosts, at most 10"]),
        (Ceilings(sessions=36, hosts_share=0.05), ["37 sessions, at most 36", "5.86 % of hosts, at most 5 %"]),
        (Ceilings(sessions_share=0.001, hosts=20, of="traffic"), []),
        (Ceilings(sessions=37, hosts=15), []),
    ],
)
def test_a_ceiling_is_a_number_or_a_share_in_both_units(ceilings, said):
    assert exceeded(ceilings, findings()) == said


def test_a_share_of_nothing_is_not_exceeded_by_nothing():
    assert exceeded(Ceilings(sessions_share=0.0, hosts_share=0.0), findings(0, 0, (0, 0), (0, 0))) == []
    assert "precision" not in told(Ceilings(sessions=0, hosts=0), findings(0, 0, (0, 0), (0, 0)))


@pytest.mark.parametrize(
    "wrong",
    [{"sessions": 1}, {"hosts": 1}, {"sessions": -1, "hosts": 1}, {"sessions_share": 2.0, "hosts": 1},
     {"sessions": 1, "hosts": 1, "of": "everything"}],
)  # fmt: skip
def test_terms_without_a_sensible_ceiling_in_both_units_are_refused(wrong):
    with pytest.raises(ShipQueryError):
        Ceilings(**wrong)


def test_what_is_excepted_is_left_out_with_its_reason():
    terms = replace(STRICT, exceptions=(Exemption('dst.dns == "a"', "our own"), Exemption('dst.dns == "b"', "too")))
    assert terms.asked() == '(dst.dns == "shop.example") and not ((dst.dns == "a") or (dst.dns == "b"))'
    assert Terms.of(terms.to_dict()) == terms
    assert terms.digest != STRICT.digest
    with pytest.raises(ShipQueryError):
        Exemption('dst.dns == "a"', " ")


# ---- two people


@pytest.mark.django_db
def test_terms_are_in_force_when_a_second_person_agrees(engineer, senior):
    detector = make_detector()
    before = ship_queries.digest(detector)
    proposal = propose(detector, "elsewhere", STRICT, engineer, reason="as agreed")
    assert (in_force(detector), ship_queries.digest(detector)) == ([], before)
    query = approve(proposal, senior).query
    assert in_force(detector) == [query]
    assert (query.number, query.made_by, query.approved_by, query.read) == (1, engineer, senior, STRICT)
    assert ship_queries.digest(detector) != before
    assert approve(proposal, senior).query == query  # again: nothing more


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.ENGINEER, Role.ADMINISTRATOR, Role.EXPERT, Role.SUPPORT, Role.AUDITOR])
def test_nobody_agrees_to_his_own_ceiling(engineer, role):
    proposal = propose(make_detector(), "elsewhere", STRICT, engineer)
    for by in (engineer, make_user(role)):
        with pytest.raises(ChangeRefused):
            approve(proposal, by)
    assert not ShipQuery.objects.exists()


@pytest.mark.django_db
def test_changes_follow_each_other_and_old_terms_stay(engineer, senior):
    first = approve(propose(detector := make_detector(), "elsewhere", STRICT, engineer), senior).query
    wider = Terms(STRICT.filter, Ceilings(sessions=5, hosts=2), (Exemption('dst.dns == "a"', "our own"),))
    late = propose(detector, "elsewhere", Terms("dst.port == 1", Ceilings(sessions=1, hosts=1)), senior)
    second = approve(propose(detector, "elsewhere", wider, senior), engineer).query
    assert (second.number, in_force(detector)) == (2, [second])
    assert ShipQuery.objects.get(pk=first.pk).read == STRICT
    with pytest.raises(ChangeRefused, match="Other terms took effect since"):
        approve(late, engineer)
    with pytest.raises(ChangeRefused, match="in force already"):
        propose(detector, "elsewhere", wider, senior)
    gone = approve(propose(detector, "elsewhere", None, engineer), senior).query
    assert (gone.read, in_force(detector)) == (None, [])


@pytest.mark.django_db
def test_a_declined_proposal_keeps_its_reason_and_a_wrong_filter_is_refused(engineer, senior):
    detector = make_detector()
    assert decline(propose(detector, "elsewhere", STRICT, engineer), senior, "too strict").reason == "too strict"
    assert not ship_queries.proposals(detector).exists()
    with pytest.raises(ChangeRefused, match="there is no field"):
        propose(detector, "elsewhere", Terms("htp.url == x", Ceilings(sessions=0, hosts=0)), engineer)
    with pytest.raises(ChangeRefused, match="small letters"):
        propose(detector, "../x", STRICT, engineer)


# ---- the gate


def agreed(version, name, filter_, **ceilings):
    make_ship_query(detector=version.detector, name=name, terms={"filter": filter_, "ceilings": ceilings},
                    number=ShipQuery.objects.count() + 1)  # fmt: skip


def checks(report):
    return {check["name"]: check for check in report.report["checks"]}


@pytest.mark.django_db
def test_ktalk_is_blocked(tmp_path, engineer_client):
    version = hunt_scenes.learn(tmp_path, "ktalk", "ktalk.exe", hunt_scenes.KTALK_MEDIA)
    hunt_scenes.gate_on_two(version)
    assert gates.run_gate(version).passed  # it makes no mistake on the reference set
    ingest.ingest_paths([hunt_scenes.ktalk(tmp_path)], "lab")
    agreed(version, "elsewhere", ELSEWHERE, sessions=100, hosts=10)
    report = gates.run_gate(version)
    assert not report.passed
    assert report.report["sentence"] == f"ktalk:1 at {version.threshold:.6g} may not leave: 1 check failed"
    said = checks(report)["ship query elsewhere"]
    assert said["text"] == (
        "11,230 sessions, 785 hosts of 11,714 positive sessions on 859 hosts; at most 100 sessions, 10 hosts; "
        "precision 4.1 % if all of them are wrong; too much: 11,230 sessions, at most 100; 785 hosts, at most 10"
    )
    assert report.report["traffic"]["positives"]["sessions"] == 11_714
    rows = {"q": said["asked"], "under_test": str(version)}
    assert "11,230" in engineer_client.get(reverse("labeling:hunt-counts"), rows).text
    page = engineer_client.get(reverse("models_registry:gate", args=[report.pk])).text
    assert "11,230 sessions, 785 hosts" in page
    assert "precision 4.1 %" in page
    assert "have them labelled" in page


@pytest.mark.django_db
def test_telegram_passes_at_one_ceiling_and_fails_at_two_others(tmp_path, settings, expert_client):
    settings.ETALON_GEO = str(hunt_scenes.owners(tmp_path))
    version = hunt_scenes.learn(tmp_path, "telegram", "Telegram", hunt_scenes.TELEGRAM_PHONE)
    hunt_scenes.gate_on_two(version)
    ingest.ingest_paths([hunt_scenes.telegram(tmp_path)], "lab")
    agreed(version, "elsewhere", NOT_THEIRS, sessions_share=0.002, hosts=20)
    report = gates.run_gate(version)
    assert report.passed, report.report
    said = checks(report)["ship query elsewhere"]
    assert said["text"].startswith("37 sessions, 15 hosts of 21,038 positive sessions on 256 hosts; at most 0.2 % of ")
    rows = expert_client.get(reverse("labeling:hunt-counts"), {"q": said["asked"], "under_test": str(version)}).text
    assert "37" in rows
    queue = reverse("labeling:send-hunt")
    sent = expert_client.get(queue, {"q": said["asked"], "under_test": str(version), "detector": "telegram"}).text
    assert "<dt>sessions</dt><dd>37</dd>" in sent
    agreed(version, "elsewhere", NOT_THEIRS, sessions_share=0.001, hosts=20)
    fails = gates.run_gate(version)
    assert "too much: 0.176 % of sessions, at most 0.1 %" in checks(fails)["ship query elsewhere"]["text"]
    assert not gates.is_current(report)
    agreed(version, "elsewhere", NOT_THEIRS, sessions_share=0.002, hosts=10)
    assert "too much: 15 hosts, at most 10" in checks(gates.run_gate(version))["ship query elsewhere"]["text"]
    terms = {"filter": NOT_THEIRS, "ceilings": {"sessions": 0, "hosts": 0}}
    excepted = terms | {"exceptions": [{"filter": "dst.ip == 192.0.2.99", "reason": "their proxy"}]}
    make_ship_query(detector=version.detector, terms=excepted, number=9)
    assert gates.run_gate(version).passed


@pytest.mark.django_db
def test_a_query_that_cannot_be_asked_blocks():
    version = make_version()
    agreed(version, "elsewhere", "dst.port == 443", sessions=0, hosts=0)
    [found] = ship_findings(version, 0.5, None)
    assert (found.findings, found.error) == (None, "no traffic is stored that it could be asked of")


# ---- pages


@pytest.mark.django_db
def test_a_hunt_becomes_a_ship_query_on_a_page(engineer_client, senior_client):
    detector = make_detector()
    address = reverse("models_registry:propose-ship-query")
    form = engineer_client.get(address, {"filter": STRICT.filter}).text
    assert "shop.example" in form
    told = {"detector": detector.name, "name": "elsewhere", "filter": STRICT.filter, "sessions": "0",
            "hosts_percent": "0.5", "of": "positives", "exceptions": 'dst.dns == "a" # our own',
            "reason": "as agreed"}  # fmt: skip
    assert engineer_client.post(address, told).status_code == 302
    proposal = ship_queries.proposals(detector).get()
    assert proposal.read == Terms(STRICT.filter, Ceilings(sessions=0, hosts_share=0.005),
                                  (Exemption('dst.dns == "a"', "our own"),))  # fmt: skip
    listed = reverse("models_registry:ship-queries")
    assert "elsewhere" in senior_client.get(listed).text
    senior_client.post(reverse("models_registry:approve-ship-query", args=[proposal.pk]))
    assert "0.5 % of hosts" in engineer_client.get(listed).text
    changing = engineer_client.get(address, {"detector": detector.name, "query": "elsewhere"}).text
    assert "our own" in changing
    engineer_client.post(address, told | {"withdraw": "1", "reason": "no longer sold"})
    assert ship_queries.proposals(detector).get().terms is None


@pytest.mark.django_db
def test_the_page_says_what_is_wrong_with_terms_and_nobody_agrees_to_his_own(engineer, engineer_client):
    detector = make_detector()
    told = {"detector": detector.name, "name": "elsewhere", "filter": "dst.port == 1", "sessions": "0", "of": "traffic"}
    refused = engineer_client.post(reverse("models_registry:propose-ship-query"), told)
    assert refused.status_code == 400
    assert "a ceiling in hosts is missing" in refused.text
    proposal = make_ship_query_change(detector=detector, by=engineer, role=engineer.role)
    engineer_client.post(reverse("models_registry:approve-ship-query", args=[proposal.pk]))
    assert not ShipQueryDecision.objects.exists()
    engineer_client.post(reverse("models_registry:decline-ship-query", args=[proposal.pk]), {"reason": "too early"})
    assert ShipQueryDecision.objects.get().outcome == "declined"
