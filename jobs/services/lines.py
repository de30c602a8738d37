"""The log of a job: what it says of itself, step by step, on its page. Bounded, so that no job floods the database."""

from __future__ import annotations

from jobs.models import Line

MOST = 500  # lines of one job
LAST = "… further lines are left out"


def say(pk: int, text: str) -> None:
    """Add a line to the log of a job."""
    kept = Line.objects.filter(job_id=pk).count()
    if kept <= MOST:
        length = Line._meta.get_field("text").max_length
        Line.objects.create(job_id=pk, text=(LAST if kept == MOST else text)[:length].replace("\x00", "\u2400"))
