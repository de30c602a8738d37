"""Models that were trained elsewhere, handed in by scripts: each becomes a candidate. Only ONNX enters."""

from __future__ import annotations

import json
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PersonAuthentication, TokenAuthentication, length_of, people
from accounts.models import User
from models_registry.api import MAKERS, VersionSerializer
from models_registry.models import Detector
from models_registry.services import foreign

MODEL_BYTES = 256 << 20  # of one request


class OfferSerializer(serializers.Serializer[Any]):
    model = serializers.FileField(help_text="ONNX, inputs and outputs as a version's: docs/formats/api-versions.md")
    text_model = serializers.FileField(help_text="LightGBM's text of the same trees")
    training_set = serializers.FileField(required=False, help_text="the frozen file, where it may come along")
    threshold = serializers.FloatField(help_text="probability, above 0 and below 1")
    origin = serializers.CharField(required=False, max_length=100, help_text="who trained it, and where")
    evidence = serializers.CharField(required=False, max_length=500_000, help_text="a JSON object: reports, figures")

    def validate_evidence(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise serializers.ValidationError("Expected a JSON object.")
        return value


class ImportedSerializer(VersionSerializer):
    new = serializers.BooleanField(help_text="false: the same model was here already, nothing was added")

    class Meta(VersionSerializer.Meta):
        fields = [*VersionSerializer.Meta.fields, "new"]


class Versions(APIView):
    """Models from outside become candidates; what follows is the same as for ours."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*MAKERS, writing=MAKERS)]
    parser_classes = [MultiPartParser]
    rate = "30/min"

    @extend_schema(
        operation_id="upload_version",
        description=(
            "A model that was trained elsewhere becomes a candidate. It is opened first in a process with little "
            "memory and time. The same ONNX again adds nothing. Pickle, joblib and the like are refused. For an "
            "engineer or a senior expert."
        ),
        request={"multipart/form-data": OfferSerializer},
        responses={200: ImportedSerializer, 201: ImportedSerializer},
    )
    def post(self, request: Request, name: str) -> Response:
        detector = get_object_or_404(Detector, name=name)
        length_of(request, MODEL_BYTES)
        told = OfferSerializer(data=request.data)
        told.is_valid(raise_exception=True)
        assert isinstance(request.user, User)  # the permission let them in
        try:
            version, is_new = foreign.receive(detector, _offer(told.validated_data), request.user)
        except foreign.ForeignRefused as refusal:
            raise exceptions.ValidationError({refusal.field: str(refusal)}, code="refused") from refusal
        answer = VersionSerializer(version).data | {"new": is_new}
        return Response(answer, status=201 if is_new else 200)


def _offer(values: dict[str, Any]) -> foreign.Offer:
    training_set = values.get("training_set")
    return foreign.Offer(
        model=values["model"].read(),
        text_model=values["text_model"].read(),
        threshold=values["threshold"],
        training_set=training_set.read() if training_set else b"",
        evidence=values.get("evidence", {}),
        origin=f"upload: {values['origin']}" if values.get("origin") else "upload",
    )
