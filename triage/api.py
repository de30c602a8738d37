"""Complaints for machines: a customer's portal files and follows its own, scripts of support those they serve."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import paging
from accounts.api import PersonAuthentication, TokenAuthentication, length_of
from accounts.models import Token, User
from accounts.roles import Role
from detection.evidence import LARGEST
from models_registry.models import Customer
from triage.models import Complaint, Severity
from triage.services import filing, served
from triage.services.attachments import MOST
from triage.services.filing import Details
from triage.services.states import LONGEST_TEXT, ComplaintRefused

PAGE = 100
LONGEST_FILE = 4 * (LARGEST // 3) + 4  # in base64
LARGEST_BODY = 2 * LONGEST_FILE
READERS = (Role.SUPPORT, Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class PortalOrPeople(BasePermission):
    """A portal reads and files its customer's complaints; people read those they may see, support files."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, Token) and request.auth.kind == Token.Kind.PORTAL:
            return True
        writes = request.method not in ("GET", "HEAD") and hasattr(view, str(request.method).lower())
        allowed = (Role.SUPPORT,) if writes else READERS
        return isinstance(request.user, User) and request.user.has_role(*allowed)


class FileSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, allow_blank=True, default="")
    content = serializers.CharField(max_length=LONGEST_FILE, help_text="base64")

    def validate_content(self, value: str) -> bytes:
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            raise serializers.ValidationError("Expected base64.") from None


class FilingSerializer(serializers.Serializer[Any]):
    """A complaint. Mandatory: what was flagged (in words, pasted, or as files) and whom to answer."""

    customer = serializers.CharField(
        max_length=100, required=False, help_text="name; a portal's token names its own customer"
    )
    flagged = serializers.CharField(max_length=200_000, allow_blank=True, default="", trim_whitespace=False)
    contact = serializers.CharField(max_length=200)
    files = FileSerializer(many=True, required=False, help_text="kit, EVE, Zeek, capture, HAR, saved mail")
    score_told = serializers.CharField(max_length=24, required=False, allow_blank=True)
    note = serializers.CharField(max_length=LONGEST_TEXT, required=False, allow_blank=True)
    severity = serializers.ChoiceField(choices=Severity.choices, required=False)
    received_at = serializers.DateTimeField(required=False)


class EvidenceSerializer(serializers.Serializer[Any]):
    """What was asked for."""

    text = serializers.CharField(max_length=LONGEST_TEXT)
    flagged = serializers.CharField(max_length=200_000, required=False, allow_blank=True, trim_whitespace=False)
    files = FileSerializer(many=True, required=False)


class StepSerializer(serializers.Serializer[Any]):
    state = serializers.CharField()
    at = serializers.DateTimeField()
    reason = serializers.CharField()
    bundle = serializers.CharField(source="bundle.digest", allow_null=True, default=None)


class AttachmentSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    digest = serializers.CharField()
    kind = serializers.CharField()
    refusal = serializers.CharField()
    told = serializers.CharField()


class ComplaintSerializer(serializers.Serializer[Any]):
    """Where a complaint stands."""

    id = serializers.IntegerField()
    number = serializers.CharField()
    customer = serializers.CharField(source="customer.name")
    state = serializers.CharField()
    clock = serializers.CharField(source="reading.state")
    received_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(source="deadline.due_at", allow_null=True)
    detector = serializers.CharField(source="detector.name", allow_null=True, default=None)
    bundle = serializers.CharField(source="bundle.digest", allow_null=True, default=None)
    score = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    reproduced = serializers.BooleanField()
    told_at = serializers.DateTimeField(allow_null=True)


class OneSerializer(ComplaintSerializer):
    """One complaint with its way, its files and the messages to the customer."""

    steps = StepSerializer(source="states", many=True)
    attachments = AttachmentSerializer(many=True)
    messages = serializers.SerializerMethodField()

    def get_messages(self, found: Complaint) -> list[str]:
        return [message.text for message in found.messages.all() if message.to_customer]


class PageSerializer(serializers.Serializer[Any]):
    complaints = ComplaintSerializer(many=True)
    before = serializers.IntegerField(allow_null=True, help_text="key of the next page; null: this is the last")


