"""An emergency: one person takes the active version out at once, another one looks at it afterwards."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.roles import Role
from models_registry.models import LedgerEntry, Rollback, Version
from models_registry.services import ledger_check, rollbacks, stages
from models_registry.services.rollbacks import RollbackRefused, review, roll_back
from tests.factories import make_rollback, make_user, make_version
from tests.models_registry.staging import gated

pytestmark = pytest.mark.django_db


def stage_of(version: Version) -> str:
    return Version.objects.get(pk=version.pk).stage


@pytest.fixture
def two_releases(engineer: User, senior: User) -> tuple[Version, Version]:
    """:1 was active, then :2 took its place; two people agreed each time."""
    one = make_version()
    two = make_version(detector=one.detector)
    snapshot = gated(one).snapshot
    gated(two, snapshot=snapshot)
    for version in (one, two):
        stages.approve(stages.propose(version, "active", engineer), senior)
    return one, two


def test_the_version_before_is_active_again_at_once(two_releases: tuple[Version, Version], engineer: User) -> None:
    one, two = two_releases
    made = roll_back(two, engineer, "it flags the whole intranet")
    assert (stage_of(one), stage_of(two)) == ("active", "silent")
    assert (made.change.version, made.restored.version) == (two, one)
    assert list(rollbacks.pending()) == [made]
    assert [entry.kind for entry in LedgerEntry.objects.all()[:3]] == ["rollback", "stage", "stage"]
    assert ledger_check.verify(files=False).findings == []


def test_where_nothing_was_before_nothing_speaks_then(engineer: User, senior: User) -> None:
    only = make_version()
    gated(only)
    stages.approve(stages.propose(only, "active", engineer), senior)
    assert roll_back(only, senior, "broken").restored is None
    assert stage_of(only) == "silent"


def test_it_leads_back_only_never_forth_again(two_releases: tuple[Version, Version], engineer: User) -> None:
    """Else one person could ship by rolling back twice."""
    one, two = two_releases
    roll_back(two, engineer, "it flags the whole intranet")
    assert roll_back(one, engineer, "and this one too").restored is None
    assert (stage_of(one), stage_of(two)) == ("silent", "silent")


@pytest.mark.parametrize("stage", ["candidate", "silent", "retired"])
def test_only_an_active_version_is_rolled_back(stage: str, engineer: User) -> None:
    with pytest.raises(RollbackRefused, match="only an active version"):
        roll_back(make_version(stage=stage), engineer, "why not")


def test_it_takes_a_reason_and_one_of_two_roles(engineer: User) -> None:
    version = make_version(stage="active")
    with pytest.raises(RollbackRefused, match="Say why"):
        roll_back(version, engineer, " ")
    for role in (Role.EXPERT, Role.ADMINISTRATOR, Role.AUDITOR, Role.SUPPORT):
        with pytest.raises(RollbackRefused, match="engineer and a senior"):
            roll_back(version, make_user(role), "broken")
    assert stage_of(version) == "active"


def test_the_other_role_looks_at_it_once(senior: User) -> None:
    made = make_rollback()
    with pytest.raises(RollbackRefused, match="Nobody approves his own"):
        review(made, made.by, "agreed")
    with pytest.raises(RollbackRefused, match="second person is senior"):
        review(made, make_user(Role.ENGINEER), "agreed")
    with pytest.raises(RollbackRefused, match="Say why you object"):
        review(made, senior, "objected")
    with pytest.raises(RollbackRefused, match="Agree or object"):
        review(made, senior, "perhaps")
    review(made, senior, "objected", "the precision was fine")
    with pytest.raises(RollbackRefused, match="has looked at it already"):
        review(made, make_user(Role.SENIOR), "agreed")
    assert not rollbacks.pending().exists()


def test_the_button_and_the_duty_on_home_and_on_the_page(
    two_releases: tuple[Version, Version], engineer_client: Client, senior_client: Client
) -> None:
    one, two = two_releases
    page = reverse("models_registry:version", args=[two.detector.name, two.number])
    assert f"Roll back to {one} now" in engineer_client.get(page).text
    url = reverse("models_registry:roll-back", args=[two.detector.name, two.number])
    told = engineer_client.post(url, {"reason": "it flags the whole intranet"}, follow=True).text
    assert "It waits for a look by: senior expert." in told
    assert "It was right" not in told
    theirs = senior_client.get(page).text
    assert "waits for a look" in theirs and "It was right" in theirs
    made = Rollback.objects.get()
    answer = senior_client.post(
        reverse("models_registry:review-rollback", args=[made.pk]), {"outcome": "agreed"}, follow=True
    )
    assert "waits for a look" not in answer.text


def test_home_names_the_duty(engineer: User, senior_client: Client) -> None:
    from tests.factories import make_segment

    make_segment()
    version = make_version(stage="active")
    roll_back(version, engineer, "broken")
    assert f"{version} was rolled back by {engineer}: it waits for a look." in senior_client.get("/").text
