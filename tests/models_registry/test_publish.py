"""What was published to whom: the row that deadlines and feeds read."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry
from models_registry.models import Publication
from models_registry.services import publications
from tests.factories import make_bundle, make_customer

pytestmark = pytest.mark.django_db


def test_publishing_what_is_in_force_again_changes_nothing(engineer):
    first, second = make_bundle(), make_bundle()
    made = publications.publish(first, by=engineer)
    assert publications.publish(first, by=engineer) == made
    publications.publish(second, by=engineer)
    publications.publish(first, by=engineer)  # back again: a fact of its own
    assert Publication.objects.count() == 3
    assert AuditEntry.objects.filter(action="bundle.published").count() == 3


def test_a_customer_hears_what_all_hear_and_what_is_his_alone():
    one, other = make_customer(), make_customer()
    for_all, for_one = make_bundle(), make_bundle()
    assert publications.in_force(one) is None
    publications.publish(for_all)
    publications.publish(for_one, one)
    assert publications.in_force(one) == for_one
    assert publications.in_force(other) == for_all
