"""Statements written once give and write the same rows as the ORM does."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.urls import reverse

from accounts import prepared
from accounts.prepared import ByKey
from labeling.models import Item, Label
from labeling.services import claims, labels
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
MOST_QUERIES = 9  # of an answer that carries the next item, BEGIN and COMMIT not counted


def same(found, expected):
    for field in expected._meta.concrete_fields:
        if field.attname not in expected.get_deferred_fields():
            assert getattr(found, field.attname) == getattr(expected, field.attname), field


@pytest.mark.parametrize("is_held", [True, False])
def test_a_prepared_row_is_the_row(item, expert, is_held):
    if is_held:
        assert claims.claim(item, expert)
    for _ in range(2):  # written, then used again
        found, expected = claims._SHOWN.get(item.pk), claims.items().get(pk=item.pk)
        for one, other in (
            (found, expected),
            (found.record, expected.record),
            (found.queue.detector, expected.queue.detector),
            (found.version.detector, expected.version.detector),
        ):
            same(one, other)
        assert found.claimed_by == expected.claimed_by == (expert if is_held else None)
        assert found.record.examples == expected.record.examples


def test_a_prepared_row_is_locked_inside_a_transaction(item):
    with transaction.atomic():
        same(labels._LOCKED.get(item.pk), item)


def test_what_is_not_there_is_said(db):
    with pytest.raises(Item.DoesNotExist):
        claims._SHOWN.get(12345)


def test_a_query_with_words_of_its_own_is_refused(item):
    with pytest.raises(TypeError):
        ByKey(lambda: Item.objects.filter(title="x")).get(item.pk)


def test_a_row_that_is_written_is_the_row(item, expert):
    written = labels._NEW(
        item=item,
        detector_id=item.detector_id,
        subject_kind=item.subject_kind,
        subject_key=item.subject_key,
        expert=expert,
        answer="positive",
        note="a note with 100 % and \u2400",
        milliseconds=1200,
    )
    same(written, Label.objects.get())
    with pytest.raises(TypeError):
        written.save()  # it is a row of history like any other


@pytest.fixture
def fresh(monkeypatch):
    """A connection that has planned nothing yet."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite keeps what it has parsed by itself")
    made = connection.copy()
    monkeypatch.setattr(prepared, "connection", made)
    yield made
    made.close()


def planned(fresh):
    for pk in (12345, 12346):
        with pytest.raises(Item.DoesNotExist):
            claims._SHOWN.get(pk)
    with fresh.cursor() as cursor:
        for _ in range(2):
            cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_a_statement_is_planned_once_a_connection_and_others_are_not_kept(fresh):
    (kept,) = planned(fresh)
    assert "labeling_itemrecord" in kept
    assert fresh.connection.prepare_threshold is None


def test_behind_a_pooler_nothing_is_planned_ahead(fresh):
    fresh.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
    assert planned(fresh) == []


def test_an_answer_asks_the_database_little(queue, held, expert_client, django_assert_max_num_queries):
    following = make_item(queue)
    with django_assert_max_num_queries(MOST_QUERIES + 4):  # a test's transaction adds its savepoints
        answered = expert_client.post(
            reverse("labeling:submit-label", args=[held.pk]), {"answer": "positive"}, headers={"HX-Request": "true"}
        )
    assert answered.context["item"] == following