class Complaints(APIView):
    """All complaints that are yours to see, newest first; and filing one."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [PortalOrPeople]

    @extend_schema(
        operation_id="list_complaints",
        parameters=[OpenApiParameter("before", int, description="`before` of the page that was read last")],
        responses={200: PageSerializer},
    )
    def get(self, request: Request) -> Response:
        found = _visible(request).order_by("-id")
        rows, older = paging.page(found, request.query_params.get("before"), PAGE)
        key = int(older) if older else None
        return Response({"complaints": ComplaintSerializer(rows, many=True).data, "before": key})

    @extend_schema(
        operation_id="file_complaint",
        description="The same Idempotency-Key with the same complaint gives the one there is (200); with another, 409.",
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=FilingSerializer,
        responses={200: OneSerializer, 201: OneSerializer},
    )
    def post(self, request: Request) -> Response:
        length_of(request, LARGEST_BODY)
        asked = FilingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        told = asked.validated_data
        customer, by = _customer(request, told.get("customer", "")), _by(request)
        key = request.headers.get("Idempotency-Key", "").replace("\0", "")
        if len(key) > 100:
            raise exceptions.ValidationError({"Idempotency-Key": "Expected at most 100 characters."})
        names = ("score_told", "note", "severity", "received_at")
        details = Details(
            **{name: told[name] for name in names if told.get(name)},
            channel=Complaint.Channel.API,
            key=key,
            files=_files(told),
        )
        newest = Complaint.objects.order_by("-id").values_list("pk", flat=True).first() or 0
        try:
            filed = filing.file(customer, told["flagged"], told["contact"], by, details)
        except ComplaintRefused as refusal:
            raise Conflict(str(refusal)) from None
        is_new = filed.pk > newest or not key
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(_one(request, filed.pk), code)


class OneComplaint(APIView):
    """One complaint with its way."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [PortalOrPeople]

    @extend_schema(operation_id="read_complaint", responses={200: OneSerializer})
    def get(self, request: Request, pk: int) -> Response:
        return Response(_one(request, pk))


class ComplaintEvidence(APIView):
    """The answer to what was asked."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [PortalOrPeople]

    @extend_schema(operation_id="add_evidence", request=EvidenceSerializer, responses={200: OneSerializer})
    def post(self, request: Request, pk: int) -> Response:
        found = _visible(request).filter(pk=pk).first()
        if found is None:
            raise exceptions.NotFound
        length_of(request, LARGEST_BODY)
        asked = EvidenceSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        told = asked.validated_data
        try:
            filing.add_information(found, told["text"], _by(request), told.get("flagged", ""), _files(told))
        except ComplaintRefused as refusal:
            raise Conflict(str(refusal)) from None
        return Response(_one(request, pk))


def _visible(request: Request) -> QuerySet[Complaint]:
    """Return the complaints that whoever asks may see."""
    if isinstance(request.auth, Token) and request.auth.kind == Token.Kind.PORTAL:
        return Complaint.objects.listed().filter(customer__name=request.auth.name)
    assert isinstance(request.user, User)
    return Complaint.objects.visible_to(request.user).listed()


def _one(request: Request, pk: int) -> dict[str, Any]:
    found = _visible(request).filter(pk=pk).prefetch_related("states__bundle", "attachments", "messages").first()
    if found is None:
        raise exceptions.NotFound
    if isinstance(request.user, User):
        served.looked(request.user, found, "api")
    return dict(OneSerializer(found).data)


def _customer(request: Request, name: str) -> Customer:
    if isinstance(request.auth, Token) and request.auth.kind == Token.Kind.PORTAL:
        mine = Customer.objects.filter(name=request.auth.name)
        if name not in ("", request.auth.name):
            raise exceptions.PermissionDenied(f"This token speaks for {request.auth.name!r} only.")
    else:
        assert isinstance(request.user, User)
        mine = served.customers_of(request.user).filter(name=name)
    found: Customer | None = mine.first()
    if found is None:
        raise exceptions.ValidationError({"customer": "You serve no customer of this name."})
    return found


def _by(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _files(told: dict[str, Any]) -> tuple[tuple[str, bytes], ...]:
    files = told.get("files") or []
    if len(files) > MOST:
        raise exceptions.ValidationError({"files": f"Expected at most {MOST}."})
    return tuple((one["name"], one["content"]) for one in files)
