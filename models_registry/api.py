"""Detectors and their versions, for scripts of people. Nothing is approved here: that takes a second person's page."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PersonAuthentication, TokenAuthentication, people
from accounts.models import User
from accounts.roles import READERS, Role
from detection.ship_queries import POSITIVES, SHARES
from models_registry.models import Detector, DetectorProposal, ShipQuery, ShipQueryProposal, Version, Weekday
from models_registry.services import ship_queries
from models_registry.services.detector_changes import propose
from models_registry.services.detectors import SCHEDULE, DetectorError, make_detector
from models_registry.services.two_people import ChangeRefused

LARGEST = (1 << 63) - 1
MAKERS = (Role.ENGINEER, Role.SENIOR)


class RulesSerializer(serializers.Serializer[Any]):
    """Which rules speak about the class: detection.rules.RuleMapping. What is left out is empty."""

    name_patterns = serializers.ListField(child=serializers.CharField(), required=False, help_text="with * and ?")
    categories = serializers.ListField(child=serializers.CharField(), required=False)
    classtypes = serializers.ListField(child=serializers.CharField(), required=False)
    sids = serializers.ListField(child=serializers.IntegerField(min_value=0, max_value=LARGEST), required=False)
    max_severity = serializers.IntegerField(min_value=1, max_value=255, required=False, allow_null=True)
    exclude_name_patterns = serializers.ListField(child=serializers.CharField(), required=False)
    exclude_sids = serializers.ListField(child=serializers.IntegerField(min_value=0, max_value=LARGEST), required=False)


class ScheduleSerializer(serializers.Serializer[Any]):
    """When training is considered, UTC."""

    hour = serializers.IntegerField(min_value=0, max_value=23, required=False)
    weekday = serializers.ChoiceField(
        choices=Weekday.choices, required=False, allow_null=True, help_text="null: every night"
    )
    labels = serializers.IntegerField(min_value=1, max_value=1_000_000, required=False)
    days = serializers.IntegerField(min_value=1, max_value=3650, required=False)


class VersionSerializer(serializers.ModelSerializer[Version]):
    class Meta:
        model = Version
        fields = ["number", "stage", "threshold", "contract", "onnx_digest", "created_at"]


class DetectorSerializer(serializers.ModelSerializer[Detector]):
    """A detector as it is now: `rules` is the mapping in force."""

    rules = serializers.SerializerMethodField()
    schedule = serializers.SerializerMethodField()
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
            "schedule",
            "created_at",
            "versions",
        ]

    @extend_schema_field(RulesSerializer)
    def get_rules(self, detector: Detector) -> dict[str, Any]:
        return dict(detector.mapping.mapping)

    def get_rules_number(self, detector: Detector) -> int:
        return detector.mapping.number

    @extend_schema_field(ScheduleSerializer)
    def get_schedule(self, detector: Detector) -> dict[str, Any]:
        return {
            name: None if (value := getattr(detector, column)) == "" else value for name, column in SCHEDULE.items()
        }


class NewDetectorSerializer(serializers.Serializer[Any]):
    """The same keys as in a detector file (docs/formats)."""

    name = serializers.SlugField(max_length=64)
    protocol = serializers.CharField(required=False, max_length=16)
    positive_class = serializers.CharField(required=False, max_length=32)
    negative_class = serializers.CharField(required=False, max_length=32)
    positive_key = serializers.CharField(required=False, max_length=1)
    negative_key = serializers.CharField(required=False, max_length=1)
    false_positive_cost = serializers.FloatField(required=False)
    rules = RulesSerializer(required=False)
    schedule = ScheduleSerializer(required=False)


class ChangeSerializer(serializers.Serializer[Any]):
    """What is left out stays as it is."""

    rules = RulesSerializer(required=False)
    false_positive_cost = serializers.FloatField(required=False)
    reason = serializers.CharField(required=False, max_length=255, allow_blank=True)


class ProposalSerializer(serializers.ModelSerializer[DetectorProposal]):
    class Meta:
        model = DetectorProposal
        fields = ["id", "digest", "old_cost", "new_cost", "reason", "at"]


class Exists(exceptions.APIException):
    status_code = 409
    default_detail = "There is a detector of that name; propose a change to it."
    default_code = "exists"


class Detectors(APIView):
    """Detectors: the list for everybody who reads, new ones by those who may make them."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*READERS, writing=MAKERS)]

    @extend_schema(
        operation_id="list_detectors", description="All detectors.", responses={200: DetectorSerializer(many=True)}
    )
    def get(self, request: Request) -> Response:
        return Response(DetectorSerializer(_detectors(), many=True).data)

    @extend_schema(
        operation_id="make_detector",
        description="A new detector; its first rules take effect at once. For an engineer or a senior expert.",
        request=NewDetectorSerializer,
        responses={201: DetectorSerializer},
    )
    def post(self, request: Request) -> Response:
        told = NewDetectorSerializer(data=request.data)
        told.is_valid(raise_exception=True)
        if Detector.objects.filter(name=told.validated_data["name"]).exists():
            raise Exists
        try:
            made = make_detector(told.validated_data, by=_person(request))
        except DetectorError as error:
            raise exceptions.ValidationError(str(error)) from error
        except ValidationError as error:
            raise exceptions.ValidationError(error.message_dict) from error
        return Response(DetectorSerializer(made).data, status=201)


