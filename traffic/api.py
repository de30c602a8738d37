"""What machines hand in: logs of sensors, rule verdicts of other expert systems."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import TooMuch, holders, length_of
from accounts.models import Token
from detection.sources.lines import GZIP_MAGIC, TooMuchUnpackedError
from traffic.services import outside_hits, uploads
from traffic.services.outside_hits import Told

LOG_TYPES = ("application/x-ndjson", "application/json", "application/gzip", "application/octet-stream", "text/plain")
VERDICTS = 1000  # per request
LARGEST = (1 << 63) - 1


class NotNow(exceptions.APIException):
    """Sent with Retry-After: 503 when there is no room, 429 when there is too much to do."""

    def __init__(self, refusal: uploads.Refused) -> None:
        self.status_code = 503 if isinstance(refusal, uploads.NoRoom) else 429
        self.wait = refusal.retry_after
        super().__init__(str(refusal), "no_room" if self.status_code == 503 else "too_busy")


class IntakeSerializer(serializers.Serializer[Any]):
    """What became of a log."""

    duplicate = serializers.BooleanField(help_text="the same bytes were taken in before; nothing was added")
    intake = serializers.IntegerField(allow_null=True)
    sessions = serializers.IntegerField()
    http = serializers.IntegerField()
    tls = serializers.IntegerField()
    rule_hits = serializers.IntegerField()
    rejected = serializers.IntegerField(help_text="lines that could not be used; they lie in the quarantine")
    reasons = serializers.DictField(child=serializers.IntegerField(), help_text="of the rejected lines, with counts")
    seconds = serializers.FloatField()
    quarantine = serializers.CharField(allow_null=True, help_text="page of the rejected lines")


class Traffic(APIView):
    """Logs of a sensor: lines of Suricata's EVE or of Zeek's JSON, plain or gzip."""

    permission_classes = [holders(Token.Kind.SENSOR)]
    rate = "300/min"

    @extend_schema(
        operation_id="send_traffic",
        description=(
            "The body is the log as the sensor wrote it, plain or gzip, read as it arrives. The same bytes again add "
            "nothing and say so. At most 1 GiB, also unpacked, and unpacked at most 20 times the size. "
            "429 and 503 say in Retry-After when to send it again; nothing was read then."
        ),
        parameters=[
            OpenApiParameter("name", str, description="of the log; what leave-one-source-out leaves out"),
            OpenApiParameter("sensor", str, description="must be the token's own, where it is given"),
        ],
        request={kind: OpenApiRequest(OpenApiTypes.BINARY) for kind in LOG_TYPES},
        responses={200: IntakeSerializer, 201: IntakeSerializer},
    )
    def post(self, request: Request) -> Response:
        token = request.auth
        assert isinstance(token, Token)
        told = request.query_params
        if told.get("sensor", token.name) != token.name:
            raise exceptions.PermissionDenied(f"This token speaks for the sensor {token.name!r} only.")
        try:
            result = uploads.take_in(_body(request), _one_line(told.get("name", "")) or token.name, token.name)
        except uploads.Refused as refusal:
            raise NotNow(refusal) from refusal
        except uploads.TornBody as error:
            raise exceptions.ParseError(f"The body is torn: {error}.") from error
        except TooMuchUnpackedError as error:
            raise TooMuch(f"The log {error}.") from error
        quarantine = reverse("traffic:quarantine", args=[result.intake]) if result.rejected and result.intake else None
        answer = IntakeSerializer(asdict(result) | {"quarantine": quarantine}).data
        return Response(answer, status=200 if result.duplicate else 201)


def _body(request: Request) -> uploads.Body:
    """Return the body unread. What its type is called does not matter: the first bytes say what it is."""
    length = length_of(request, uploads.BODY_BYTES)
    if not length:
        raise exceptions.ParseError("The body is empty.")
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise exceptions.UnsupportedMediaType(encoding, "Content-Encoding must be gzip, or none.")
    body = uploads.Body(request._request, length)
    if "gzip" in encoding and not body.begins_with(GZIP_MAGIC):
        raise exceptions.ParseError("Content-Encoding says gzip, and the body is not.")
    return body


def _one_line(name: str) -> str:
    if not name.isprintable() or len(name) > 200:
        raise exceptions.ValidationError({"name": "Expected at most 200 characters on one line."})
    return name


class VerdictSerializer(serializers.Serializer[Any]):
    """One rule of the system, on one session: named by its key, or by the four parts of it."""

    session = serializers.CharField(
        required=False, max_length=200, help_text="sensor|flow_id|tx_id|start in microseconds; tx_id may be empty"
    )
    sensor = serializers.CharField(required=False, max_length=100)
    flow_id = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST)
    tx_id = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=LARGEST)
    start = serializers.DateTimeField(required=False, help_text="of the session, to the microsecond")
    rule_id = serializers.CharField(max_length=100)
    rule_name = serializers.CharField(required=False, allow_blank=True, max_length=255, default="")
    time = serializers.DateTimeField(help_text="when the system said so")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("session" in attrs) == ("sensor" in attrs):
            raise serializers.ValidationError("Expected either session, or sensor, flow_id, tx_id and start.")
        if "session" in attrs:
            return attrs | _parts(attrs["session"])
        missing = {name: "Expected beside sensor." for name in ("flow_id", "start") if name not in attrs}
        if missing:
            raise serializers.ValidationError(missing)
        start = outside_hits.microseconds(attrs["start"])
        if start < 0:
            raise serializers.ValidationError({"start": "Expected a time after 1970."})
        return attrs | {"start": start}


def _parts(key: str) -> dict[str, Any]:
    sensor, *numbers = key.rsplit("|", 3)
    flow_id, tx_id, start = numbers if len(numbers) == 3 else ("", "", "")
    if not (sensor and len(sensor) <= 100 and _is_number(flow_id) and _is_number(start) and _is_number(tx_id or "0")):
        raise serializers.ValidationError({"session": "Expected sensor|flow_id|tx_id|start in microseconds."})
    return {"sensor": sensor, "flow_id": int(flow_id), "tx_id": int(tx_id) if tx_id else None, "start": int(start)}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= LARGEST


class VerdictResultSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["accepted", "known", "rejected"])
    errors = serializers.DictField(  # type: ignore[assignment]  # DRF takes fields out of the class
        child=serializers.ListField(child=serializers.CharField()), required=False
    )


class VerdictResultsSerializer(serializers.Serializer[Any]):
    """What became of each verdict, in the order sent."""

    accepted = serializers.IntegerField()
    known = serializers.IntegerField(help_text="told before; nothing was changed")
    rejected = serializers.IntegerField()
    results = VerdictResultSerializer(many=True)


class RuleVerdicts(APIView):
    """What another expert system said about sessions: hits of that system, never labels."""

    permission_classes = [holders(Token.Kind.SYSTEM)]

    @extend_schema(
        operation_id="send_rule_verdicts",
        description=(
            f"At most {VERDICTS} at a time. The system is the one the token names. Telling again changes nothing. A "
            "session that is not here yet is no error: the verdict waits for it. Wrong rows are rejected by "
            "themselves, the others are kept."
        ),
        request=VerdictSerializer(many=True),
        responses={200: VerdictResultsSerializer},
    )
    def post(self, request: Request) -> Response:
        rows: Any = request.data
        if not isinstance(rows, list) or not 1 <= len(rows) <= VERDICTS:
            raise exceptions.ValidationError(f"Expected a list of 1 to {VERDICTS} verdicts.")
        assert isinstance(request.auth, Token)
        read = [VerdictSerializer(data=row) for row in rows]
        good = [index for index, row in enumerate(read) if row.is_valid()]
        new = dict(zip(good, outside_hits.receive([_told(read[index]) for index in good], request.auth), strict=True))
        results = [
            {"index": index, "status": "accepted" if new[index] else "known"}
            if index in new
            else {"index": index, "status": "rejected", "errors": _texts(row.errors)}
            for index, row in enumerate(read)
        ]
        counts = {
            "accepted": sum(new.values()),
            "known": len(new) - sum(new.values()),
            "rejected": len(rows) - len(good),
        }
        return Response(counts | {"results": results})


def _told(row: VerdictSerializer) -> Told:
    values = row.validated_data
    return Told(
        sensor=values["sensor"],
        flow_id=values["flow_id"],
        tx_id=values.get("tx_id"),
        start=values["start"],
        rule_id=values["rule_id"],
        rule_name=values["rule_name"],
        at=values["time"],
    )


def _texts(errors: Any) -> dict[str, list[str]]:
    """Return errors as field → texts; an error of the whole row stands under an empty name."""
    told = errors if isinstance(errors, dict) else {"non_field_errors": errors}
    return {"" if field == "non_field_errors" else field: [str(one) for one in found] for field, found in told.items()}
