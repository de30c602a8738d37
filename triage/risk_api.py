"""What behaviour models hand in: risk scores of users and hosts."""

from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import holders
from accounts.models import Token
from triage.models import Organisation
from triage.services.risk import scores
from triage.services.risk.scores import Told

MOST = 10_000  # scores, and missing entities, per request


class ScoreSerializer(serializers.Serializer[Any]):
    """What a model said of one entity."""

    entity = serializers.CharField(max_length=200, help_text="user or host")
    feature = serializers.CharField(max_length=100, help_text="what was unusual: working hours, new machine, ...")
    time = serializers.DateTimeField(help_text="of the event; with a zone, or UTC")
    score = serializers.FloatField(min_value=0, help_text="risk, 0 to 100; above is damped")
    peers = serializers.CharField(
        max_length=100, required=False, allow_blank=True, default="", help_text="department, or role of a host"
    )

    def validate_score(self, value: float) -> float:
        if not math.isfinite(value):
            raise serializers.ValidationError("Expected a finite number.")
        return value


class MissingSerializer(serializers.Serializer[Any]):
    """A day on which nothing could be heard."""

    day = serializers.DateField(help_text="of the organisation's time zone")
    entities = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        allow_null=True,
        default=None,
        max_length=MOST,
        help_text="of these; of all when it is absent",
    )


class BatchSerializer(serializers.Serializer[Any]):
    scores = serializers.ListField(child=ScoreSerializer(), required=False, default=list, max_length=MOST)
    missing = serializers.ListField(child=MissingSerializer(), required=False, default=list, max_length=100)


class TakenSerializer(serializers.Serializer[Any]):
    """What became of a batch."""

    taken = serializers.IntegerField(help_text="scores that stand: new ones and larger ones of their day and feature")
    kept = serializers.IntegerField(help_text="a score as large stood already")
    late = serializers.IntegerField(help_text="of those taken: their day was closed, the next night takes them in")
    too_late = serializers.IntegerField(help_text="dropped: more than seven days old, or their day has counted")
    missing = serializers.IntegerField(help_text="days of entities noted as missing, that were not before")


class RiskScores(APIView):
    """Risk scores of an organisation's users and hosts."""

    permission_classes = [holders(Token.Kind.RISK)]

    @extend_schema(
        operation_id="send_risk_scores",
        description=(
            f"At most {MOST:,} scores at a time. The organisation is the one the token names. Of each entity, feature "
            "and day the largest score counts, so sending again changes nothing. A batch with a wrong row is refused "
            "whole: the answer names each field."
        ),
        request=BatchSerializer,
        responses={200: TakenSerializer},
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.auth, Token)
        organisation = Organisation.objects.filter(name=request.auth.name).first()
        if organisation is None:
            raise exceptions.PermissionDenied(
                f"There is no organisation {request.auth.name!r}: an administrator makes it, or a token of its name."
            )
        batch = BatchSerializer(data=request.data)
        batch.is_valid(raise_exception=True)
        told = [
            Told(one["entity"], one["feature"], one["time"], one["score"], one["peers"])
            for one in batch.validated_data["scores"]
        ]
        try:
            taken = scores.take_in(organisation, told, request.auth.name)
        except scores.FromTheFuture as error:
            raise exceptions.ValidationError({"scores": [f"{error}."]}) from error
        missing = sum(scores.miss(organisation, one["day"], one["entities"]) for one in batch.validated_data["missing"])
        answer = {"taken": taken.taken, "kept": taken.kept, "late": taken.late, "too_late": taken.too_late}
        return Response(answer | {"missing": missing})
