"""What is true about labelling: one noun per file."""

from labeling.models.acts import BulkVerdict, GroupCheck, GroupVerdict
from labeling.models.complaints import ComplaintItem, RetrainRequest
from labeling.models.conflicts import Adjudication, AskedAgain, Question
from labeling.models.contradictions import Contradiction
from labeling.models.coverage import Coverage
from labeling.models.days import ExpertDay
from labeling.models.disputes import Dispute, DisputeDecision, DisputeOrigin, DisputeReason
from labeling.models.dumps import DumpLabel
from labeling.models.figures import AgreementFigure, ExpertFigure, QueuePrice
from labeling.models.hunt_proposals import HuntProposal
from labeling.models.hunts import HuntSend, SavedHunt, SentItem
from labeling.models.imports import ReferenceImport
from labeling.models.items import Item, ItemHost, ItemRecord, ItemState, NotAdmitted, Queue, QueueDay, Skip, SubjectKind
from labeling.models.labels import DECIDED, NO_ANSWER, Answer, Label, ReasonCode, Source, Trigger
from labeling.models.neighbours import NeighbourIndex
from labeling.models.proof import ProofDraw, ProofItem
from labeling.models.raises import PriorityRaise
from labeling.models.reference import ReferenceRow, Role
from labeling.models.reference_changes import (
    LedgerMail,
    ReferenceDecision,
    ReferenceEvent,
    ReferenceProposal,
    RetireReason,
)
from labeling.models.saved import SavedQueue
from labeling.models.seeds import Seed
from labeling.models.suggestions import Suggestion

__all__ = [
    "DECIDED",
    "NO_ANSWER",
    "Adjudication",
    "AgreementFigure",
    "Answer",
    "AskedAgain",
    "BulkVerdict",
    "ComplaintItem",
    "Contradiction",
    "Coverage",
    "Dispute",
    "DisputeDecision",
    "DisputeOrigin",
    "DisputeReason",
    "DumpLabel",
    "ExpertDay",
    "ExpertFigure",
    "GroupCheck",
    "GroupVerdict",
    "HuntProposal",
    "HuntSend",
    "Item",
    "ItemHost",
    "ItemRecord",
    "ItemState",
    "Label",
    "LedgerMail",
    "NeighbourIndex",
    "NotAdmitted",
    "PriorityRaise",
    "ProofDraw",
    "ProofItem",
    "Question",
    "Queue",
    "QueueDay",
    "QueuePrice",
    "ReasonCode",
    "ReferenceDecision",
    "ReferenceEvent",
    "ReferenceImport",
    "ReferenceProposal",
    "ReferenceRow",
    "RetireReason",
    "RetrainRequest",
    "Role",
    "SavedHunt",
    "SavedQueue",
    "Seed",
    "SentItem",
    "Skip",
    "Source",
    "SubjectKind",
    "Suggestion",
    "Trigger",
]
