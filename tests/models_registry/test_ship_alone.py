"""One person tries to ship alone, in every way that the pages and the API offer. Each is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from securesystemslib.signer import CryptoSigner

from accounts.models import User
from accounts.roles import Role
from accounts.services import tokens, users
from models_registry.models import (
    Bundle,
    BundleEntry,
    Detector,
    DetectorProposal,
    Publication,
    Release,
    StageProposal,
    Version,
)
from models_registry.services import dials, feed, releases, stages
from models_registry.services import feed_metadata as tuf
from models_registry.services.releases import ReleaseRefused
from tests.factories import (
    SOME_TIME,
    make_bundle,
    make_complaint,
    make_gate_report,
    make_ship_query_change,
    make_threshold_proposal,
    make_user,
    make_version,
)
from tests.feeds import install_root, make_approver, make_feed, make_real_bundle, signatures
from tests.models_registry.staging import gated
from triage.models import State
from triage.services import states

pytestmark = pytest.mark.django_db


@pytest.fixture
def silent() -> Version:
    """A version with everything a release needs but the second person."""
    version = make_version()
    gated(version)
    return version


def press(client: Client, name: str, *args: Any, **fields: Any) -> str:
    return client.post(reverse(f"models_registry:{name}", args=args), fields, follow=True).text


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def is_silent(version: Version) -> bool:
    return Version.objects.get(pk=version.pk).stage == "silent"


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.SENIOR])
def test_by_approving_what_one_proposed(silent: Version, role: Role) -> None:
    alone = signed_in(make_user(role))
    press(alone, "propose-stage", silent.detector.name, silent.number, stage="active")
    assert "Nobody approves his own proposal" in press(alone, "approve-stage", StageProposal.objects.get().pk)
    assert is_silent(silent)


def test_by_an_address_typed_instead_of_a_button(silent: Version, engineer_client: Client) -> None:
    press(engineer_client, "propose-stage", silent.detector.name, silent.number, stage="active")
    assert "Approve</button>" not in engineer_client.get("/models/").text
    address = reverse("models_registry:approve-stage", args=[StageProposal.objects.get().pk])
    for method in (engineer_client.get, engineer_client.put, engineer_client.patch):
        assert method(address).status_code == 405
    assert is_silent(silent)


def test_by_a_second_account_of_ones_own_role(silent: Version, engineer: User) -> None:
    proposal = stages.propose(silent, "active", engineer)
    other = signed_in(make_user(Role.ENGINEER))
    assert "the second person is senior expert" in press(other, "approve-stage", proposal.pk)
    assert is_silent(silent)


def test_by_getting_the_other_role_after_proposing(silent: Version, engineer: User) -> None:
    proposal = stages.propose(silent, "active", engineer)
    users.change_role(engineer, Role.SENIOR, by=make_user(Role.ADMINISTRATOR))
    assert "Nobody approves his own" in press(signed_in(User.objects.get(pk=engineer.pk)), "approve-stage", proposal.pk)
    assert is_silent(silent)


def test_by_giving_oneself_the_other_role(administrator: User) -> None:
    alone = signed_in(administrator)
    alone.post(reverse("accounts:change-role", args=[administrator.pk]), {"role": "senior"})
    assert User.objects.get(pk=administrator.pk).role == Role.ADMINISTRATOR


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.AUDITOR, Role.EXPERT, Role.SUPPORT])
def test_by_a_role_that_is_no_partner(silent: Version, engineer: User, role: Role) -> None:
    proposal = stages.propose(silent, "active", engineer)
    alone = signed_in(make_user(role))
    for name, args in (
        ("propose-stage", [silent.detector.name, silent.number]),
        ("approve-stage", [proposal.pk]),
        ("roll-back", [silent.detector.name, silent.number]),
    ):
        assert alone.post(reverse(f"models_registry:{name}", args=args), {"stage": "active"}).status_code == 403
    assert is_silent(silent)


def test_by_a_script_with_ones_own_token(silent: Version, engineer: User, senior: User) -> None:
    """A token of the second person's is no second person: pages that approve do not look at tokens."""
    proposal = stages.propose(silent, "active", engineer)
    script = Client(headers={"Authorization": f"Bearer {tokens.make_own_token(senior, 'script')[1]}"})
    address = reverse("models_registry:approve-stage", args=[proposal.pk])
    answer = script.post(address)
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("account_login"))
    assert is_silent(silent)


