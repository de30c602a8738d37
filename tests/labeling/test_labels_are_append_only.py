"""Labels are never edited nor deleted, whoever tries and however."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from labeling.models import Label

pytestmark = pytest.mark.django_db


@pytest.fixture
def label(item, expert, answer):
    return answer(item, expert, "positive")


def test_a_label_cannot_be_saved_again(label):
    label.answer = "negative"
    with pytest.raises(TypeError, match="never edited"):
        label.save()


def test_a_label_cannot_be_deleted(label):
    with pytest.raises(TypeError, match="never deleted"):
        label.delete()
    with pytest.raises(TypeError, match="never deleted"):
        Label.objects.all().delete()


def test_labels_cannot_be_updated_in_bulk(label):
    with pytest.raises(TypeError, match="never edited"):
        Label.objects.update(answer="negative")
    with pytest.raises(TypeError, match="never edited"):
        Label.objects.bulk_update([label], ["answer"])


def test_the_database_refuses_to_edit_whoever_asks(label):
    with pytest.raises(DatabaseError, match="never edited"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE labeling_label SET answer = 'negative'")
    assert Label.objects.get().answer == "positive"


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite's test tables are emptied by DELETE")
def test_postgresql_refuses_to_delete(label):
    with pytest.raises(DatabaseError, match="never edited"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM labeling_label")
    assert Label.objects.exists()
