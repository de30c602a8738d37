"""What can be done with users and the audit log."""