class OneDetector(APIView):
    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*READERS, writing=MAKERS)]

    @extend_schema(operation_id="read_detector", description="One detector.", responses={200: DetectorSerializer})
    def get(self, request: Request, name: str) -> Response:
        return Response(DetectorSerializer(get_object_or_404(_detectors(), name=name)).data)


class Proposals(APIView):
    """Other rules, or another price: in force when a second person agrees, on that person's page."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*MAKERS, writing=MAKERS)]

    @extend_schema(operation_id="propose_change", request=ChangeSerializer, responses={201: ProposalSerializer})
    def post(self, request: Request, name: str) -> Response:
        found = get_object_or_404(Detector, name=name)
        told = ChangeSerializer(data=request.data)
        told.is_valid(raise_exception=True)
        values = told.validated_data
        try:
            proposal = propose(
                found,
                _person(request),
                rules=values.get("rules"),
                cost=values.get("false_positive_cost"),
                reason=values.get("reason", ""),
            )
        except ChangeRefused as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        return Response(ProposalSerializer(proposal).data, status=201)


class CeilingsSerializer(serializers.Serializer[Any]):
    """A ceiling in sessions and one in hosts, each as a number, a share (0 to 1), or both."""

    sessions = serializers.IntegerField(min_value=0, max_value=LARGEST, required=False, allow_null=True)
    hosts = serializers.IntegerField(min_value=0, max_value=LARGEST, required=False, allow_null=True)
    sessions_share = serializers.FloatField(min_value=0, max_value=1, required=False, allow_null=True)
    hosts_share = serializers.FloatField(min_value=0, max_value=1, required=False, allow_null=True)
    of = serializers.ChoiceField(choices=SHARES, default=POSITIVES, help_text="what shares are of")


class ExemptionSerializer(serializers.Serializer[Any]):
    filter = serializers.CharField(max_length=4_000)
    reason = serializers.CharField(max_length=255)


class TermsSerializer(serializers.Serializer[Any]):
    """detection.ship_queries.Terms; filters are in the language of hunts."""

    filter = serializers.CharField(max_length=4_000)
    ceilings = CeilingsSerializer()
    exceptions = ExemptionSerializer(many=True, required=False)


class ShipQuerySerializer(serializers.ModelSerializer[ShipQuery]):
    terms = TermsSerializer()
    made_by = serializers.CharField()
    approved_by = serializers.CharField()

    class Meta:
        model = ShipQuery
        fields = ["name", "number", "terms", "digest", "made_by", "approved_by", "created_at"]


class ShipQueryChangeSerializer(serializers.Serializer[Any]):
    name = serializers.SlugField(max_length=64)
    terms = TermsSerializer(allow_null=True, help_text="null: withdraw the query")
    reason = serializers.CharField(required=False, max_length=255, allow_blank=True)


class ShipQueryProposalSerializer(serializers.ModelSerializer[ShipQueryProposal]):
    class Meta:
        model = ShipQueryProposal
        fields = ["id", "name", "digest", "reason", "at"]


class ShipQueries(APIView):
    """Ship queries of a detector: those in force, and a proposal that a second person approves on a page."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*READERS, writing=MAKERS)]

    @extend_schema(operation_id="list_ship_queries", responses={200: ShipQuerySerializer(many=True)})
    def get(self, request: Request, name: str) -> Response:
        found = get_object_or_404(Detector, name=name)
        return Response(ShipQuerySerializer(ship_queries.in_force(found), many=True).data)

    @extend_schema(
        operation_id="propose_ship_query",
        request=ShipQueryChangeSerializer,
        responses={201: ShipQueryProposalSerializer},
    )
    def post(self, request: Request, name: str) -> Response:
        found = get_object_or_404(Detector, name=name)
        asked = ShipQueryChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        told = asked.validated_data
        try:
            terms = ship_queries.read_terms(told["terms"]) if told["terms"] else None
            proposal = ship_queries.propose(found, told["name"], terms, _person(request), reason=told.get("reason", ""))
        except ChangeRefused as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        return Response(ShipQueryProposalSerializer(proposal).data, status=201)


def _detectors() -> QuerySet[Detector]:
    return Detector.objects.prefetch_related("versions")


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # the permission let them in
    return request.user