def test_by_the_api_which_approves_nothing(silent: Version, engineer: User) -> None:
    script = Client(headers={"Authorization": f"Bearer {tokens.make_own_token(engineer, 'script')[1]}"})
    paths = script.get("/api/v1/schema/").json()["paths"]
    assert not [path for path in paths if "approve" in path or "stage" in path or "publish" in path]
    name = silent.detector.name
    answer = script.post(f"/api/v1/detectors/{name}/proposals/", {"false_positive_cost": 1}, "application/json")
    assert answer.status_code == 201
    assert Detector.objects.get().false_positive_cost == 10.0  # proposed, not in force


def test_by_making_the_gate_softer_first(silent: Version, engineer_client: Client, engineer: User) -> None:
    """Another price or other rules change what a gate asks: they take two as well, and unseat the report."""
    name = silent.detector.name
    mapping = {"categories": "Attack", "false_positive_cost": "1", "reason": "cheaper"}
    press(engineer_client, "change-detector", name, **mapping)
    told = press(engineer_client, "approve-change", DetectorProposal.objects.get().pk)
    assert "Nobody approves his own proposal" in told
    assert Detector.objects.get().false_positive_cost == 10.0


def test_by_a_gate_that_failed(engineer: User, senior: User) -> None:
    version = make_version()
    gated(version, passed=False)
    told = press(signed_in(engineer), "propose-stage", version.detector.name, version.number, stage="active")
    assert "may not leave" in told
    assert not StageProposal.objects.exists()


@pytest.mark.parametrize("way", ["the page", "the command"])
def test_by_building_loud_at_a_threshold_of_ones_own(
    silent: Version, engineer_client: Client, tmp_path: Path, way: str
) -> None:
    name, other = silent.detector.name, silent.threshold + 0.01
    config = f'models:\n- registry_name: {name}\n  version: 1\n  threshold: {other}\n  is_silent: "false"\n'
    if way == "the page":
        told = press(engineer_client, "build-bundle", config=config)
    else:
        (written := tmp_path / "build_config.yml").write_text(config)
        with pytest.raises(CommandError) as refused:
            call_command("build_bundle", written, out=str(tmp_path / "bundle.onnx"))
        told = str(refused.value)
    assert f"agreed on {silent.threshold}, not on this threshold" in told
    assert not Bundle.objects.exists()


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.SENIOR])
def test_by_agreeing_with_oneself_on_a_threshold(silent: Version, role: Role) -> None:
    alone = make_user(role)
    asked = make_threshold_proposal(version=silent, threshold=0.1, by=alone, role=alone.role)
    answer = signed_in(alone).post(
        reverse("labeling:decide-threshold", args=[asked.pk]), {"outcome": "approved"}, follow=True
    )
    assert "Nobody approves his own proposal" in answer.text
    assert dials.agreed(silent) == [silent.threshold]


def test_by_a_bundle_that_was_built_before_anybody_was_asked_about_its_threshold(
    silent: Version, engineer: User, senior: User
) -> None:
    stages.approve(stages.propose(silent, "active", engineer), senior)
    report = make_gate_report(version=silent, threshold=0.1, snapshot=silent.gate_reports.get().snapshot)
    bundle = make_bundle()
    BundleEntry.objects.create(bundle=bundle, version=silent, threshold=0.1, gate_report=report, is_silent=False)
    with pytest.raises(ReleaseRefused, match="not on this threshold"):
        releases.propose(bundle, "canary", engineer)


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.SENIOR])
def test_by_agreeing_with_oneself_on_the_ceiling_of_a_ship_query(role: Role) -> None:
    alone = make_user(role)
    asked = make_ship_query_change(by=alone, role=alone.role)
    assert "Nobody approves his own proposal" in press(signed_in(alone), "approve-ship-query", asked.pk)


