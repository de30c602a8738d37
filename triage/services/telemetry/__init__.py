"""Counts of the field: taken in, summed by day, tested as streams."""
