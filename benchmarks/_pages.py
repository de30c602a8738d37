"""Pages of a full workshop: how long each takes, and what it asks the database. In one process, all middleware on."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks import _workshop

ROUNDS = 20
WAIT = 200.0  # milliseconds within which 95 of 100 pages are there
MOST_QUERIES = 60


def rows(name: str, expert: int) -> list[dict[str, Any]]:
    """Return the p95 and the number of queries of every page that lists or shows items."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(pk=expert))
    found = []
    for page, path in _pages().items():
        client.get(path)
        with CaptureQueriesContext(connection) as asked:
            response = client.get(path)
            queries = len(asked)  # the next request forgets them
        assert response.status_code == 200, (path, response.status_code)
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            client.get(path)
            times.append((time.perf_counter() - began) * 1000)
        p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]  # never above the slowest
        found.append(
            {
                "name": f"{name}, page {page}, p95 ms",
                "ours": round(p95, 1),
                "against": "queries",
                "theirs": queries,
                "ratio": None,
                "target": WAIT,
                "holds": p95 <= WAIT and queries <= MOST_QUERIES,
            }
        )
    return found


def queries_of_an_answer(expert: int, path: str) -> int:
    """Return how many statements one answer with the next item takes, BEGIN and COMMIT included."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User
    from labeling.models import Item

    client = Client(SERVER_NAME="localhost", headers={"HX-Request": "true"})
    client.force_login(User.objects.get(pk=expert))
    client.get(path)
    held = Item.objects.filter(claimed_by=expert, state="open").latest("claimed_until")
    with CaptureQueriesContext(connection) as asked:
        answer = client.post(f"/items/{held.pk}/label/", {"answer": "positive"})
        assert answer.status_code == 200, answer.status_code
        return len(asked)


def _pages() -> dict[str, str]:
    from labeling.models import Item, Queue
    from labeling.services import queues
    from labeling.services.filters import ItemFilter

    queue = Queue.objects.get(slug=_workshop.SLUG)
    own = f"/queues/{queue.slug}/"
    after = queues.page(queue, ItemFilter(state="settled")).after
    middle = Item.objects.filter(queue=queue, state="open").order_by("pk").values_list("pk", flat=True)[0]
    return {
        "home": "/",
        "queues": "/queues/",
        "queue": own,
        "queue, second page settled": f"{own}?state=settled&after={after.replace('+', '%2B')}",
        "queue, text nobody wrote": f"{own}?text=zzzzz",
        "queue, one source host": f"{own}?host=10.99.99.99",
        "queue, longest waiting": f"{own}?order=oldest",
        "queue, largest group": f"{own}?order=largest",
        "item": f"/items/{middle}/",
        "answers": "/answers/",
        "reference": "/reference/bench/",
        "proof": "/proof/bench/1/",
    }
