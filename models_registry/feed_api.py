"""The delivery feed for appliances: metadata, bundles, enrolment, reports. Each sees its own channel and customer."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import TokenAuthentication, holders
from accounts.models import Token
from detection.envelopes import EnvelopeRefused, canonical
from models_registry.models import Appliance
from models_registry.services import appliances, feed, feed_export

SHARED = ("root", "targets", "snapshot", "timestamp")


class EnrolmentSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(max_length=100)
    public_key = serializers.CharField(max_length=64, help_text="ed25519, 64 hex digits")


class EnrolledSerializer(serializers.Serializer[Any]):
    appliance = serializers.CharField(help_text="the name it signs under")
    channel = serializers.CharField()
    role = serializers.CharField(help_text="the customer's role in the feed")
    token = serializers.CharField(help_text="shown once")
    root = serializers.CharField(  # type: ignore[assignment]  # DRF takes fields out of the class
        help_text="the first root of the feed, as JSON"
    )


class EnvelopeSerializer(serializers.Serializer[Any]):
    """A signed message: docs/formats/telemetry.md."""

    format = serializers.IntegerField()
    kind = serializers.CharField()
    appliance = serializers.CharField()
    counter = serializers.IntegerField()
    at = serializers.CharField()
    body = serializers.DictField()
    signature = serializers.CharField()


class Enrol(APIView):
    """Takes a one-time code and an appliance's public key."""

    authentication_classes = ()
    permission_classes = [AllowAny]
    rate = "60/min"

    @extend_schema(
        operation_id="enrol_appliance", request=EnrolmentSerializer, responses={201: EnrolledSerializer}, auth=[]
    )
    def post(self, request: Request) -> Response:
        told = EnrolmentSerializer(data=request.data)
        told.is_valid(raise_exception=True)
        try:
            answer = appliances.enrol(told.validated_data["code"], told.validated_data["public_key"])
        except appliances.EnrolmentRefused as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        return Response(answer, status=201)


class _ForAppliances(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [holders(Token.Kind.APPLIANCE)]

    def appliance(self, request: Request) -> Appliance:
        assert isinstance(request.auth, Token)
        found = Appliance.objects.select_related("site__customer").filter(token=request.auth, retired_at=None).first()
        if found is None:
            raise exceptions.PermissionDenied("The appliance of this token is retired.")
        return found


class FeedMetadata(_ForAppliances):
    """Metadata of The Update Framework."""

    @extend_schema(operation_id="feed_metadata", responses={(200, "application/json"): OpenApiTypes.OBJECT})
    def get(self, request: Request, name: str) -> HttpResponse:
        role = feed.feed_role(self.appliance(request).site.customer)
        found = None if "\0" in name else feed.served(name)
        if found is None or found.role not in (*SHARED, role):  # another customer's role is not there, for this one
            raise Http404
        return HttpResponse(found.body, content_type="application/json")


class FeedTarget(_ForAppliances):
    """A bundle, as a release has signed it."""

    @extend_schema(operation_id="feed_target", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, path: str) -> HttpResponse:
        appliance = self.appliance(request)
        folder = path.rpartition("/")[0]
        data = None if "\0" in path else feed_export.content(path)
        if data is None or folder not in (appliance.channel, feed.feed_role(appliance.site.customer)):
            raise Http404
        return HttpResponse(data, content_type="application/octet-stream")


class Report(_ForAppliances):
    """Which bundles an appliance runs: a signed message."""

    parser_classes = [JSONParser]

    @extend_schema(operation_id="report_bundles", request=EnvelopeSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        self.appliance(request)
        try:
            appliances.report(canonical(request.data))
        except (EnvelopeRefused, ValueError) as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        return Response(status=204)
