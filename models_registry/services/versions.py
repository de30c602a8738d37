"""Versions: their files, stages and explanations."""

from __future__ import annotations

from functools import lru_cache

from django.db import transaction

from accounts.models import User
from detection.contract import CONTRACTS, Contract
from detection.explain import Explanation, contributions
from detection.scoring import Scorer
from detection.sessions import Row
from models_registry.models import LedgerKind, Stage, StageChange, Version
from models_registry.services import ledger
from traffic import storage


class WrongStage(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The version is not in the stage that the change starts from."""


# a version's files never change, so a process may keep what it made of them
@lru_cache(maxsize=32)
def _scorer(path: str, digest: str) -> Scorer:
    return Scorer(storage.get_bytes(path))


@lru_cache(maxsize=16)
def _text_model(path: str, digest: str) -> str:
    return storage.get_bytes(path).decode()


def scorer(version: Version) -> Scorer:
    """Return the version's model, loaded once per process."""
    return _scorer(version.onnx_path, version.onnx_digest)


def text_model(version: Version) -> str:
    """Return LightGBM's text of the version's trees."""
    return _text_model(version.text_path, version.text_digest)


def contract(version: Version) -> Contract:
    """Return the feature contract that the version was trained with."""
    return CONTRACTS[version.contract]


def explanation(version: Version, row: Row) -> Explanation:
    """Return the exact contributions of each feature to the version's raw score of one session."""
    return contributions(text_model(version), version.text_digest, contract(version), row)


@transaction.atomic
def change_stage(version: Version, new: Stage, *, reason: str, by: User | None = None) -> StageChange:
    """Move a version from the stage it was read in to another; WrongStage when somebody was faster."""
    old = version.stage
    if not Version.objects.filter(pk=version.pk, stage=old).update(stage=new):
        raise WrongStage(f"{version} is no longer {old}")
    version.stage = new
    change = StageChange.objects.create(version=version, old=old, new=new, reason=reason, by=by)
    ledger.record(LedgerKind.STAGE, change, ledger.claim(version, "stage"), by=by, detector=version.detector)
    return change
