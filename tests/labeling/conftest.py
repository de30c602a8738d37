"""What tests of the workshop share: session rows, and a queue with items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labeling.models import Item, Queue
from labeling.services import claims
from tests import factories
from tests.factories import make_session_item


@pytest.fixture
def queue(db: None) -> Queue:
    return factories.make_queue()


@pytest.fixture
def item(queue: Queue) -> Item:
    return make_session_item(queue)


@pytest.fixture
def held(item: Item, expert: Any) -> Item:
    """An item that `expert` holds."""
    assert claims.claim(item, expert)
    return claims.items().get(pk=item.pk)


@pytest.fixture
def answer() -> Callable[..., Any]:
    """Claim an item for an expert and answer it."""
    from labeling.services import labels

    def answered(item: Item, by: Any, answer: str, **details: Any) -> Any:
        assert claims.claim(item, by)
        return labels.submit(item, by, answer, **details)

    return answered
