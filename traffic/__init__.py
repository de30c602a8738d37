"""The gate-house: sensors and segments of sessions."""
