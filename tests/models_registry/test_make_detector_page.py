"""A detector is made on a page, with a look at what its rules would mean."""

from __future__ import annotations

import pytest
from django.urls import reverse

from models_registry.models import Detector
from tests.models_registry.loop import make_loop
from traffic.services.rule_sets import add_rule_set

pytestmark = pytest.mark.django_db
URL = "/models/new/"
FORM = {
    "name": "ktalk",
    "protocol": "tls",
    "positive_class": "ktalk",
    "positive_key": "y",
    "negative_class": "other",
    "negative_key": "o",
    "false_positive_cost": "50",
    "name_patterns": "ET APP ktalk *",
    "exclude_name_patterns": "SURICATA *",
    "hour": "3",
    "weekday": "sunday",
    "labels": "20",
    "days": "14",
}


def test_the_form_makes_a_detector(engineer, engineer_client):
    assert "<form" in engineer_client.get(URL).text
    answer = engineer_client.post(URL, FORM)
    assert answer.status_code == 302, answer.text
    detector = Detector.objects.get()
    assert (detector.protocol, detector.positive_class, detector.false_positive_cost) == ("tls", "ktalk", 50)
    assert (detector.retrain_hour, detector.retrain_weekday) == (3, "sunday")
    assert detector.mapping.mapping["name_patterns"] == ["ET APP ktalk *"]
    assert detector.mapping.made_by == engineer


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "no spaces"}, "slug"),
        ({"name": "new"}, "address of ours"),
        ({"protocol": "smtp"}, "smtp"),
        ({"positive_key": "o"}, "keys"),
        ({"classtypes": "nonsense"}, "nonsense"),
        ({"hour": "24"}, "23"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(engineer_client, wrong, told):
    answer = engineer_client.post(URL, FORM | wrong)
    assert answer.status_code == 400
    assert told in answer.text
    assert not Detector.objects.exists()


def test_a_name_is_taken_once(engineer_client):
    engineer_client.post(URL, FORM)
    assert engineer_client.post(URL, FORM).status_code == 400


def test_the_preview_counts_rules_and_hits(engineer_client, tmp_path):
    make_loop(tmp_path)
    rules = tmp_path / "my.rules"
    rules.write_text('alert http any any -> any any (msg:"ET WEB_SERVER Attack"; sid:1; rev:1;)\n')
    add_rule_set(rules)
    url = reverse("models_registry:preview-rules")
    page = engineer_client.post(url, {"protocol": "http", "name_patterns": "ET WEB_SERVER *"}).text
    assert "<strong>1</strong> of 1 rule speaks" in page
    assert "2000001" in page and "<strong>0</strong> hits" not in page
    page = engineer_client.post(url, {"protocol": "http", "name_patterns": "ET SCAN *"}).text
    assert "<strong>0</strong> of 1 rule speaks" in page
    assert "<strong>0</strong> hits" in page and "2000001" in page  # among those that do not speak
    assert "expected" in engineer_client.post(url, {"protocol": "http", "sids": "x"}).text.lower()


def test_the_preview_follows_the_keys(sign_in, engineer, accessible):
    tab = sign_in(engineer)
    tab.goto(URL)
    tab.locator("#rules-preview:has-text('hits of the class')").wait_for()
    tab.fill("textarea[name=classtypes]", "nonsense")
    tab.locator("#rules-preview:has-text('nonsense')").wait_for()
    accessible(tab)
