"""What became of a file, as it is kept: codes and values. Read in the language of whoever reads, not of who filed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext, ngettext_lazy

from detection.evidence_remarks import SENTENCES, Remark

COUNTED = {  # numbers of something, in the right form
    "features": ngettext_lazy("%(n)s feature", "%(n)s features", "n"),
    "sessions": ngettext_lazy("%(n)s session", "%(n)s sessions", "n"),
    "skipped": ngettext_lazy("%(n)s line passed over", "%(n)s lines passed over", "n"),
}


def kept(remarks: Iterable[Remark]) -> list[list[Any]]:
    """Return remarks as a row keeps them."""
    return [[one.code, dict(one.values)] for one in remarks]


def told(rows: Iterable[Sequence[Any]]) -> str:
    """Return what a row keeps in the language of the page; a code of another release of ours is shown as it is."""
    return " · ".join(_told(str(code), values) for code, values in rows)


def _told(code: str, values: dict[str, Any]) -> str:
    if code in COUNTED:
        return str(COUNTED[code] % values)
    return Remark(code, values).told(gettext) if code in SENTENCES else code
