"""What a forked child of a test does first."""

from __future__ import annotations

from django.db import connections


def forget_connections() -> None:
    """Drop inherited database connections without closing them: their other end is the parent's.

    The parent's close_all() may miss some. While a browser is open an event loop runs in its thread, and Django keeps
    connections in another place than before; the child has no running loop and finds the old ones."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None
