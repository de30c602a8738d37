"""What the gate-house can do: take files in, keep segments, know rule sets."""
