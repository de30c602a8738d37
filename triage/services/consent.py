"""A customer takes his consent back: his data goes, here and wherever it was copied to; a tombstone stays."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from labeling.models import Item
from labeling.services import erasure
from traffic import storage
from triage.models import Complaint
from triage.services import states

ERASED = "–"


def withdraw(complaint: Complaint, reason: str, by: User) -> int:
    """Erase what a customer sent with a complaint; return how many frozen files lost rows. Raises ComplaintRefused.

    States, figures, digests and the audit log stay: that there was a complaint, and how it ended."""
    why = states.words(reason, _("Who asked for it? An erasure needs its reason."))
    with transaction.atomic():
        held = Complaint.objects.select_for_update().get(pk=complaint.pk)
        if held.erased_at is not None:
            raise states.ComplaintRefused(_("%(number)s is erased already.") % {"number": held.number})
        now = timezone.now()
        paths = list(held.attachments.exclude(path="").values_list("path", flat=True))
        digests = list(held.attachments.values_list("digest", flat=True))
        held.attachments.update(path="", name=ERASED, written="", remarks=[], erased_at=now)
        held.messages.filter(to_customer=False).update(text=ERASED)
        Complaint.objects.filter(pk=held.pk).update(
            flagged=ERASED, row="", contact=ERASED, note="", key="", erased_at=now
        )
        audit.record(by, "complaint.erased", held.number, reason=why, digests=digests)
    for path in paths:
        storage.delete(path)
    asked = held.states.exclude(item=None).values("item")
    shared = Complaint.objects.filter(states__item__in=asked, erased_at=None).exclude(pk=held.pk).exists()
    if shared:  # another customer's complaint asks by the same item: his consent stands
        return 0
    return sum(erasure.erase(item, by, why) for item in Item.objects.filter(pk__in=asked))
