"""How much a form may carry: traffic and models where they are uploaded, by whom may; next to nothing elsewhere."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse

from accounts.rights import may_open
from detection.evidence import LARGEST
from models_registry.upload_api import MODEL_BYTES
from traffic.services.uploads import BODY_BYTES

EVIDENCE_BYTES = 2 * LARGEST  # of one form


class BoundedUpload(FileUploadHandler):
    """First of the handlers: what it refuses is neither read nor kept, whoever sent it and to whatever page."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803 - Django's name
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        if content_length > _limit(self.request):
            raise RequestDataTooBig("The form carries more than this page takes.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


def _limit(request: HttpRequest | None) -> int:
    usual = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    if request is None:
        return usual
    try:
        name = resolve(request.path).view_name
    except Resolver404:
        return usual
    if name == "api:upload-version":  # its view looks at the token before it looks at the body
        return MODEL_BYTES
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not may_open(user, request.path):
        return usual
    if request.path.startswith(reverse("triage:complaints")):  # evidence: filed, previewed, added
        return EVIDENCE_BYTES
    return {"traffic:upload": BODY_BYTES, "models_registry:upload-version": MODEL_BYTES}.get(name, usual)
