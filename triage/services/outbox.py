"""The outbox: announcements on their way to subscribers, tried again with patience, every try written down."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from accounts import paging
from accounts.models import User
from accounts.services import audit
from models_registry.models import Customer
from triage.models import (
    Announcement,
    Complaint,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Subscription,
    Topic,
)
from triage.services import carriers
from triage.services.carriers import Letter, NotDelivered

Carrier = Subscription.Carrier
# after each failure, as the Standard Webhooks form proposes: about three days in all
PATIENCE = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
LEASE = timedelta(minutes=2)  # longer than a try takes
AT_ONCE = 50  # deliveries of one tick
_URGENT = (Topic.DEADLINE_BREACH, Topic.DEADLINE_ESCALATION, Topic.INCIDENT_OPENED)


class SubscriptionRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nobody can be told there; the message says why."""


@transaction.atomic
def subscribe(
    carrier: str,
    target: str,
    topics: list[str],
    *,
    by: User,
    customer: Customer | None = None,
    language: str = "en",
) -> Subscription:
    """Let somebody hear of topics; a webhook's secret is in the row that comes back. Raises SubscriptionRefused."""
    target = target.strip()
    if why_not := refusal(carrier, target):
        raise SubscriptionRefused(why_not)
    made = Subscription.objects.create(
        carrier=carrier,
        target=target,
        topics=topics,
        customer=customer,
        language=language,
        secret=carriers.new_secret() if carrier == Carrier.WEBHOOK else "",
        made_by=by,
    )
    audit.record(by, "subscription.made", str(made), topics=topics, customer=customer.name if customer else None)
    return made


def refusal(carrier: str, target: str) -> str:
    """Return why a target cannot be used; empty when it can. Addresses are judged when something is sent."""
    if carrier == Carrier.MAIL:
        try:
            validate_email(target)
        except ValidationError:
            return _("This is no mailbox.")
        return ""
    schemes = ("http", "https") if carrier == Carrier.WEBHOOK else ("udp", "tcp")
    try:
        parts = urlsplit(target)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\\]", target):
        return _("Expected an address that begins with %(schemes)s.") % {"schemes": "://, ".join(schemes) + "://"}
    if parts.username is not None or parts.password is not None:
        return _("A key does not belong into the address.")
    return ""


@transaction.atomic
def unsubscribe(subscription: Subscription, by: User) -> None:
    """Tell them nothing any more; what they were told stays in the log."""
    Subscription.objects.filter(pk=subscription.pk).update(active=False)
    waiting = Delivery.objects.filter(subscription=subscription, state=DeliveryState.WAITING)
    waiting.update(state=DeliveryState.GIVEN_UP)
    audit.record(by, "subscription.ended", str(subscription))


def deliver() -> int:
    """Try what is due; return how many arrived. Each is taken by one process, and again when that process dies."""
    now = timezone.now()
    due = list(Delivery.objects.due(now).order_by("next_at").values_list("pk", flat=True)[:AT_ONCE])
    return sum(_deliver(pk) for pk in due)


def _deliver(pk: int) -> bool:
    now = timezone.now()
    taken = Delivery.objects.due(now).filter(pk=pk).update(next_at=now + LEASE, attempts=F("attempts") + 1)
    if not taken:
        return False
    delivery = Delivery.objects.select_related("announcement", "subscription__customer").get(pk=pk)
    began = time.perf_counter()
    try:
        said, gone = _send(delivery), None
    except NotDelivered as problem:
        said, gone = str(problem), problem.gone
    _note(delivery, gone, said, time.perf_counter() - began)
    return gone is None


def _send(delivery: Delivery) -> str:
    subscription = delivery.subscription
    if subscription is None:
        return carriers.mail(letter_of(delivery.announcement, to_customer=delivery.address), delivery.address)
    letter = letter_of(delivery.announcement, subscription.language)
    if subscription.carrier == Carrier.MAIL:
        return carriers.mail(letter, subscription.target)
    if subscription.carrier == Carrier.SYSLOG:
        return carriers.syslog(letter, subscription.target)
    return carriers.webhook(letter, subscription.target, subscription.secret, timezone.now())


@transaction.atomic
def _note(delivery: Delivery, gone: bool | None, said: str, seconds: float) -> DeliveryAttempt:
    """Write what came of a try. `gone`: None when it arrived, else whether trying again is of no use."""
    now = timezone.now()
    said = said.replace("\0", "").encode("utf-8", "replace").decode()[: carriers.ANSWER]
    tried = DeliveryAttempt.objects.create(delivery=delivery, delivered=gone is None, answer=said, seconds=seconds)
    change: dict[str, Any] = {"state": DeliveryState.DELIVERED}
    if gone is not None:
        is_over = gone or delivery.attempts > len(PATIENCE)
        change = {"state": DeliveryState.GIVEN_UP} if is_over else {"next_at": now + PATIENCE[delivery.attempts - 1]}
    Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING).update(**change)
    mine = Subscription.objects.filter(deliveries=delivery)
    if gone is None:
        mine.exclude(failing_since=None).update(failing_since=None)
    else:
        mine.filter(failing_since=None).update(failing_since=now)
        if gone and delivery.subscription and delivery.subscription.carrier == Carrier.WEBHOOK:
            mine.update(active=False)  # 410: the receiver does not want to be asked any more
    return tried


def send_again(delivery: Delivery, by: User) -> None:
    """Put a delivery on its way once more, from the beginning."""
    Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.WAITING, attempts=0, next_at=timezone.now())
    audit.record(by, "delivery.again", str(delivery))


def test(subscription: Subscription, by: User) -> DeliveryAttempt:
    """Send a test to one subscriber at once, and return what came of it."""
    with transaction.atomic():
        announcement = Announcement.objects.create(
            key=f"test-{subscription.pk}-{timezone.now().isoformat()}",
            topic=Topic.TEST,
            subject=_("A test of Etalon's outbox"),
            payload={"by": by.username},
        )
        delivery = Delivery.objects.create(announcement=announcement, subscription=subscription)
    _deliver(delivery.pk)
    return delivery.tries.latest("id")


# --- words ---------------------------------------------------------------------------------------------------------


def letter_of(announcement: Announcement, language: str = "en", *, to_customer: str = "") -> Letter:
    """Return what is sent about an announcement: figures and names to subscribers, the answer itself to a customer."""
    body = _answer(announcement, to_customer) if to_customer else ""
    with override(language):
        topic = Topic(announcement.topic).label
        lines = [f"{topic}: {announcement.subject}", ""]
        lines += [f"{name}: {value}" for name, value in announcement.payload.items() if value is not None]
    return Letter(
        id=f"msg_{announcement.pk}",
        topic=announcement.topic,
        subject=" ".join(announcement.subject.split()),
        body=body or "\n".join(lines),
        payload=announcement.payload,
        at=announcement.at,
        is_urgent=announcement.topic in _URGENT,
    )


def _answer(announcement: Announcement, address: str) -> str:
    """Return the words that were written to the customer, where this address is his."""
    number = str(announcement.payload.get("complaint", "")).removeprefix("C-")
    complaint = Complaint.objects.filter(pk=key, contact=address).first() if (key := paging.key_of(number)) else None
    if complaint is None:
        return ""
    told = complaint.messages.filter(to_customer=True, at__lte=announcement.at + timedelta(minutes=1)).last()
    return told.text if told else ""
