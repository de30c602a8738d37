"""What can be done in the store: one subject per module."""
