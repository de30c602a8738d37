"""What is true about complaints and hosts at risk."""

from triage.models.complaints import Complaint, ComplaintNotice, ComplaintState, Notice, State
from triage.models.risk import Entity, HeardDay, MissingDay, Organisation, RiskAlert, RiskNight, RiskScore, RiskWeights

__all__ = [
    "Complaint",
    "ComplaintNotice",
    "ComplaintState",
    "Entity",
    "HeardDay",
    "MissingDay",
    "Notice",
    "Organisation",
    "RiskAlert",
    "RiskNight",
    "RiskScore",
    "RiskWeights",
    "State",
]