def test_by_signing_for_the_second_person(settings: Any, tmp_path: Path) -> None:
    """Two files from one hand: his own key again, another of his, and one that claims to be hers."""
    made = make_feed(settings, tmp_path)
    release = releases.propose(make_real_bundle(), "canary", made.engineer)
    alone, own = signed_in(made.engineer), made.signers[made.engineer.username]
    hers = made.signers[made.senior.username].public_key.keyid

    def hand_in(keyid: str, values: dict[str, str]) -> str:
        file = ContentFile(json.dumps({"keyid": keyid, "signatures": values}), "signatures.json")
        return press(alone, "sign-release", release.pk, signatures=file)

    keyid, values = signatures(release, own)
    assert "Signed." in hand_in(keyid, values)
    assert "has signed it already" in hand_in(keyid, values)
    assert "does not fit this release and this key" in hand_in(hers, values)
    made.engineer.approver_keys.update(revoked_at=timezone.now())
    make_approver(made, made.engineer)
    install_root(made)
    assert "has signed it already" in hand_in(*signatures(release, made.signers[made.engineer.username]))
    assert not Publication.objects.exists()


def test_by_a_root_of_ones_own(settings: Any, tmp_path: Path) -> None:
    """Whoever may write to the server may not name the keys that appliances trust, nor ask for one signature only."""
    made = make_feed(settings, tmp_path)
    with pytest.raises(feed.RootRefused):
        install_root(made, CryptoSigner.generate_ed25519())
    lax = feed.prepare_root([made.root_signer.public_key], 1, SOME_TIME)
    lax.signed.roles["targets"].threshold = 1
    lax.sign(made.root_signer)
    with pytest.raises(feed.RootRefused, match="two people"):
        feed.install_root(tuf.text_of(lax).encode())


def test_by_a_stick_with_what_nobody_signed(settings: Any, tmp_path: Path) -> None:
    made = make_feed(settings, tmp_path)
    release = releases.propose(make_real_bundle(), "canary", made.engineer)
    made.sign(release, made.engineer)
    with pytest.raises(CommandError):
        call_command("export_feed", channel="canary", out=tmp_path / "stick")
    assert not list(tmp_path.glob("stick/**/*.onnx"))


def test_by_publishing_the_fix_of_a_complaint(engineer_client: Client) -> None:
    """What fixes a complaint leaves as everything does: its page proposes releases, and nothing on it publishes."""
    complaint, fix = make_complaint(), make_bundle()
    states.enter(complaint, State.CONFIRMED)
    states.enter(complaint, State.FIXED_IN_BUNDLE, bundle=fix)
    page = reverse("triage:complaint", args=[complaint.pk])
    assert engineer_client.post(f"{page}publish/").status_code == 404
    propose = reverse("models_registry:propose-release", args=[fix.pk])
    told = {"channel": "customer", "customer": complaint.customer_id}
    assert "has not been on the canary channel" in engineer_client.post(propose, told, follow=True).text
    assert not Publication.objects.exists()


def test_by_a_rollback_to_what_nobody_approved(silent: Version, engineer: User, senior: User) -> None:
    stages.approve(stages.propose(silent, "active", engineer), senior)
    newer = make_version(detector=silent.detector)
    told = press(
        signed_in(engineer), "roll-back", silent.detector.name, silent.number, reason="ship :2", to=newer.number
    )
    assert "Rolled back" in told
    assert {one.stage for one in Version.objects.all()} == {"silent"}  # nothing came in its place


def test_by_a_bundle_of_a_version_that_only_the_gate_let_out(silent: Version, engineer: User) -> None:
    bundle = make_bundle()
    entry = {"bundle": bundle, "version": silent, "gate_report": silent.gate_reports.get()}
    BundleEntry.objects.create(threshold=silent.threshold, is_silent=False, **entry)
    with pytest.raises(ReleaseRefused, match="a loud version must be active"):
        releases.propose(bundle, "canary", engineer)
    assert not Release.objects.exists()
