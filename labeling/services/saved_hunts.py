"""Keeping a hunt under a name, for oneself or for colleagues too."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from labeling.models import SavedHunt
from labeling.services import hunts
from models_registry.services.hunts import group_field

MOST = 100  # of one person


class SavingRefused(ValueError):  # noqa: N818
    """It cannot be kept so; the text says why, for the person who asked."""


def save(
    owner: User, name: str, text: str, *, days: str = "", under_test: str = "", group: str = "", is_shared: bool = False
) -> SavedHunt:
    """Keep a hunt; the name again means: from now on this. Raises SavingRefused, FilterError."""
    name = " ".join(name.split())
    if not name or len(name) > 60 or "\0" in name:
        raise SavingRefused(_("Give it a name of at most 60 characters."))
    if "\0" in text:
        raise SavingRefused(_("Write a character of code 0 as \\x00."))
    hunts.prepare(text, under_test=hunts.version_named(under_test))
    if group:
        group_field(group)
    mine = SavedHunt.objects.filter(owner=owner)
    if not mine.filter(name=name).exists() and mine.count() >= MOST:
        raise SavingRefused(_("You have %(most)s saved hunts: forget one first.") % {"most": MOST})
    kept = {"text": text, "days": days, "under_test": under_test, "group": group, "is_shared": is_shared}
    return SavedHunt.objects.update_or_create(owner=owner, name=name, defaults=kept)[0]


def known_to(user: User) -> Sequence[SavedHunt]:
    """Return one's own hunts and those that colleagues share, by name."""
    seen = SavedHunt.objects.filter(Q(owner=user) | Q(is_shared=True))
    return sorted(seen.select_related("owner"), key=lambda one: (one.owner_id != user.pk, one.name.casefold(), one.pk))


def forget(saved: SavedHunt) -> None:
    saved.delete()
