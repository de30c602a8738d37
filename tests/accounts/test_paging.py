"""Lists that are paged by key."""

import pytest

from accounts import paging
from accounts.models import User
from accounts.roles import Role
from tests import factories


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 2, 3, 5])
def test_page_after_page_shows_every_row_once(count):
    made = [factories.make_user(Role.EXPERT).pk for _ in range(count)]
    seen, before = [], None
    while before != "":
        rows, before = paging.page(User.objects.order_by("-pk"), before, 2)
        seen += [row.pk for row in rows]
        assert len(seen) <= count
    assert seen == made[::-1]


@pytest.mark.django_db
def test_nonsense_asks_for_the_first_page():
    made = factories.make_user(Role.EXPERT)
    for nonsense in ("", "x", "-1", "1.0", "²", "9" * 19, "9" * 5000):
        assert paging.page(User.objects.order_by("-pk"), nonsense, 2) == ([made], "")


def test_a_key_is_a_number_that_both_databases_can_compare():
    assert paging.key_of("12") == 12
    assert paging.key_of("9" * 18) == 999_999_999_999_999_999
    assert [paging.key_of(text) for text in (None, "", "٣", "0", "9" * 19, "9" * 5000)] == [0] * 6
