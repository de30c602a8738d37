"""Words of the registry for people: stages, and what a gate report says. Rows and files keep the English ones."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_registry.models import GateReport, Stage

register = template.Library()


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
