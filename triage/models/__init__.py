"""What is true about complaints."""

from triage.models.complaints import Complaint, ComplaintState, State

__all__ = ["Complaint", "ComplaintState", "State"]
