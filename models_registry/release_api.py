"""Releases for scripts of people: propose a customer's return, read a release, hand in what `approve` wrote.

A token signs nothing: a signature is made by its owner's key, and the server checks whose key that is."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import PersonAuthentication, TokenAuthentication, people
from accounts.models import User
from models_registry.api import MAKERS, READERS
from models_registry.models import Customer, Release
from models_registry.services import feed, releases
from models_registry.services.feed_metadata import describe


class ReturnSerializer(serializers.Serializer[Any]):
    customer = serializers.CharField(max_length=100, help_text="by name")
    protocol = serializers.CharField(max_length=16, help_text="of the customer's own bundle that is taken back")
    reason = serializers.CharField(max_length=255, required=False, allow_blank=True)


class ReleaseSerializer(serializers.ModelSerializer[Release]):
    customer = serializers.CharField(allow_null=True)
    bundle = serializers.CharField(allow_null=True, source="bundle.digest", default=None)
    state = serializers.SerializerMethodField(help_text="waits, overtaken, or in the feed")
    signed_by = serializers.SerializerMethodField()
    says = serializers.SerializerMethodField(help_text="what is signed, in words")
    parts = serializers.DictField(child=serializers.CharField(), help_text="role → metadata, as it is signed")

    class Meta:
        model = Release
        fields = [
            *("id", "channel", "customer", "bundle", "takes_back", "reason", "at"),
            *("state", "signed_by", "says", "parts"),
        ]

    def get_state(self, release: Release) -> str:
        if hasattr(release, "outcome"):
            return "in the feed"
        return "waits" if releases.is_open(release) else "overtaken"

    def get_signed_by(self, release: Release) -> list[str]:
        return [str(one.key.user) for one in release.signatures.select_related("key__user")]

    def get_says(self, release: Release) -> list[str]:
        return describe(release.parts)


class SignatureSerializer(serializers.Serializer[Any]):
    """What `manage.py approve` wrote."""

    keyid = serializers.CharField(max_length=64)
    signatures = serializers.DictField(child=serializers.CharField(max_length=4_000), help_text="role → hex")


class Returns(APIView):
    """A customer comes back to his channel when two people have signed that his own bundle is taken back."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*MAKERS, writing=MAKERS)]

    @extend_schema(operation_id="propose_return", request=ReturnSerializer, responses={201: ReleaseSerializer})
    def post(self, request: Request) -> Response:
        asked = ReturnSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        told = asked.validated_data
        customer = Customer.objects.filter(name=told["customer"]).first()
        if customer is None:
            raise exceptions.ValidationError({"customer": ["There is no such customer."]})
        assert isinstance(request.user, User)  # the permission let them in
        try:
            made = releases.propose_return(customer, told["protocol"], request.user, told.get("reason", ""))
        except (releases.ReleaseRefused, feed.NoFeed) as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        return Response(ReleaseSerializer(made).data, status=201)


class OneRelease(APIView):
    """What waits for signatures or has them."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*READERS, writing=MAKERS)]

    @extend_schema(operation_id="read_release", responses={200: ReleaseSerializer})
    def get(self, request: Request, pk: int) -> Response:
        return Response(ReleaseSerializer(get_object_or_404(Release, pk=pk)).data)


class Signatures(APIView):
    """Takes one approver's signatures under a release. With the second person's it is in the feed."""

    authentication_classes = [TokenAuthentication, PersonAuthentication]
    permission_classes = [people(*MAKERS, writing=MAKERS)]

    @extend_schema(operation_id="hand_in_signatures", request=SignatureSerializer, responses={201: ReleaseSerializer})
    def post(self, request: Request, pk: int) -> Response:
        found = get_object_or_404(Release, pk=pk)
        given = SignatureSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            releases.sign(found, given.validated_data["keyid"], given.validated_data["signatures"])
        except (releases.ReleaseRefused, feed.NoFeed) as refusal:
            raise exceptions.ValidationError(str(refusal)) from refusal
        return Response(ReleaseSerializer(Release.objects.get(pk=pk)).data, status=201)
