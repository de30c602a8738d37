"""Detectors and their versions, for scripts of people. Nothing is approved here: that takes a second person's page."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PersonAuthentication, TokenAuthentication, people
from accounts.roles import Role
from models_registry.models import Detector, Version

READERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)
MAKERS = (Role.ENGINEER,)


class VersionSerializer(serializers.ModelSerializer[Version]):
    class Meta:
        model = Version
        fields = ["number", "stage", "threshold", "contract", "onnx_digest", "created_at"]


class DetectorSerializer(serializers.ModelSerializer[Detector]):
    """A detector as it is now: `rules` is the mapping in force."""

    rules = serializers.SerializerMethodField()
    rules_number = serializers.SerializerMethodField()
    versions = VersionSerializer(many=True, read_only=True)

    class Meta:
        model = Detector
        fields = [
            "name",
            "protocol",
            "positive_class",
            "negative_class",
            "positive_key",
            "negative_key",
            "false_positive_cost",
            "rules_number",
            "rules",
            "created_at",
            "versions",
        ]

    def get_rules(self, detector: Detector) -> dict[str, Any]:
        newest = detector.mappings.order_by("-number").first()
        return dict(newest.mapping) if newest else {}

    def get_rules_number(self, detector: Detector) -> int:
        newest = detector.mappings.order_by("-number").first()
        return newest.number if newest else 0


class Detectors(APIView):
    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*READERS, writing=MAKERS)]

    @extend_schema(operation_id="list_detectors", responses={200: DetectorSerializer(many=True)})
    def get(self, request: Request) -> Response:
        found = Detector.objects.prefetch_related("versions")
        return Response(DetectorSerializer(found, many=True).data)


class OneDetector(APIView):
    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*READERS, writing=MAKERS)]

    @extend_schema(operation_id="read_detector", responses={200: DetectorSerializer})
    def get(self, request: Request, name: str) -> Response:
        found = get_object_or_404(Detector.objects.prefetch_related("versions"), name=name)
        return Response(DetectorSerializer(found).data)
