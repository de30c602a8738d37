"""The alarm: home page and health."""
