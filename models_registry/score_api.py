"""Models as a service: sessions in, verdicts out, by any registered version or bundle."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PersonAuthentication, TokenAuthentication, TooMuch, holders, people
from accounts.models import Token
from models_registry.api import READERS
from models_registry.models import Version
from models_registry.services import asked_scores
from models_registry.services.asked_scores import MOST, Asked

FORMS = ("session", "sessions", "record", "records")


class ScoreRequestSerializer(serializers.Serializer[Any]):
    """Which model, and one of session, sessions, record, records."""

    version = serializers.CharField(required=False, help_text="detector:number, as http-attacks:7")
    digest = serializers.CharField(required=False, help_text="SHA-256 of a version's ONNX file, or of a bundle")
    session = serializers.DictField(required=False, help_text="one session by columns; one left out is missing")
    sessions = serializers.ListField(child=serializers.DictField(), required=False, help_text=f"at most {MOST}")
    record = serializers.DictField(required=False, help_text="one session as Suricata writes it (EVE)")
    records = serializers.ListField(child=serializers.DictField(), required=False, help_text=f"at most {MOST}")


class ScoredModelSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["version", "bundle"])
    name = serializers.CharField()
    digest = serializers.CharField()
    protocol = serializers.CharField()
    threshold = serializers.FloatField(allow_null=True, help_text="of a version; a bundle has one per model")
    reads = serializers.ListField(child=serializers.CharField(), help_text="columns of a session that decide")


class ScoreSerializer(serializers.Serializer[Any]):
    """Of a version: score, raw, verdict. Of a bundle: verdicts per detector, scores per version."""

    score = serializers.FloatField(required=False)
    raw = serializers.FloatField(required=False, help_text="the sum that is compared; the score is for display")
    verdict = serializers.BooleanField(required=False)
    verdicts = serializers.DictField(child=serializers.BooleanField(), required=False)
    scores = serializers.DictField(child=serializers.FloatField(), required=False)


class ScoresSerializer(serializers.Serializer[Any]):
    model = ScoredModelSerializer()
    results = ScoreSerializer(many=True, help_text="in the order asked")


class Gone(exceptions.APIException):
    status_code = 503
    default_code = "model_gone"


class MayAsk(BasePermission):
    """A service's token, or a person who may read what models say."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        allowed = (holders(Token.Kind.SERVICE), people(*READERS, writing=READERS))
        return any(one().has_permission(request, view) for one in allowed)


class Scores(APIView):
    """What a version or a bundle says of sessions. Nothing is kept."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [MayAsk]
    rate = "300/min"

    @extend_schema(
        operation_id="score_sessions",
        description=(
            f"One session or at most {MOST}, by columns or as a sensor writes them, scored by the code of the "
            "pipeline and the appliance. Nothing is kept. For a service's token, and for people who read boards."
        ),
        request=ScoreRequestSerializer,
        responses={200: ScoresSerializer},
    )
    def post(self, request: Request) -> Response:
        told: Any = request.data
        if not isinstance(told, dict):
            raise exceptions.ValidationError("Expected an object.")
        form = _form(told)
        asked = _asked(told)
        several = form.endswith("s")
        given = told[form] if several else [told[form]]
        if not isinstance(given, list) or not given:
            raise exceptions.ValidationError({form: f"Expected a list of 1 to {MOST}."})
        if len(given) > MOST:
            raise TooMuch(f"{form}: at most {MOST} at a time, these are {len(given):,}.")
        read = asked_scores.read_records if form.startswith("record") else asked_scores.read_columns
        try:
            rows = read(asked, given)
        except asked_scores.WrongSession as error:
            field = {error.field: error.expected} if error.field else error.expected
            raise exceptions.ValidationError({form: _at(error.index, field) if several else field}) from error
        return Response({"model": _model(asked), "results": asked_scores.score(asked, rows)})


def _form(told: dict[str, Any]) -> str:
    unknown = sorted(set(told) - {"version", "digest", *FORMS})
    if unknown:
        raise exceptions.ValidationError(dict.fromkeys(unknown, "Unknown field."))
    forms = [name for name in FORMS if name in told]
    if len(forms) != 1:
        raise exceptions.ValidationError(f"Expected one of {', '.join(FORMS)}; got {', '.join(forms) or 'none'}.")
    return forms[0]


def _asked(told: dict[str, Any]) -> Asked:
    named = [name for name in ("version", "digest") if name in told]
    if len(named) != 1:
        raise exceptions.ValidationError("Expected either version or digest.")
    [field] = named
    if not isinstance(told[field], str) or not told[field]:
        raise exceptions.ValidationError({field: "Expected a text."})
    try:
        return asked_scores.find(told[field]) if field == "version" else asked_scores.find(digest=told[field])
    except asked_scores.NotKnown:
        kind = "version" if field == "version" else "version or bundle"
        raise exceptions.ValidationError({field: f"No {kind} is registered under {told[field][:100]!r}."}) from None
    except asked_scores.NotThere as error:
        raise Gone(str(error)) from error


def _at(index: int, error: Any) -> Any:
    """Return an error under its place in the list, as lists of a serializer tell theirs."""
    return [{} for _ in range(index)] + [error if isinstance(error, dict) else {"non_field_errors": [error]}]


def _model(asked: Asked) -> dict[str, Any]:
    is_version = isinstance(asked.model, Version)
    return {
        "kind": "version" if is_version else "bundle",
        "name": str(asked.model),
        "digest": asked.digest,
        "protocol": asked.contract.name,
        "threshold": asked.model.threshold if isinstance(asked.model, Version) else None,
        "reads": list(asked.contract.reads),
    }
