"""Ask for a candidate outside the nightly rhythm. Several requests about one detector are one training."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from jobs.models import Job, State
from labeling.models import RetrainRequest
from labeling.services import retraining
from models_registry.models import Detector


def ask(detector: Detector, reason: str) -> RetrainRequest:
    """Leave a request for `start_asked`; call inside the transaction that has the reason."""
    return RetrainRequest.objects.create(detector=detector, reason=reason[:255])


def start_asked() -> int:
    """Start the trainings that were asked for; return how many detectors were served.

    A training that runs has frozen its rows before the request came: the request waits until it has ended."""
    asked = RetrainRequest.objects.filter(taken_at=None).values_list("detector", flat=True)
    return sum(_start(detector) for detector in Detector.objects.filter(pk__in=asked))


@transaction.atomic
def _start(detector: Detector) -> bool:
    waiting = RetrainRequest.objects.filter(detector=detector, taken_at=None)
    requests = list(waiting.select_for_update().order_by("id"))
    running = Job.objects.live().filter(run_key=retraining.run_key(detector), state=State.RUNNING)
    if not requests or running.exists():
        return False
    retraining.start(detector, reason=requests[0].reason)
    waiting.filter(pk__in=[request.pk for request in requests]).update(taken_at=timezone.now())
    return True
