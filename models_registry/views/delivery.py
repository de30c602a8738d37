"""Releases and their signatures, sites and what runs there."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.rights import person, role_required
from accounts.roles import READERS
from models_registry.models import Appliance, ApproverKey, Bundle, Customer, Publication, Release, ReleaseOutcome, Site
from models_registry.services import appliances, builder, feed, holds, receipts, releases
from models_registry.services.feed_metadata import describe
from models_registry.views.asked import KEEPERS, STAGERS

LARGEST_FILE = 1 << 20  # bytes of a signature or key file


@require_safe
@role_required(*READERS)
def release_list(request: HttpRequest) -> HttpResponse:
    """What is published, what waits for signatures, whose keys count."""
    found = Release.objects.select_related("bundle", "customer", "by", "outcome").prefetch_related(
        "signatures__key__user"
    )
    root, newest = feed.newest("root"), feed.version(releases.TOP)
    known = root.signed.roles["targets"].keyids if root else []
    keys = ApproverKey.objects.filter(revoked_at=None).select_related("user")
    context = {
        "releases": [{"release": one, "is_open": releases.is_open(one, newest)} for one in found[:50]],
        "publications": Publication.objects.select_related("bundle", "customer")[:20],
        "keys": [{"key": key, "is_known": key.keyid in known} for key in keys],
        "root": feed.newest_file("root"),
        "timestamp": feed.newest_file("timestamp"),
        "may_sign": person(request).has_role(*STAGERS),
    }
    return render(request, "models_registry/releases.html", context)


@require_safe
@role_required(*READERS)
def release(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Release.objects.select_related("bundle", "customer", "by"), pk=pk)
    is_open = releases.is_open(found)
    replaced = releases.replaced_by(found) if is_open else None
    context = {
        "release": found,
        "is_open": is_open,
        "replaces": replaced,
        "changes": builder.changes_between(replaced, found.bundle) if replaced and found.bundle else [],
        "outcome": getattr(found, "outcome", None),
        "signatures": found.signatures.select_related("key__user"),
        "said": "\n".join(describe(found.parts)),
        "may_sign": person(request).has_role(*STAGERS),
    }
    return render(request, "models_registry/release.html", context)


@require_safe
@role_required(*STAGERS)
def download_release(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Release, pk=pk)
    answer = HttpResponse(releases.document(found), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="release-{found.pk}.json"'
    return answer


@require_POST
@role_required(*STAGERS)
def sign_release(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the file that `manage.py approve` wrote. Whose it is says the key, not who hands it in."""
    found = get_object_or_404(Release, pk=pk)
    try:
        published = releases.sign(found, *releases.read_signatures(_file(request, "signatures")))
    except releases.ReleaseRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _told(found, published))
    return redirect("models_registry:release", pk)


def _told(signed: Release, published: Publication | None) -> str:
    if published:
        return _("Published: %(what)s.") % {"what": published}
    if ReleaseOutcome.objects.filter(release=signed).exists():
        return _("Signed: it is in the feed.")
    return _("Signed.")


@require_POST
@role_required(*STAGERS)
def add_approver_key(request: HttpRequest) -> HttpResponse:
    try:
        made = releases.add_key(person(request), _file(request, "public"))
    except ValueError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(key)s is known; it counts once a root names it.") % {"key": made.keyid[:12]})
    return redirect("models_registry:releases")


@require_POST
@role_required(*STAGERS)
def propose_release(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for two signatures, so that a channel or a customer gets a bundle."""
    bundle = get_object_or_404(Bundle, pk=pk)
    customer = Customer.objects.filter(pk=_number(request.POST.get("customer"))).first()
    channel = request.POST.get("channel", "")
    try:
        made = releases.propose(
            bundle, channel, person(request), customer=customer, reason=request.POST.get("reason", "")
        )
    except (releases.ReleaseRefused, feed.NoFeed, ValueError, OSError) as refusal:
        messages.error(request, str(refusal))
        return redirect("models_registry:bundle", pk)
    messages.success(request, _("Composed: two people sign it now."))
    return redirect("models_registry:release", made.pk)


@require_POST
@role_required(*STAGERS)
def sign_anew(request: HttpRequest) -> HttpResponse:
    """Ask for new signatures under the feed as it is: after a key was replaced."""
    try:
        made = releases.propose_again(person(request), request.POST.get("reason", ""))
    except (releases.ReleaseRefused, feed.NoFeed) as refusal:
        messages.error(request, str(refusal))
        return redirect("models_registry:releases")
    return redirect("models_registry:release", made.pk)


@require_POST
@role_required(*STAGERS)
def measure_bundle(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a latency receipt on this machine: about two seconds."""
    try:
        made = receipts.measure(get_object_or_404(Bundle, pk=pk))
    except (receipts.CannotMeasure, OSError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Measured: p50 %(p50)s µs, p99 %(p99)s µs.") % {"p50": made.p50, "p99": made.p99})
    return redirect("models_registry:bundle", pk)


@require_safe
@role_required(*READERS)
def sites(request: HttpRequest) -> HttpResponse:
    """Which bundle runs where since when, how many behind, when last heard of."""
    running = appliances.running()
    context = {
        "running": running,
        "current": sum(one.is_current for one in running),
        "quiet": sum(one.is_quiet for one in running),
        "sites": Site.objects.select_related("customer"),
        "may_enrol": person(request).has_role(*KEEPERS),
    }
    return render(request, "models_registry/sites.html", context)


@require_POST
@role_required(*KEEPERS)
def make_code(request: HttpRequest) -> HttpResponse:
    site = get_object_or_404(Site, pk=_number(request.POST.get("site")))
    try:
        code = appliances.make_code(site, request.POST.get("channel", ""), person(request))
    except appliances.EnrolmentRefused as refusal:
        messages.error(request, str(refusal))
    else:
        told = _("Code for %(site)s, shown once, good for 14 days: %(code)s") % {"site": site, "code": code}
        messages.success(request, told)
    return redirect("models_registry:sites")


@require_POST
@role_required(*KEEPERS)
def retire_appliance(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Appliance, pk=pk)
    appliances.retire(found, person(request))
    messages.success(request, _("Retired: %(name)s.") % {"name": found})
    return redirect("models_registry:sites")


def delivery_of(bundle: Bundle, reader: User) -> dict[str, Any]:
    """Return what the page of a bundle says about its way out.

    To support the store names no customer: pages of triage do, of those they serve."""
    names = reader.has_role(*READERS)
    told = bundle.publications.select_related("customer")
    return {
        "publications": told if names else told.filter(customer=None),
        "releases": bundle.releases.select_related("customer", "by") if names else [],
        "receipts": bundle.receipts.all()[:5],
        "held": holds.against(bundle),
        "names_customers": names,
        "customers": Customer.objects.all() if names else [],
        "is_stable": _is_stable(bundle),
        "was_canary": bundle.publications.filter(channel="canary").exists(),
    }


def _is_stable(bundle: Bundle) -> bool:
    return builder.in_force(bundle.protocol, ["stable"]) == bundle


def _file(request: HttpRequest, name: str) -> bytes:
    given = request.FILES.get(name)
    if given is None or (given.size or 0) > LARGEST_FILE:
        raise releases.ReleaseRefused(_("Choose the file."))
    return bytes(given.read())


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
