"""Words of the registry for people: stages, and what a gate report says. Rows and files keep the English ones."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from detection import thresholds
from models_registry.models import GateReport, Stage

register = template.Library()
ORIGINS = {
    "expert": gettext_noop("expert"),
    "dump": gettext_noop("saved attack dump"),
    "customer": gettext_noop("customer"),
    "rule": gettext_noop("rule"),
    "language-model": gettext_noop("language model"),
    "background": gettext_noop("quiet background"),
}


@register.filter
def stage_name(stage: str) -> str:
    """Return the name of a stage that a row or a frozen record holds."""
    return str(Stage(stage).label) if stage in Stage.values else stage


@register.filter
def gate_sentence(gate: GateReport) -> str:
    """Return the answer of a gate report in one sentence."""
    told = {"version": gate.version, "threshold": f"{gate.threshold:.6g}"}
    if gate.passed:
        return _("%(version)s at %(threshold)s may leave") % told
    checks = gate.report.get("checks", [])
    failed = sum(check.get("level") == "block" and not check.get("passed") for check in checks)
    return ngettext(
        "%(version)s at %(threshold)s may not leave: %(n)s check failed",
        "%(version)s at %(threshold)s may not leave: %(n)s checks failed",
        failed,
    ) % (told | {"n": failed})


@register.filter
def origin_name(origin: str) -> str:
    """Return whose word a label is."""
    return _(ORIGINS[origin]) if origin in ORIGINS else origin


@register.filter
def microseconds(at: int) -> str:
    """Return the day and minute, in UTC, of a time in microseconds."""
    return f"{datetime.fromtimestamp(at / 1e6, UTC):%Y-%m-%d %H:%M}"


@register.filter
def just_above(score: float) -> float:
    """Return the lowest threshold that leaves a score out."""
    return thresholds.just_above(score)
