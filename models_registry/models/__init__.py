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
from models_registry.models.diffs import DiffGroup, DiffReview, Direction, VerdictDiff
from models_registry.models.files import Erasure, Snapshot, TrainingSet
from models_registry.models.gates import AcceptedLoss, Claim, GateReport
from models_registry.models.indicators import IndicatorList, IndicatorListVersion, IndicatorMatch
from models_registry.models.insights import Insight
from models_registry.models.ledger import LedgerCheck, LedgerEntry, LedgerHead, LedgerKind
from models_registry.models.scores import Correction, ScoreFailure, ScoreFile
from models_registry.models.ship_queries import ShipQuery, ShipQueryDecision, ShipQueryProposal
from models_registry.models.stages import Rollback, RollbackReview, StageDecision, StageProposal
from models_registry.models.thresholds import ThresholdDecision, ThresholdProposal
from models_registry.models.versions import ROUTED_STAGES, Stage, StageChange, Version

__all__ = [
    "CHANNELS",
    "ROUTED_STAGES",
    "AcceptedLoss",
    "Appliance",
    "ApplianceReport",
    "ApproverKey",
    "Bundle",
    "BundleEntry",
    "BundleReceipt",
    "Channel",
    "Claim",
    "Correction",
    "Customer",
    "Detector",
    "DetectorDecision",
    "DetectorProposal",
    "DiffGroup",
    "DiffReview",
    "Direction",
    "EnrolmentCode",
    "Erasure",
    "FeedFile",
    "GateReport",
    "Hold",
    "IndicatorList",
    "IndicatorListVersion",
    "IndicatorMatch",
    "Insight",
    "LedgerCheck",
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
    "ShipQuery",
    "ShipQueryDecision",
    "ShipQueryProposal",
    "Site",
    "Snapshot",
    "Stage",
    "StageChange",
    "StageDecision",
    "StageProposal",
    "ThresholdDecision",
    "ThresholdProposal",
    "TrainingSet",
    "VerdictDiff",
    "Version",
    "Weekday",
]
