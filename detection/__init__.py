"""The science: plain Python, no web."""
