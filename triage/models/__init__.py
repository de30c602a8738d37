"""What is true about complaints."""

from triage.models.complaints import Complaint, ComplaintNotice, ComplaintState, Notice, State

__all__ = ["Complaint", "ComplaintNotice", "ComplaintState", "Notice", "State"]
