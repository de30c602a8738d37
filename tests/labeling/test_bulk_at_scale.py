"""A bulk verdict for ten thousand items is given, contested and undone in parts: nobody who answers waits for it."""

from __future__ import annotations

import sys
import time

import pytest
from django.db import connection

from labeling.models import BulkVerdict, Item, ItemRecord, Label
from labeling.services import bulk, bulk_previews, groups, labels
from labeling.services.details import Given
from labeling.services.filters import EVERYTHING
from tests import factories
from tests.factories import make_session_item

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ITEMS = 10_000
LONGEST = 1.0  # seconds of the processor in one transaction; some 0.1


@pytest.fixture
def timed(monkeypatch):
    """Note how long each part of the three works kept its thread's processor: SQLite works in it."""
    taken: dict[str, list[float]] = {}

    def watch(module, name):
        plain = getattr(module, name)

        def watched(*args):
            began = time.thread_time()
            try:
                return plain(*args)
            finally:
                taken.setdefault(name, []).append(time.thread_time() - began)

        monkeypatch.setattr(module, name, watched)

    for module, name in ((bulk, "_give_some"), (groups, "_contest_some"), (bulk, "_take_back_some")):
        watch(module, name)
    return taken


def test_no_part_holds_the_lock_for_long(expert, answer, run_jobs, timed, capsys):
    queue = factories.make_queue()
    first = make_session_item(queue)
    fields = {
        field.attname: getattr(first, field.attname)
        for field in Item._meta.concrete_fields
        if not field.generated and field.attname not in ("id", "fingerprint", "subject_key")
    }
    others = (
        Item(**fields, fingerprint=f"e{number:063x}", subject_key=f"core-1|{number}|0|1") for number in range(1, ITEMS)
    )
    made = Item.objects.bulk_create(others, batch_size=500)
    ItemRecord.objects.bulk_create([ItemRecord(item=item, row="{}", raw="{}") for item in made], batch_size=500)
    shown = bulk_previews.preview(queue, EVERYTHING, expert)
    begun = bulk.start(queue, EVERYTHING, expert, Given("positive", note="drill"), digest=shown.digest)
    run_jobs()
    given = BulkVerdict.objects.get(pk=begun.pk)
    assert given.applied == ITEMS - len(given.checks)
    answer(Item.objects.get(pk=given.checks[0]), factories.make_user(), "negative")
    assert groups.collect_checks() == 1
    assert Item.objects.filter(state="conflict").count() == given.applied + 1
    bulk.undo(given, expert)
    run_jobs()
    assert Label.objects.current().count() == 1
    told = [
        f"{connection.vendor} {name}: {len(parts)} parts, {sum(parts):.1f} s in all, longest {max(parts):.3f} s"
        for name, parts in timed.items()
    ]
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *told, ""]))
    assert min(len(parts) for parts in timed.values()) >= 20
    assert max(max(parts) for parts in timed.values()) < LONGEST
    assert labels.answered_today(expert) == 0
