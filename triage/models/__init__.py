"""What is true about complaints, their deadlines, what is told outside, and hosts at risk."""

from triage.models.complaints import (
    Attachment,
    Case,
    Complaint,
    ComplaintState,
    Message,
    Reproduction,
    Serving,
    State,
    Strength,
)
from triage.models.deadlines import Deadline, DeadlineChange, DeadlineNotice, Promise, Severity
from triage.models.outbox import Announcement, Delivery, DeliveryAttempt, DeliveryState, Subscription, Topic
from triage.models.risk import Entity, HeardDay, MissingDay, Organisation, RiskAlert, RiskNight, RiskScore, RiskWeights

__all__ = [
    "Announcement",
    "Attachment",
    "Case",
    "Complaint",
    "ComplaintState",
    "Deadline",
    "DeadlineChange",
    "DeadlineNotice",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryState",
    "Entity",
    "HeardDay",
    "Message",
    "MissingDay",
    "Organisation",
    "Promise",
    "Reproduction",
    "RiskAlert",
    "RiskNight",
    "RiskScore",
    "RiskWeights",
    "Serving",
    "Severity",
    "State",
    "Strength",
    "Subscription",
    "Topic",
]
