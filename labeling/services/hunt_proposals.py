"""A filter for a hunt, proposed by a language model from a sentence: a text for a person, who runs it or does not."""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.roles import EXPERTS, Role
from detection import hunt_proposals
from detection.filters import FilterError
from detection.hunt_proposals import LONGEST_SENTENCE
from detection.suggestions import NotAnAnswer
from jobs.services import jobs
from jobs.services.jobs import Lease
from labeling.models import HuntProposal
from labeling.services import chat, hunts, suggestions
from labeling.services.chat import Unanswered

log = structlog.get_logger(__name__)
ASKERS = (*EXPERTS, Role.ENGINEER)  # a question leaves the house and may cost money
TASK = "labeling.tasks.propose_hunt"
KIND = gettext_noop("hunt proposal")
SECONDS = 15.0  # for an answer


class ProposalRefused(ValueError):  # noqa: N818
    """Nothing was asked; the message says why."""


def is_open_to(user: User) -> bool:
    """Say whether a person may ask: a language model is named, and the role may."""
    return chat.endpoint() is not None and user.has_role(*ASKERS)


@transaction.atomic
def ask(sentence: str, by: User) -> HuntProposal:
    """Have a job ask for a filter; nobody's page waits meanwhile. Raises ProposalRefused."""
    there = chat.endpoint()
    if there is None or not by.has_role(*ASKERS):
        raise ProposalRefused(_("No language model is named in the settings."))
    sentence = " ".join(sentence.replace("\0", " ").split())
    if not sentence:
        raise ProposalRefused(_("Say in a sentence what to look for."))
    if len(sentence) > LONGEST_SENTENCE:
        raise ProposalRefused(_("A sentence has at most %(most)s characters.") % {"most": LONGEST_SENTENCE})
    if not suggestions.left_today():
        raise ProposalRefused(_("The questions of this day are used up; midnight UTC brings new ones."))
    told = hunt_proposals.told(sentence, addresses=settings.ETALON_SUGGESTIONS_ADDRESSES)
    made = HuntProposal.objects.create(by=by, sentence=sentence, sent=told.text, model=there.model[:100])
    made.job = jobs.start(TASK, f"{KIND} {made.pk}", {"proposal": made.pk}, kind=KIND, by=by)
    made.save(update_fields=["job"])
    return made


def answer(lease: Lease) -> dict[str, Any]:
    """Ask the model and keep what it wrote, or why it wrote nothing."""
    asked = HuntProposal.objects.get(pk=lease.job.arguments["proposal"])
    there = chat.endpoint()
    kept = hunt_proposals.told(asked.sentence, addresses=asked.sent == asked.sentence).addresses
    began = time.monotonic()
    try:
        if there is None:
            raise Unanswered("no language model is named any more")
        written = hunt_proposals.read_answer(chat.ask(there, hunt_proposals.question(asked.sent), seconds=SECONDS))
        asked.filter = hunt_proposals.put_back(written, kept)
    except (Unanswered, NotAnAnswer) as error:
        asked.error = str(error)[:200]
        log.warning("hunt_proposal.failed", proposal=asked.pk, model=asked.model, error=asked.error)
    asked.milliseconds, asked.answered_at = int((time.monotonic() - began) * 1000), timezone.now()
    asked.save(update_fields=["filter", "error", "milliseconds", "answered_at"])
    return {"milliseconds": asked.milliseconds} | ({"error": asked.error} if asked.error else {})


def problem_of(proposal: HuntProposal) -> FilterError | None:
    """Return what is wrong with a proposed filter, if anything: models write words that no field has."""
    try:
        hunts.prepare(proposal.filter)
    except FilterError as error:
        return error
    return None
