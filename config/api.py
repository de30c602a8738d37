"""Where each address of the API lives, its OpenAPI document, and a page that reads it to people."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_registry import feed_api, release_api
from models_registry.api import Detectors, OneDetector, Proposals, ShipQueries
from models_registry.score_api import Scores
from models_registry.upload_api import Versions
from traffic.api import RuleVerdicts, Traffic
from triage.api import ComplaintEvidence, Complaints, OneComplaint
from triage.risk_api import RiskScores
from triage.telemetry_api import Telemetry

METHODS = ("get", "post", "put", "patch", "delete")


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.api.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "an administrator makes it; shown once"}


class PersonScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.api.PersonAuthentication"
    name = "sign-in"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document: the same for everybody, worked out once per process."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made


class Schema(APIView):
    """The OpenAPI document of this API."""

    authentication_classes = ()
    permission_classes = [AllowAny]
    rate = "60/min"

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(document())


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The document as a page: server-drawn, nothing fetched, nothing that the content policy would have to allow."""
    return render(request, "config/api.html", {"info": document()["info"], "operations": _operations()})


@cache
def _operations() -> list[dict[str, Any]]:
    told = document()
    return [
        {"method": method.upper(), "path": address, "id": operation["operationId"]}
        | {"description": operation.get("description", ""), "parameters": operation.get("parameters", [])}
        | {"takes": _bodies(operation.get("requestBody", {})), "answers": _answers(operation["responses"])}
        for address, operations in told["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    ]


def _answers(responses: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"status": status, "bodies": _bodies(answer)} for status, answer in sorted(responses.items()) if status < "400"
    ]


def _bodies(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "fields": _fields(content.get("schema", {}))}
        for kind, content in body.get("content", {}).items()
    ]


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    schema = _resolved(schema)
    if schema.get("type") == "array":
        schema = _resolved(schema["items"])
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "type": _type(field),
            "required": name in required,
            "description": _resolved(field).get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    found = _resolved(field)
    if found.get("type") == "array":
        return f"list of {_type(found['items'])}"
    choices = " | ".join(map(str, found.get("enum", ())))
    return choices or str(found.get("format") or found.get("type", "object"))


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference names."""
    if "allOf" in schema:
        return _resolved(schema["allOf"][0]) | {name: value for name, value in schema.items() if name != "allOf"}
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


app_name = "api"
urlpatterns = [
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("traffic/", Traffic.as_view(), name="traffic"),
    path("rule-verdicts/", RuleVerdicts.as_view(), name="rule-verdicts"),
    path("telemetry/", Telemetry.as_view(), name="telemetry"),
    path("risk-scores/", RiskScores.as_view(), name="risk-scores"),
    path("complaints/", Complaints.as_view(), name="complaints"),
    path("complaints/<int:pk>/", OneComplaint.as_view(), name="complaint"),
    path("complaints/<int:pk>/evidence/", ComplaintEvidence.as_view(), name="complaint-evidence"),
    path("score/", Scores.as_view(), name="score"),
    path("feed/metadata/<str:name>.json", feed_api.FeedMetadata.as_view(), name="feed-metadata"),
    path("feed/targets/<path:path>", feed_api.FeedTarget.as_view(), name="feed-target"),
    path("releases/returns/", release_api.Returns.as_view(), name="returns"),
    path("releases/<int:pk>/", release_api.OneRelease.as_view(), name="release"),
    path("releases/<int:pk>/signatures/", release_api.Signatures.as_view(), name="signatures"),
    path("appliances/enrol/", feed_api.Enrol.as_view(), name="enrol"),
    path("appliances/report/", feed_api.Report.as_view(), name="report"),
    path("detectors/", Detectors.as_view(), name="detectors"),
    path("detectors/<slug:name>/", OneDetector.as_view(), name="detector"),
    path("detectors/<slug:name>/versions/", Versions.as_view(), name="upload-version"),
    path("detectors/<slug:name>/proposals/", Proposals.as_view(), name="proposals"),
    path("detectors/<slug:name>/ship-queries/", ShipQueries.as_view(), name="ship-queries"),
]
