"""What other expert systems said about a session, on its labelling page: from its rows, then from the item's copy."""

from __future__ import annotations

import pytest
from django.utils import timezone

from detection.sessions import OUTSIDE_SID, TRANSACTION
from labeling.evidence import Evidence
from labeling.models import Item, Queue
from tests import factories
from traffic.models import OutsideHit

pytestmark = pytest.mark.django_db


def test_the_copy_tells_when_the_rows_are_forgotten(queue: Queue) -> None:
    hit = dict.fromkeys(("gid", "rev", "severity", "action"))
    hit |= {"sid": OUTSIDE_SID, "signature": "942100 SQL injection", "category": "waf", "scope": TRANSACTION}
    item = factories.make_session_item(queue, factories.make_row(hits=[hit]))
    now = timezone.now()
    told = {"session_key": item.subject_key, "sensor": "core-1", "flow_id": 1, "start": 1, "at": now}
    OutsideHit.objects.create(system="waf", rule_id="942100", rule_name="SQL injection", **told)
    shown = evidence(item)
    assert (len(shown.outside_hits), len(shown.hits)) == (1, 0)  # once
    OutsideHit.objects.all().delete()
    shown = evidence(item)
    assert [hit["signature"] for hit in shown.hits] == ["942100 SQL injection"]
    assert not shown.outside_hits


def evidence(item: Item) -> Evidence:
    return Evidence(Item.objects.select_related("record", "version__detector").get(pk=item.pk))
