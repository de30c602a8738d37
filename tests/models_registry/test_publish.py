"""What was published to whom: the row that deadlines and feeds read, and the one way to it."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry
from accounts.roles import Role
from models_registry.models import Bundle, Publication, Release
from models_registry.services import publications
from models_registry.services.publications import NotReleased
from tests.factories import make_bundle, make_customer, make_user
from tests.feeds import make_approver_key, make_publication, make_release, make_release_signature

pytestmark = pytest.mark.django_db


def signed(bundle: Bundle, *roles: Role) -> Release:
    """Return a release that people of these roles have signed."""
    release = make_release(bundle=bundle)
    for role in roles:
        make_release_signature(release=release, key=make_approver_key(user=make_user(role)), role=role)
    return release


def test_publishing_what_is_in_force_again_changes_nothing(engineer):
    both = (Role.ENGINEER, Role.SENIOR)
    first, second = make_bundle(), make_bundle()
    made = publications.publish(signed(first, *both), engineer)
    assert publications.publish(signed(first, *both), engineer) == made
    publications.publish(signed(second, *both), engineer)
    publications.publish(signed(first, *both), engineer)  # back again: a fact of its own
    assert Publication.objects.count() == 3
    assert AuditEntry.objects.filter(action="bundle.published").count() == 3


@pytest.mark.parametrize("roles", [(), (Role.ENGINEER,), (Role.SENIOR,), (Role.ENGINEER, Role.ENGINEER)])
def test_nothing_is_published_that_two_roles_have_not_signed(engineer, roles):
    with pytest.raises(NotReleased):
        publications.publish(signed(make_bundle(), *roles), engineer)
    assert not Publication.objects.exists()


def test_a_customer_hears_what_all_hear_and_what_is_his_alone():
    one, other = make_customer(), make_customer()
    for_all, for_one = make_bundle(), make_bundle()
    assert publications.in_force(one) is None
    make_publication(bundle=for_all)
    make_publication(bundle=for_one, channel="customer", customer=one)
    assert publications.in_force(one) == for_one
    assert publications.in_force(other) == for_all


def test_a_bundle_of_his_own_stays_in_force_whatever_the_channel_gets():
    one, other = make_customer(), make_customer()
    tls, own, later = (make_bundle(metadata={"contract": {"name": name}}) for name in ("tls", "http", "http"))
    make_publication(bundle=tls)
    make_publication(bundle=own, channel="customer", customer=one)
    make_publication(bundle=later)
    assert publications.in_force(one, "http") == own  # appliances look into the customer's own role first
    assert publications.in_force(other, "http") == later
    assert publications.in_force(one, "tls") == tls
