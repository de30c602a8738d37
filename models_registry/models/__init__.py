"""What is true about models: one noun per file."""

from models_registry.models.appliances import Appliance, ApplianceReport, EnrolmentCode
from models_registry.models.bundles import Bundle, BundleEntry
from models_registry.models.customers import Customer, Site
from models_registry.models.delivery import (
    CHANNELS,
    ApproverKey,
    BundleReceipt,
    Channel,
    FeedFile,
    Hold,
    Publication,
    Release,
    ReleaseOutcome,
    ReleaseSignature,
)
from models_registry.models.detectors import (
    Detector,
    DetectorDecision,
    DetectorProposal,
    RuleMappingVersion,
    Weekday,
)
from models_registry.models.files import Snapshot, TrainingSet
from models_registry.models.gates import GateReport
from models_registry.models.indicators import IndicatorList, IndicatorListVersion, IndicatorMatch
from models_registry.models.insights import Insight
from models_registry.models.ledger import LedgerEntry, LedgerHead, LedgerKind
from models_registry.models.scores import Correction, ScoreFailure, ScoreFile
from models_registry.models.stages import Rollback, RollbackReview, StageDecision, StageProposal
from models_registry.models.versions import ROUTED_STAGES, Stage, StageChange, Version

__all__ = [
    "CHANNELS",
    "ROUTED_STAGES",
    "Appliance",
    "ApplianceReport",
    "ApproverKey",
    "Bundle",
    "BundleEntry",
    "BundleReceipt",
    "Channel",
    "Correction",
    "Customer",
    "Detector",
    "DetectorDecision",
    "DetectorProposal",
    "EnrolmentCode",
    "FeedFile",
    "GateReport",
    "Hold",
    "IndicatorList",
    "IndicatorListVersion",
    "IndicatorMatch",
    "Insight",
    "LedgerEntry",
    "LedgerHead",
    "LedgerKind",
    "Publication",
    "Release",
    "ReleaseOutcome",
    "ReleaseSignature",
    "Rollback",
    "RollbackReview",
    "RuleMappingVersion",
    "ScoreFailure",
    "ScoreFile",
    "Site",
    "Snapshot",
    "Stage",
    "StageChange",
    "StageDecision",
    "StageProposal",
    "TrainingSet",
    "Version",
    "Weekday",
]
