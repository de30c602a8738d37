"""Counts of appliances: one signed message an hour and bundle."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import holders, length_of
from accounts.models import Token
from detection.envelopes import EnvelopeRefused, canonical
from models_registry.feed_api import EnvelopeSerializer
from models_registry.models import Appliance
from triage.services.telemetry import intake
from triage.services.telemetry.intake import Taken


class WindowSerializer(serializers.Serializer[Any]):
    """What became of a message."""

    window = serializers.ChoiceField(
        choices=[one.value for one in Taken],
        help_text="new; corrected: it replaced what was told of the hour; known: it or a newer one was there",
    )
    hour = serializers.DateTimeField(help_text="that it counts")


class Telemetry(APIView):
    """One hour of counts, signed by the appliance."""

    permission_classes: list[type[BasePermission]] = [holders(Token.Kind.APPLIANCE)]
    parser_classes = [JSONParser]
    rate = "1200/min"  # a stick's worth of hours after an outage

    @extend_schema(
        operation_id="send_telemetry",
        description=(
            "The form is docs/formats/telemetry.md, at most 256 KiB. Of each appliance, bundle and hour the message "
            "with the highest counter counts: sending again changes nothing, a newer message corrects, an hour may be "
            "up to 92 days old. Counts that cannot be are refused whole; errors name the field."
        ),
        request=EnvelopeSerializer,
        responses={200: WindowSerializer, 201: WindowSerializer},
    )
    def post(self, request: Request) -> Response:
        length_of(request, intake.LARGEST_MESSAGE)
        assert isinstance(request.auth, Token)
        in_use = Appliance.objects.filter(token=request.auth, retired_at=None).select_related("site")
        appliance = next(iter(in_use.order_by()), None)  # a token has one appliance
        if appliance is None:
            raise exceptions.PermissionDenied("The appliance of this token is retired.")
        try:
            taken, window = intake.take_in(_bytes(request.data), appliance)
        except intake.TelemetryRefused as refusal:
            raise exceptions.ValidationError({refusal.field: [str(refusal)]}) from refusal
        except EnvelopeRefused as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        answer = WindowSerializer({"window": taken.value, "hour": window.hour}).data
        return Response(answer, status=201 if taken is Taken.NEW else 200)


def _bytes(data: Any) -> bytes:
    try:
        return canonical(data)
    except (ValueError, RecursionError) as error:  # NaN, a lone surrogate
        raise EnvelopeRefused("the message is no plain JSON") from error
