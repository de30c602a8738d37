"""A cursor of PostgreSQL that keeps the plans of its statements with the connection."""

from __future__ import annotations

from typing import Any, Self

from psycopg import Cursor


class PlannedCursor(Cursor[Any]):
    """Values go beside the statement, not in its text."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        """Run a statement; plan it if it is new here.

        The threshold is this cursor's alone: else the connection would count, and keep, the text of all others."""
        self.connection.prepare_threshold = 0
        try:
            super().execute(*args, **kwargs)
        finally:
            self.connection.prepare_threshold = None
        return self
