"""Errors of the API as problem details (RFC 9457): what happened, where, and what each wrong field should have been."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.api import TooMuch

CONTENT_TYPE = "application/problem+json"
API = "/api/"
STATUSES = (400, 401, 403, 404, 405, 406, 409, 411, 413, 415, 429, 500, 503)
SCHEMA = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "example": "Bad Request"},
        "status": {"type": "integer", "example": 400},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "for programs: one word per kind of error"},
        "errors": {
            "type": "array",
            "description": "of fields, where fields were wrong",
            "items": {
                "type": "object",
                "required": ["field", "detail", "code"],
                "properties": {
                    "field": {"type": "string", "nullable": True, "description": "dotted, list items by number"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}


class ProblemFormatter(ExceptionFormatter):
    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        errors = error_response.errors
        if not isinstance(self.exc, exceptions.ValidationError):
            return problem(self.exc.status_code, " ".join(one.detail for one in errors), errors[0].code)
        fields = [{"field": one.attr, "detail": one.detail, "code": one.code} for one in errors]
        return problem(400, "Some fields are wrong: see errors.", "invalid") | {"errors": fields}


class ProblemHandler(ExceptionHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            return TooMuch()
        if isinstance(exc, SuspiciousOperation):
            return exceptions.ParseError("The request cannot be read.")
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: exceptions.APIException, response: Response) -> None:
        if not isinstance(self.exc, exceptions.APIException):  # a full disk is an answer, not a fault of the code
            super().report_exception(exc, response)

    def get_response(self, exc: exceptions.APIException, data: dict[str, Any]) -> Response:
        return Response(data, exc.status_code, headers=self.get_headers(exc), content_type=CONTENT_TYPE)


def problem(status: int, detail: str, code: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }


def is_for_machines(request: HttpRequest | None) -> bool:
    """Whether whoever asked reads problem details; errors outside the API's views come as pages to everybody else."""
    return request is not None and request.path.startswith(API)


def problem_response(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse(problem(status, detail, code), status=status, content_type=CONTENT_TYPE)


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Say in the OpenAPI document that every operation may answer with a problem."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = SCHEMA
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status in STATUSES:
                answer = {"description": HTTPStatus(status).phrase, "content": content}
                operation["responses"].setdefault(str(status), answer)
    return result
