"""Tags of the labelling page: parts that look the same for many items, drawn once per look (labeling.drawing)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import template
from django.template.context import Context
from django.template.defaultfilters import truncatechars
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.templatetags.zone import zone
from labeling.drawing import fill, lease
from labeling.evidence import Bar, Evidence
from labeling.evidence.session import Header
from labeling.forms import EXPIRIES
from labeling.models import Item, ReasonCode
from labeling.services import postponed
from labeling.templatetags.verdict_keys import negative_key, positive_key
from labeling.templatetags.wire import digits, fine_seconds, octets
from labeling.wire import visible
from models_registry.models import Detector
from models_registry.templatetags.registry import stage_name

register = template.Library()
SECONDS = "%Y-%m-%d %H:%M:%S"
BEGIN = 160  # characters of a folded body
LAZY = {
    "host": ("labeling:host", gettext_lazy("Host")),
    "group": ("labeling:spread", gettext_lazy("Group")),
    "explanation": ("labeling:explanation", gettext_lazy("Why")),
    "neighbours": ("labeling:neighbours", gettext_lazy("Looks like")),
}


class Choices:
    """What is the same under all items of a kind."""

    default_reason = ReasonCode.OTHER.value
    expiries = EXPIRIES
    postpone = tuple(enumerate(postponed.CHOICES, start=1))

    def __init__(self, reasons: Iterable[tuple[str, str]]) -> None:
        self.reasons = tuple(enumerate(reasons, start=1))


OF_SESSIONS, OF_ENTITY_DAYS = Choices(ReasonCode.of_sessions()), Choices(ReasonCode.of_entity_days())


@register.simple_tag
def drawn(name: str, item: int) -> SafeString:
    """Return a template that differs by nothing but the number of the item."""
    return fill(f"labeling/{name}", {}, item=item)


@register.simple_tag(takes_context=True)
def verdict_form(context: Context) -> SafeString:
    """The keys under an item that its reader holds."""
    item, user = context["item"], context["user"]
    return fill(
        "labeling/_verdict.html",
        {"asked": context["asked"], "csrf": _csrf(context)},
        item=item.pk,
        positive_class=item.detector.positive_class,
        negative_class=item.detector.negative_class,
        positive_key=positive_key(item.detector, user),
        negative_key=negative_key(item.detector, user),
        asks_reason=context["asks_reason"],
        may_be_group=context["may_be_group"],
        of_entity=item.is_entity_day,
        families=tuple(context["families"]),
        choices=OF_ENTITY_DAYS if item.is_entity_day else OF_SESSIONS,
    )


def _csrf(context: Context) -> SafeString:
    """The token in a form: for browsers without scripts, and for whoever is faster than they are."""
    token = context.get("csrf_token")
    return format_html('<input type="hidden" name="csrfmiddlewaretoken" value="{}">' if token else "", token)


# the line on top


@register.simple_tag(takes_context=True)
def bench_head(context: Context) -> SafeString:
    """Which queue, how much waits, how long the item is held, what was answered today."""
    item: Item | None = context["item"]
    blind, today = context.get("blind", False), context["answered_today"]
    queue, load, held = context["queue"], context["load"], bool(item and context["held"])
    told = ngettext("%(n)s answered today", "%(n)s answered today", today or 0) % {"n": today}
    return fill(
        "labeling/_bench_head.html",
        {
            "asked": context["asked"],
            "title": item.detector if blind and item else queue,
            "waiting": load.waiting,
            "conflicts": load.conflicts,
            "today": told,
            **lease(item if held else None),
        },
        item=item.pk if item else 0,
        slug=queue.slug,
        is_blind=blind,
        is_filtered=bool(context["asked"]),
        has_conflicts=bool(load.conflicts),
        is_held=held,
        has_today=bool(today),
    )


# the item


@register.simple_tag(takes_context=True)
def evidence_panels(context: Context) -> SafeString:
    """All that the record of an item tells at once, and places for what comes a moment later."""
    item, evidence, blind = context["item"], context["evidence"], context["blind"]
    session = _part("_tls", evidence=evidence, row=evidence.row, texts=evidence.texts) if evidence.is_tls else None
    hits, rule_set = ([], "") if blind else (evidence.hits, item.record.rule_set)
    said = {"answers": context["answers"], "suggestions": context["suggestions"]}
    return fill(
        "labeling/_evidence.html",
        {
            "why": "" if blind else _why_line(item, evidence),
            "answers": _part("_answers", item=item, **said) if any(said.values()) else "",
            "session": session or http_panel(evidence),
            "who": _who_panel(item, evidence),
            "scores": "" if blind else score_bars(evidence.scores, item.detector),
            "hits": _part("_hits", hits=hits, is_tls=evidence.is_tls) if hits else "",
            "others": "" if blind else _others(evidence),
            "rules_said": item.rules_said,
            "rule_set": visible(rule_set),
        },
        item=item.pk,
        is_blind=blind,
        is_of_others=bool(hits and not item.rules_hit),
        has_rule_set=bool(rule_set),
    )


def _part(name: str, **told: object) -> SafeString:
    """Return a part that is drawn for each item anew."""
    return render_to_string(f"labeling/{name}.html", told)


def _others(evidence: Evidence) -> SafeString:
    copied = evidence.copied_hits
    return _part("_others", copied_hits=copied) if copied else fill("labeling/_others.html", {})


def _why_line(item: Item, evidence: Evidence) -> SafeString:
    """Why the item is here, and what it stands for."""
    hunt = item.decision.get("hunt")
    score, is_complaint = evidence.score, item.reason == "complaint"
    sessions = ngettext(
        "stands for <strong>%(n)s</strong> session", "stands for <strong>%(n)s</strong> sessions", item.sessions
    )
    hosts = ngettext("<strong>%(n)s</strong> host", "<strong>%(n)s</strong> hosts", item.hosts)
    says = _("<strong>%(version)s</strong> says %(score)s")
    return fill(
        "labeling/_why.html",
        {
            "reason_name": item.reason_name,
            "recheck_at": _at(item.recheck_at),
            "late_hit_at": _at(item.late_hit_at),
            "complaint": _complaint(item) if is_complaint else "",
            "says": _html(says, version=item.version, score=_score(score.score)) if score else "",
            "threshold": _score(score.threshold) if score else "",
            "rules_said": item.rules_said,
            "sessions": _html(sessions, n=item.sessions),
            "hosts": _html(hosts, n=item.hosts),
            "zone": zone(),
            "cause": item.cause_name,
            "policy": _("policy %(n)s") % {"n": item.policy_version},
            "hunt": reverse("labeling:hunt-send", args=[hunt]) if hunt else "",
            "hunt_note": truncatechars(visible(item.decision.get("note", "")), 200) if hunt else "",
        },
        item=item.pk,
        has_hunt=bool(hunt),
        has_cause=bool(item.cause_name),
        has_policy=bool(item.policy_version),
        reason=item.reason if item.reason in ("unique-candidate", "complaint") else "",
        is_recheck=item.recheck_at is not None,
        is_late=item.late_hit_at is not None,
        has_score=score is not None,
        is_positive=bool(score and score.verdict),
    )


def _score(score: float) -> str:
    """Write a score as floatformat:4 does, which goes by way of decimals: a page has half a dozen."""
    return number_format(f"{score:.4f}", 4)


def _complaint(item: Item) -> SafeString:
    told = _("<strong>%(number)s</strong> of %(customer)s, due %(due)s %(zone)s")
    complaint = item.complaint_item
    due = timezone.localtime(complaint.due_at)
    return _html(told, number=complaint.number, customer=complaint.customer, due=f"{due:%Y-%m-%d %H:%M}", zone=zone())


def _html(text: str, **values: object) -> SafeString:
    """Return a translated text with its values, which are escaped."""
    return format_html(text % {name: f"{{{name}}}" for name in values}, **values)


def _at(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):{SECONDS}}" if moment else ""


# the session


@register.simple_tag
def http_panel(evidence: Evidence) -> SafeString:
    """One HTTP transaction."""
    row, texts = evidence.row, evidence.texts
    status, duration = row["status"], evidence.flow_duration
    request, response = evidence.request_body, evidence.response_body
    headers = evidence.request_headers, evidence.response_headers
    return fill(
        "labeling/_http.html",
        {
            "method": texts["method"],
            "status": status,
            "version": visible(row["http_version"]),
            "content_type": texts["content_type"],
            "bytes": octets(row["response_bytes"]),
            "seconds": fine_seconds(duration.total_seconds()) if duration is not None else "",
            "uri_decoded": texts["uri_decoded"],
            "uri": texts["uri"],
            "uri_hex": evidence.uri_hex,
            "host": texts["host"],
            "user_agent": texts["user_agent"],
            "referer": texts["referer"],
            **_folded("request", request),
            **_folded("response", response),
            "request_headers": _headers(headers[0]),
            "response_headers": _headers(headers[1]),
        },
        has_status=status is not None,
        is_error=bool(status and status >= 400),
        has_content_type=row["content_type"] is not None,
        has_bytes=row["response_bytes"] is not None,
        has_duration=duration is not None,
        was_encoded=evidence.was_encoded,
        has_host=row["host"] is not None,
        has_user_agent=row["user_agent"] is not None,
        has_referer=row["referer"] is not None,
        has_request_body=bool(request),
        has_response_body=bool(response),
        has_headers=any(headers),
    )


def _folded(name: str, body: str) -> dict[str, object]:
    """Return a body, its begin and its length, as places."""
    return {f"{name}_body": visible(body), f"{name}_begin": visible(body[:BEGIN]), f"{name}_length": len(body)}


def _headers(headers: list[Header]) -> SafeString:
    shown = ((visible(header.name), visible(header.value)) for header in headers)
    return format_html_join("", '<div><dt class="wire">{}</dt><dd class="wire">{}</dd></div>', shown)


def _who_panel(item: Item, evidence: Evidence) -> SafeString:
    """Between whom, when, and who saw it."""
    row, start = evidence.row, evidence.start
    local, sessions = timezone.localtime(start), row["flow_sessions"] or 0
    return fill(
        "labeling/_who.html",
        {
            **{name: visible(row[name]) for name in ("src_ip", "dst_ip", "dst_org", "capture", "file_magic")},
            "src_port": _or_unknown(row["src_port"]),
            "dst_port": _or_unknown(row["dst_port"]),
            "iso": local.isoformat(),
            "local": f"{local:{SECONDS}}",
            "zone": zone(),
            "utc": f"{start.astimezone(UTC):{SECONDS}}",
            "sensor": visible(item.sensor),
            "source": visible(item.source),
            "sessions": ngettext("%(n)s session", "%(n)s sessions", sessions) % {"n": sessions},
            "bytes_up": octets(row["bytes_to_server"]),
            "packets_up": digits(row["packets_to_server"]),
            "bytes_down": octets(row["bytes_to_client"]),
            "packets_down": digits(row["packets_to_client"]),
            "file_bytes": octets(row["file_bytes"]),
            "file_sha": visible(row["file_sha256"]),
        },
        has_org=bool(row["dst_org"]),
        is_elsewhere=zone() != "UTC",
        has_capture=bool(row["capture"]),
        has_sizes=row["bytes_to_server"] is not None and not evidence.is_tls,
        has_file=bool(row["file_magic"] or row["file_sha256"]),
        has_file_bytes=row["file_bytes"] is not None,
    )


def _or_unknown(port: int | None) -> str:
    return "?" if port is None else str(port)


@register.simple_tag
def score_bars(bars: Iterable[Bar], detector: Detector) -> SafeString:
    """What versions say, each beside its threshold."""
    shown = [(_score_bar(bar, detector),) for bar in bars]
    none = _("No score is stored with this item.")
    return format_html_join("", "{}", shown) if shown else format_html('<p class="muted">{}</p>', none)


def _score_bar(bar: Bar, detector: Detector) -> SafeString:
    places: dict[str, Any] = {
        "version": bar.version,
        "score": _score(bar.score),
        "threshold": _score(bar.threshold),
        "width": bar.width,
        "mark": bar.mark,
    }
    stage, said = stage_name(bar.stage), detector.positive_class
    return fill("labeling/_score.html", places, stage=stage, is_positive=bar.verdict, positive_class=said)


@register.simple_tag
def lazy_part(name: str, item: int) -> SafeString:
    """A part of the evidence that loads by itself a moment later."""
    view, title = LAZY[name]
    return fill("labeling/_lazy.html", {}, item=item, name=name, view=view, title=str(title))
