"""The builder's comparison: what customers would hear otherwise on last week's traffic, counted by a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Job, State
from jobs.services import jobs
from models_registry.models import Bundle, Version
from models_registry.services import builder, comparisons, releases
from tests.factories import make_bundle, make_customer, make_version
from tests.feeds import make_publication, make_real_bundle, make_release
from tests.labeling.conftest import eve_record, make_scores

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(make_segment: Any) -> tuple[Version, Version]:
    """A version in force and the next one: two looks won (one on three hosts), one lost, one in common."""
    old = make_version(threshold=0.7, stage="active")
    new = make_version(detector=old.detector, threshold=0.7, stage="candidate")
    shop = [eve_record(number) for number in range(4)]
    names = ("alpha", "beta", "gamma")
    others = [eve_record(10 + n, http={"hostname": f"{name}.example"}) for n, name in enumerate(names)]
    segment = make_segment([*shop, *others])
    make_scores(old, segment, {3: 3.0, 6: 2.0})
    make_scores(new, segment, {0: 2.0, 1: 2.5, 2: 2.0, 3: 3.0, 4: 4.0})
    make_publication(bundle=make_real_bundle(0.7, version=old, is_silent=False))
    return old, new


def config(version: Version, threshold: float = 0.7, *, is_silent: bool = False) -> str:
    return builder.config_of([builder.choice(version, threshold, is_silent)])


def compared(difference: comparisons.Difference, engineer: Any) -> dict[str, Any]:
    job = comparisons.start(difference, engineer)
    assert job is not None
    jobs.run(job.pk, comparisons.compare)
    job.refresh_from_db()
    assert (job.state, job.error) == (State.DONE, "")
    assert comparisons.last(difference) == job
    [turn] = job.result["turns"]
    return turn


def test_what_flips_is_counted_in_sessions_and_hosts_and_by_look(versions: Any, engineer: Any) -> None:
    old, new = versions
    turn = compared(comparisons.of_config(config(new)), engineer)
    assert (turn["before"], turn["after"]) == (f"{old} ≥ 0.7", f"{new} ≥ 0.7")
    assert [(turn[way]["sessions"], turn[way]["hosts"]) for way in ("gained", "lost")] == [(4, 4), (1, 1)]
    groups = [(group["title"].split("/")[0], group["sessions"]) for group in turn["gained"]["groups"]]
    assert groups == [("GET example.com", 3), ("GET alpha.example", 1)]
    assert round(turn["gained"]["groups"][0]["score"], 3) == 0.924


def test_another_threshold_of_the_same_version_and_silence_are_told_alike(versions: Any, engineer: Any) -> None:
    old, _new = versions
    turn = compared(comparisons.of_config(config(old, 0.9)), engineer)
    assert (turn["gained"]["sessions"], turn["lost"]["sessions"]) == (0, 1)
    turn = compared(comparisons.of_config(config(old, is_silent=True)), engineer)
    assert (turn["after"], turn["gained"]["sessions"], turn["lost"]["sessions"]) == ("–", 0, 2)


def test_what_speaks_alike_needs_no_comparison(versions: Any, engineer: Any) -> None:
    old, _new = versions
    assert comparisons.start(comparisons.of_config(config(old)), engineer) is None


def test_the_page_asks_waits_for_nothing_and_shows_what_was_found(
    versions: Any, engineer: Any, client: Client, tmp_path: Path
) -> None:
    client.force_login(engineer)
    text = config(versions[1])
    page = client.post(reverse("models_registry:check-config"), {"config": text}).content.decode()
    assert reverse("models_registry:compare-bundle") in page
    asked = client.post(reverse("models_registry:compare-bundle"), {"config": text}).content.decode()
    job = comparisons.last(comparisons.of_config(text))
    assert job is not None and reverse("models_registry:comparison", args=[job.pk]) in asked
    jobs.run(job.pk, comparisons.compare)
    shown = client.get(reverse("models_registry:comparison", args=[job.pk])).content.decode()
    assert "GET gamma.example" in shown and "hx-trigger" not in shown
    assert client.post(reverse("models_registry:compare-bundle"), {"config": "models: x"}).status_code == 400


def test_two_bundles_are_compared_as_they_are(versions: Any, engineer: Any) -> None:
    old, new = versions
    own = make_real_bundle(0.9, version=old, is_silent=False)
    later = make_real_bundle(0.6, version=new, is_silent=False)
    turn = compared(comparisons.of_bundles(own, later), engineer)
    assert (turn["before"], turn["after"]) == (f"{old} ≥ 0.9", f"{new} ≥ 0.6")
    assert (turn["gained"]["sessions"], turn["lost"]["sessions"]) == (4, 0)
    assert not comparisons.of_bundles(own, own).run_key


def two_bundles(versions: Any) -> list[Bundle]:
    return [make_real_bundle(at, version=one, is_silent=False) for at, one in zip((0.8, 0.6), versions, strict=True)]


def test_who_signs_sees_what_a_release_changes_for_those_who_get_it(versions: Any, senior_client: Client) -> None:
    first, later = two_bundles(versions)
    make_publication(bundle=first, channel="canary")
    release = make_release(bundle=later, channel="canary")
    page = senior_client.get(reverse("models_registry:release", args=[release.pk])).content.decode()
    beside = reverse("models_registry:compare-bundles", args=[first.pk, later.pk])
    assert f'<th scope="row">{versions[1]}</th><td>–</td><td>≥ 0.6 · loud</td>' in page and f'hx-get="{beside}"' in page
    asked = senior_client.post(beside).content.decode()
    assert f'hx-get="{beside}" hx-trigger="every 1s"' in asked
    [job] = Job.objects.filter(task=comparisons.TASK)
    jobs.run(job.pk, comparisons.compare)
    shown = senior_client.get(beside).content.decode()
    assert "GET gamma.example" in shown and f'hx-post="{beside}"' in shown and "hx-trigger" not in shown


def test_it_is_compared_with_what_those_have_who_get_it(versions: Any) -> None:
    first, later = two_bundles(versions)
    customer = make_customer()
    make_publication(bundle=first, channel="customer", customer=customer)
    assert releases.replaced_by(make_release(bundle=later, channel="customer", customer=customer)) == first
    assert releases.replaced_by(make_release(bundle=later, channel="canary")) is None  # the first there
    assert releases.replaced_by(make_release(bundle=first, channel="customer", customer=customer)) is None
    way_back = make_release(takes_back="http", customer=customer)
    way_back.bundle = None
    assert releases.replaced_by(way_back) is None


def test_bundles_of_two_protocols_have_no_comparison(senior_client: Client) -> None:
    http, tls = (make_bundle(metadata={"contract": {"name": name}}) for name in ("http", "tls"))
    assert senior_client.get(reverse("models_registry:compare-bundles", args=[http.pk, tls.pk])).status_code == 404
    assert senior_client.post(reverse("models_registry:compare-bundles", args=[http.pk, tls.pk])).status_code == 404
    assert senior_client.get(reverse("models_registry:compare-bundles", args=[http.pk, http.pk])).status_code == 200
