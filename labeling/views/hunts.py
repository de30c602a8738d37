"""The hunt page: a filter, and its answers as fragments that come when the page stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from detection.filters import FIELDS, FilterError
from detection.filters.fields import FUNCTIONS
from labeling.charts import bar_columns
from labeling.services import hunts, sessions
from labeling.views.queues import READERS
from models_registry.models import Version
from models_registry.services.hunt_exports import FORMATS, export
from models_registry.services.hunt_tables import Hunt, HuntTooLong
from models_registry.services.hunts import Window, bars, count, groups, newest, rows

P = ParamSpec("P")
PAGE = 50
SPANS = {
    "1": gettext_lazy("24 hours"),
    "7": gettext_lazy("7 days"),
    "30": gettext_lazy("30 days"),
    "": gettext_lazy("everything stored"),
}
GROUPS = (
    "dst.dns",
    "src.ip",
    "dst.ip",
    "dst.port",
    "http.url",
    "http.user_agent",
    "http.status",
    "tls.ja4",
    "rule.msg",
    "sensor",
)
LISTED = (
    "start",
    "protocol",
    "src_ip",
    "dst_ip",
    "dst_port",
    "host",
    "method",
    "uri",
    "status",
    "tls_version",
    "ja4",
    "hits",
)
_BARS = 60


@require_safe
@role_required(*READERS)
def hunt(request: HttpRequest) -> HttpResponse:
    """The page itself opens no file: what is asked comes as fragments."""
    context: dict[str, Any] = {
        "q": request.GET.get("q", ""),
        "days": request.GET.get("days", ""),
        "group": request.GET.get("group", ""),
        "under_test": request.GET.get("under_test", ""),
        "spans": SPANS,
        "groups": GROUPS,
        "fields": FIELDS,
        "functions": FUNCTIONS,
        "versions": Version.objects.select_related("detector").order_by("detector__name", "-number")[:100],
        "query": request.GET.urlencode(),
        "formats": FORMATS,
        "problem": None,
    }
    try:
        context["hunt"] = _prepared(request)
    except FilterError as error:
        context["problem"] = error
        context["arrow"] = " " * (error.column - 1) + "^"
    return render(request, "labeling/hunt.html", context)


Answer = Callable[Concatenate[HttpRequest, Hunt, P], HttpResponseBase]


def answering(view: Answer[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Give a fragment its hunt; what is wrong with the question is a sentence in its place."""

    @wraps(view)
    def answered(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(request, _prepared(request), *args, **kwargs)
        except (FilterError, HuntTooLong) as error:
            return render(request, "labeling/_hunt_problem.html", {"problem": str(error)}, status=400)

    return answered


@require_safe
@role_required(*READERS)
@answering
def hunt_counts(request: HttpRequest, asked: Hunt) -> HttpResponse:
    begun = timezone.now()
    counts = count(asked)
    columns = []
    if counts.first and counts.last and counts.sessions:
        seconds = max(60, int((counts.last - counts.first).total_seconds() // _BARS // 60 * 60) or 60)
        columns = bar_columns(bars(asked, seconds), counts.first, counts.last, seconds)
    context = {
        "counts": counts,
        "columns": columns,
        "unscored": {name: number for name, number in asked.unscored.items() if number},
        "seconds": (timezone.now() - begun).total_seconds(),
        "segments": len(asked.segments),
    }
    return render(request, "labeling/_hunt_counts.html", context)


@require_safe
@role_required(*READERS)
@answering
def hunt_groups(request: HttpRequest, asked: Hunt) -> HttpResponse:
    name = request.GET.get("group") or GROUPS[0]
    found = groups(asked, name)
    return render(request, "labeling/_hunt_groups.html", {"name": name, "found": found})


@require_safe
@role_required(*READERS)
@answering
def hunt_rows(request: HttpRequest, asked: Hunt) -> HttpResponse:
    """The newest sessions; `after` is the place of the last one shown."""
    places = newest(asked, PAGE, _place(request.GET.get("after", "")))
    found = [session | {"at": place[0]} for place, session in zip(places, rows(asked, places, LISTED), strict=True)]
    after = f"{places[-1][0]}-{places[-1][1]}" if len(places) == PAGE else ""
    asking = request.GET.copy()
    asking["after"] = after
    return render(request, "labeling/_hunt_rows.html", {"rows": found, "more": asking.urlencode() if after else ""})


@require_safe
@role_required(*READERS)
@answering
def export_hunt(request: HttpRequest, asked: Hunt, kind: str) -> HttpResponseBase:
    """Everything that passes, as a stream."""
    if kind not in FORMATS:
        raise Http404(_("There are: %(known)s") % {"known": ", ".join(FORMATS)})
    answer = StreamingHttpResponse(export(asked, kind), content_type=FORMATS[kind])
    answer["Content-Disposition"] = f'attachment; filename="sessions.{kind}"'
    return answer


@require_safe
@role_required(*READERS)
def session(request: HttpRequest, rid: int) -> HttpResponse:
    """One stored session with all its fields, what versions said of it, and its raw line."""
    found = sessions.find(rid)
    if found is None:
        raise Http404(_("This session is not stored, or not any more."))
    return render(request, "labeling/session.html", {"session": found})


def _prepared(request: HttpRequest) -> Hunt:
    days = request.GET.get("days", "")
    since = timezone.now() - timedelta(days=int(days)) if days in SPANS and days else None
    return hunts.prepare(
        request.GET.get("q", ""), window=Window(since), under_test=_version(request.GET.get("under_test", ""))
    )


def _version(name: str) -> Version | None:
    detector, _colon, number = name.rpartition(":")
    if not number.isdecimal():
        return None
    return Version.objects.select_related("detector").filter(detector__name=detector, number=number).first()


def _place(text: str) -> tuple[int, int] | None:
    at, _dash, rid = text.partition("-")
    return (int(at), int(rid)) if at.isdecimal() and rid.isdecimal() else None
