"""The hunt page: a filter, and its answers as fragments that come when the page stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts import paging
from accounts.rights import person, role_required
from detection.filters import FIELDS, FilterError, quoted
from detection.filters.fields import FUNCTIONS, Place
from labeling.charts import bar_columns
from labeling.models import SavedHunt
from labeling.services import hunt_examples, hunt_proposals, hunts, saved_hunts, sessions
from labeling.services.hunt_sends import SENDERS
from labeling.views.queues import READERS
from models_registry.models import Version
from models_registry.services.hunt_counts import survey
from models_registry.services.hunt_exports import FORMATS, export
from models_registry.services.hunt_names import RegistryNames
from models_registry.services.hunt_tables import Hunt, HuntTooLong
from models_registry.services.hunts import Window, groups, newest, rows

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
MOST_SHOWN = 20  # groups
GROUPABLE = tuple(field.name for field in FIELDS if field.place is not Place.MODEL)


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
        "groupable": GROUPABLE,
        "fields": FIELDS,
        "functions": FUNCTIONS,
        "versions": Version.objects.select_related("detector").order_by("detector__name", "-number")[:100],
        "query": request.GET.urlencode(),
        "formats": FORMATS,
        "problem": None,
        "saved": saved_hunts.known_to(person(request)),
        "saved_here": _saved_here(request),
        "examples": [] if request.GET.get("q") else hunt_examples.examples(),
        "may_send": person(request).has_role(*SENDERS),
        "names": _names(),
        "proposes": hunt_proposals.is_open_to(person(request)),
    }
    try:
        context["hunt"] = _prepared(request)
    except FilterError as error:
        context["problem"] = error.told(_)
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
            problem = error.told(_) if isinstance(error, FilterError) else str(error)
            return render(request, "labeling/_hunt_problem.html", {"problem": problem}, status=400)

    return answered


@require_safe
@role_required(*READERS)
@answering
def hunt_counts(request: HttpRequest, asked: Hunt) -> HttpResponse:
    begun = timezone.now()
    counts, bars, stretch = survey(asked, _BARS)
    columns = bar_columns(bars, counts.first, counts.last, stretch) if counts.first and counts.last else []
    width = timedelta(seconds=stretch)
    context = {
        "counts": counts,
        "columns": [(one, _narrowed(request, _between(one.at, one.at + width))) for one in columns],
        "by_host": _grouped(request, "src.ip"),
        "by_rule": _grouped(request, "rule.msg"),
        "positives": _narrowed(request, _positive()) if counts.attacks else "",
        "unscored": {name: number for name, number in asked.unscored.items() if number},
        "seconds": (timezone.now() - begun).total_seconds(),
        "segments": len(asked.segments),
    }
    return render(request, "labeling/_hunt_counts.html", context)


@require_safe
@role_required(*READERS)
@answering
def hunt_groups(request: HttpRequest, asked: Hunt) -> HttpResponse:
    """The commonest values of a field; each leads to the hunt narrowed to it."""
    name = request.GET.get("group") or GROUPS[0]
    found = [(group, _narrowed(request, _equal(name, group.value))) for group in groups(asked, name, MOST_SHOWN)]
    return render(request, "labeling/_hunt_groups.html", {"name": name, "found": found, "most": MOST_SHOWN})


def _narrowed(request: HttpRequest, test: str) -> str:
    """Return the query of the same hunt, of those that pass a test too."""
    text = request.GET.get("q", "").strip()
    asking = request.GET.copy()
    asking["q"] = f"({text}) and {test}" if text else test
    asking.pop("group", None)
    return asking.urlencode()


def _grouped(request: HttpRequest, name: str) -> str:
    asking = request.GET.copy()
    asking["group"] = name
    return asking.urlencode()


def _equal(name: str, value: str | None) -> str:
    return f"{name} == {'null' if value is None else quoted(value)}"


def _between(first: datetime, end: datetime) -> str:
    return f"start >= {first:%Y-%m-%dT%H:%M:%SZ} and start < {end:%Y-%m-%dT%H:%M:%SZ}"


def _positive() -> str:
    labels = [f"label({quoted(name)}) == positive" for name in RegistryNames().detectors()]
    return f"({' or '.join(labels)})"


def _saved_here(request: HttpRequest) -> SavedHunt | None:
    key = paging.key_of(request.GET.get("saved"))
    return SavedHunt.objects.select_related("owner").filter(pk=key).first() if key else None


def _names() -> list[tuple[str, str]]:
    """Return what versions and detectors there are to ask, as a filter names them."""
    found = []
    for version in Version.objects.select_related("detector").order_by("detector__name", "-number")[:30]:
        stage = version.get_stage_display()
        found += [(f"model({quoted(str(version))}).{part}", stage) for part in ("verdict", "score")]
    return found + [(f"label({quoted(name)})", _("what experts said")) for name in RegistryNames().detectors()]


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
    window = Window(asked_since(request, timezone.now()))
    return hunts.prepare(request.GET.get("q", ""), window=window, under_test=asked_version(request))


def asked_since(request: HttpRequest, now: datetime) -> datetime | None:
    """Return since when the address asks; None: for all that is stored."""
    days = request.GET.get("days", "")
    return now - timedelta(days=int(days)) if days in SPANS and days else None


def asked_version(request: HttpRequest) -> Version | None:
    return hunts.version_named(request.GET.get("under_test", ""))


def _place(text: str) -> tuple[int, int] | None:
    at, _dash, rid = text.partition("-")
    told = at.isdecimal() and rid.isdecimal() and max(len(at), len(rid)) <= paging.LONGEST
    return (int(at), int(rid)) if told else None
