"""The builder: versions, thresholds and silent flags become a build_config.yml, and that a bundle."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.rights import person, role_required
from accounts.roles import Role
from detection.bundle import BundleError
from detection.bundle_config import ConfigError
from jobs.models import Job
from models_registry.models import Bundle, Customer, Stage, Version
from models_registry.services import builder, bundles, comparisons, gates
from models_registry.views.asked import STAGERS

BUILDERS = (Role.ENGINEER,)
LONGEST = 20_000  # characters of a configuration


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*BUILDERS)
def build_bundle(request: HttpRequest) -> HttpResponse:
    """Choose and check; POST builds what stands in the box. `?version=&threshold=`: the bundle in force, changed so."""
    config = request.POST.get("config", "")[:LONGEST] if request.method == "POST" else ""
    status = 400 if config else 200
    if request.method != "POST":
        config = _asked(request)
    elif config:
        try:
            made = bundles.build(config, request.POST.get("min_product_version", "")[:32])
        except (ConfigError, BundleError, bundles.BundleRefused, gates.NothingToCheck) as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("Built: %(bundle)s.") % {"bundle": made})
            return redirect("models_registry:bundle", made.pk)
    context = {"versions": _versions(), **_plan(config)}
    return render(request, "models_registry/build_bundle.html", context, status=status)


def _asked(request: HttpRequest) -> str:
    """Return the configuration that a link of the dial asks for: of one customer, where it names one."""
    number, asked = (paging.key_of(request.GET.get(name)) for name in ("version", "customer"))
    version = Version.objects.select_related("detector").filter(pk=number).first() if number else None
    customer = Customer.objects.filter(pk=asked).first() if asked else None
    try:
        threshold = float(request.GET.get("threshold", ""))
    except ValueError:
        return ""
    return builder.with_threshold(version, threshold, customer) if version and 0 < threshold < 1 else ""


@require_POST
@role_required(*BUILDERS)
def check_config(request: HttpRequest) -> HttpResponse:
    """The box and its checks, while somebody chooses (`choose`) or types."""
    if "choose" in request.POST:
        config = builder.config_of(_chosen(request))
    else:
        config = request.POST.get("config", "")[:LONGEST]
    return render(request, "models_registry/_plan.html", _plan(config))


@require_POST
@role_required(*BUILDERS)
def compare_bundle(request: HttpRequest) -> HttpResponse:
    """Have a job count what the configuration would change on last week's traffic."""
    try:
        difference = comparisons.of_config(request.POST.get("config", "")[:LONGEST])
    except ConfigError as error:
        return render(request, "models_registry/_comparison.html", {"refusal": str(error)}, status=400)
    job = comparisons.start(difference, person(request))
    return render(request, "models_registry/_comparison.html", {"job": job, "differs": job is not None})


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*STAGERS)
def compare_bundles(request: HttpRequest, pk: int, later: int) -> HttpResponse:
    """What a later bundle would change for those who have this one, as far as it was counted; POST has a job count."""
    own, other = get_object_or_404(Bundle, pk=pk), get_object_or_404(Bundle, pk=later)
    if own.protocol != other.protocol:
        raise Http404  # nobody who has one gets the other in its place
    difference = comparisons.of_bundles(own, other)
    counts = request.method == "POST"
    job = comparisons.start(difference, person(request)) if counts else comparisons.last(difference)
    context = {"job": job, "differs": bool(difference.run_key), "beside": request.path}
    return render(request, "models_registry/_comparison.html", context)


@require_safe
@role_required(*STAGERS)
def comparison(request: HttpRequest, pk: int) -> HttpResponse:
    """How far a comparison is, and what it found."""
    found = get_object_or_404(Job, pk=pk, task=comparisons.TASK)
    return render(request, "models_registry/_comparison.html", {"job": found, "differs": True})


def _plan(config: str) -> dict[str, Any]:
    """Return the box, its checks, and what is known of its verdicts."""
    plan = builder.plan(config) if config else None
    if plan is None or plan.error or plan.former is None:
        return {"plan": plan, "config": config}
    difference = comparisons.of_config(config)
    return {"plan": plan, "config": config, "differs": bool(difference.run_key), "job": comparisons.last(difference)}


def _versions() -> list[Version]:
    found = Version.objects.exclude(stage=Stage.RETIRED).select_related("detector")
    return list(found.order_by("detector__protocol", "detector__name", "-number")[:200])


def _chosen(request: HttpRequest) -> list[dict[str, Any]]:
    chosen = []
    for version in _versions():
        if request.POST.get(f"use-{version.pk}"):
            threshold = request.POST.get(f"threshold-{version.pk}", str(version.threshold)).strip()[:24]
            is_silent = request.POST.get(f"voice-{version.pk}") != "loud"
            chosen.append(builder.choice(version, threshold, is_silent))
    return chosen
