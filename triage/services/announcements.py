"""What is worth telling outside, as rows: written in the transaction that makes it true, told once.

Announcements hold numbers, names and digests. A customer's own data and words never enter them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from detection.clock import Mark
from detection.selection import Cell
from labeling.models import Answer, Item, Queue
from labeling.services.labels import UNDO_WITHIN
from models_registry.models import Customer, LedgerCheck, Publication
from triage.models import (
    Announcement,
    Complaint,
    ComplaintState,
    Deadline,
    DeadlineNotice,
    Delivery,
    Incident,
    Serving,
    State,
    Subscription,
    Topic,
)

COLLECT_WITHIN = timedelta(days=2)  # what happened before a house was told nothing of stays untold
_KEEPERS_OF_EVIDENCE = (Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)
_FLAGGED = (Cell.UNIQUE, Cell.COVERED, Cell.UNINSPECTED_POSITIVE)
_TOPIC_OF = {
    State.RECEIVED: Topic.COMPLAINT_RECEIVED,
    State.NEEDS_INFORMATION: Topic.COMPLAINT_ASKED,
    State.CONFIRMED: Topic.COMPLAINT_CONFIRMED,
    State.REJECTED: Topic.COMPLAINT_REJECTED,
    State.FIXED_IN_BUNDLE: Topic.COMPLAINT_FIXED,
    State.PUBLISHED: Topic.COMPLAINT_PUBLISHED,
    State.TOLD: Topic.COMPLAINT_TOLD,
}
TO_THE_CUSTOMER = (State.NEEDS_INFORMATION, State.TOLD)  # whose words are for him
# who is told of a clock, beside the subscribers: whoever serves the customer hears of all of it
_CHAIN: dict[tuple[str, int], tuple[Role, ...]] = {
    (Mark.WARNING, 0): (),
    (Mark.BREACH, 0): (Role.SENIOR,),
    (Mark.ESCALATION, 1): (Role.SENIOR, Role.ENGINEER),
    (Mark.ESCALATION, 2): (Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR),
}


@transaction.atomic
def announce(
    key: str,
    topic: Topic,
    subject: str,
    payload: dict[str, Any],
    *,
    customer: Customer | None = None,
    addresses: Iterable[str] = (),
    **about: Any,
) -> Announcement | None:
    """Write an announcement and who gets it; None where it was told before."""
    made, is_new = Announcement.objects.get_or_create(
        key=key,
        defaults={"topic": topic, "subject": subject[:200], "payload": payload, "customer": customer} | about,
    )
    if not is_new:
        return None
    wanted = Subscription.objects.filter(active=True)
    for subscription in wanted.filter(customer=None) | (
        wanted.filter(customer=customer) if customer else wanted.none()
    ):
        if subscription.wants(topic):
            Delivery.objects.create(announcement=made, subscription=subscription)
    if settings.EMAIL_HOST:
        for address in sorted(set(filter(None, addresses))):
            Delivery.objects.create(announcement=made, address=address)
    return made


def of_step(complaint: Complaint, step: ComplaintState) -> None:
    """Announce that a complaint entered a state; the customer is written to where the words are for him."""
    state = State(step.state)
    if (topic := _TOPIC_OF.get(state)) is None:
        return
    told = _told(complaint) | {"state": state.value, "at": step.at.isoformat()}
    told |= {"fix": str(step.bundle)} if step.bundle else {}
    contact = complaint.contact if state in TO_THE_CUSTOMER and is_address(complaint.contact) else ""
    announce(
        f"complaint-{complaint.pk}-{step.pk}",
        topic,
        f"{complaint.number} {complaint.customer}: {state.value}",
        told,
        customer=complaint.customer,
        addresses=[contact],
    )


def of_notice(deadline: Deadline, notice: DeadlineNotice) -> None:
    """Announce that a clock passed a mark, to whoever has to act."""
    complaint = Complaint.objects.filter(deadline=deadline).select_related("customer", "detector", "bundle").first()
    incident = Incident.objects.filter(deadline=deadline).select_related("customer", "version__detector").first()
    told = _told(complaint) if complaint else _told_of(incident) if incident else {}
    told |= {"kind": notice.kind, "level": notice.level, "due": notice.due_at.isoformat()}
    about = complaint or incident
    customer = about.customer if about else None
    subject = f"{about.number} {customer or 'fleet'}" if about else str(deadline)
    level = f" {notice.level}" if notice.level else ""
    announce(
        f"deadline-{deadline.pk}-{notice.kind}-{notice.level}",
        Topic(f"deadline.{notice.kind}"),
        f"{subject}: {notice.kind}{level}, due {notice.due_at:%Y-%m-%d %H:%M} UTC",
        told,
        customer=customer,
        addresses=watchers(customer, above=True) if incident else _chain(notice, customer),
    )


def of_incident(incident: Incident, topic: Topic, addresses: Iterable[str] = ()) -> bool:
    """Announce what became of an incident; False where it was told before."""
    whom = incident.customer or "fleet"
    made = announce(
        f"incident-{incident.pk}-{topic.partition('.')[2]}",
        topic,
        f"{incident.number} {whom}: {incident.version}, {topic.partition('.')[2]}",
        _told_of(incident),
        customer=incident.customer,
        addresses=addresses,
    )
    return made is not None


def watchers(customer: Customer | None, *, above: bool = False) -> list[str]:
    """Return who has to act on an incident, `above` with whoever is above them."""
    roles = (Role.ENGINEER, Role.SENIOR, Role.ADMINISTRATOR) if above else (Role.ENGINEER, Role.SENIOR)
    people = User.objects.filter(is_active=True, role__in=roles).exclude(email="")
    return [*people.values_list("email", flat=True), *(servants(customer) if above else ())]


def servants(customer: Customer | None) -> list[str]:
    """Return the people of support who serve a customer; of the fleet those who serve all."""
    serving = Serving.objects.filter(customer=None)
    if customer is not None:
        serving |= Serving.objects.filter(customer=customer)
    people = User.objects.filter(is_active=True, role=Role.SUPPORT, pk__in=serving.values("user")).exclude(email="")
    return list(people.values_list("email", flat=True))


def _told_of(incident: Incident) -> dict[str, Any]:
    return {
        "incident": incident.number,
        "customer": incident.customer.name if incident.customer else None,
        "detector": incident.version.detector.name,
        "version": incident.version.number,
        "stream": incident.kind,
        "direction": "up" if incident.is_up else "down",
        "since": str(incident.since),
        "odds_ratio": round(incident.odds_ratio, 4),
        "opened": incident.opened_at.isoformat(),
        "state": incident.state,
    }


def _chain(notice: DeadlineNotice, customer: Customer | None) -> list[str]:
    roles = _CHAIN.get((notice.kind, notice.level), _CHAIN[(Mark.ESCALATION, 2)])
    people = User.objects.filter(is_active=True).exclude(email="")
    serving = Serving.objects.filter(customer=None) | Serving.objects.filter(customer=customer)
    mine = people.filter(role=Role.SUPPORT, pk__in=serving.values("user"))
    return list((people.filter(role__in=roles) | mine).values_list("email", flat=True))


def _told(complaint: Complaint) -> dict[str, Any]:
    return {
        "complaint": complaint.number,
        "customer": complaint.customer.name,
        "detector": complaint.detector.name if complaint.detector else None,
        "bundle": complaint.bundle.digest if complaint.bundle else None,
        "received": complaint.received_at.isoformat(),
    }


def is_address(contact: str) -> bool:
    """Say whether a contact is a mailbox that can be written to."""
    try:
        validate_email(contact)
    except ValidationError:
        return False
    return True


# --- collected from lower rooms ------------------------------------------------------------------------------------


def collect() -> int:
    """Announce what lower rooms left: confirmed unique detects and false positives, releases, a broken ledger."""
    return _collect_labels() + _collect_publications() + _collect_ledger_checks()


def _collect_labels() -> int:
    now = timezone.now()
    found = 0
    for queue in Queue.objects.exclude(kind=Queue.Kind.COMPLAINT):
        settled = Item.objects.settled().filter(
            queue=queue,
            settled_at__gte=now - COLLECT_WITHIN,
            settled_at__lte=now - UNDO_WITHIN,  # until then an answer can be taken back
            announcement=None,
        )
        unique = settled.filter(outcome=Answer.POSITIVE, cell=Cell.UNIQUE)
        wrong = settled.filter(outcome=Answer.NEGATIVE, cell__in=_FLAGGED)
        for topic, items in ((Topic.UNIQUE_DETECT, unique), (Topic.FALSE_POSITIVE, wrong)):
            for item in items.select_related("detector", "version"):
                found += _announce_item(item, topic)
    return found


def _announce_item(item: Item, topic: Topic) -> bool:
    told = {
        "item": item.pk,
        "detector": item.detector.name,
        "version": item.version.number if item.version else None,
        "sessions": item.sessions,
        "hosts": item.hosts,
        "settled": item.settled_at.isoformat() if item.settled_at else None,
    }
    words = "unique detect" if topic is Topic.UNIQUE_DETECT else "false positive"
    subject = f"{item.detector}: {words} confirmed, item {item.pk}"
    return announce(f"item-{item.pk}", topic, subject, told, item=item) is not None


def _collect_publications() -> int:
    since = timezone.now() - COLLECT_WITHIN
    waiting = Publication.objects.filter(announcement=None, published_at__gte=since)
    return sum(_announce_release(one) for one in waiting.select_related("bundle", "customer").order_by("id"))


def _announce_release(one: Publication) -> bool:
    told = {"bundle": one.bundle.digest, "channel": one.channel, "published": one.published_at.isoformat()}
    subject = f"bundle {one.bundle} published"
    key = f"publication-{one.pk}"
    made = announce(key, Topic.RELEASE_PUBLISHED, subject, told, customer=one.customer, publication=one)
    return made is not None


def _collect_ledger_checks() -> int:
    broken = LedgerCheck.objects.filter(differences__gt=0, at__gte=timezone.now() - COLLECT_WITHIN).order_by("id")
    return sum(_announce_broken_ledger(one) for one in broken)


def _announce_broken_ledger(one: LedgerCheck) -> bool:
    """Tell subscribers, and everybody whose word the ledger holds or who keeps it."""
    told = {"differences": one.differences, "entries": one.entries, "head": one.head, "at": one.at.isoformat()}
    people = User.objects.filter(is_active=True, role__in=_KEEPERS_OF_EVIDENCE).exclude(email="")
    made = announce(
        f"ledger-check-{one.pk}",
        Topic.LEDGER_BROKEN,
        f"the ledger is broken: {one.differences} differences",
        told,
        addresses=people.values_list("email", flat=True),
    )
    return made is not None
