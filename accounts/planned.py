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


class LoggedCursor(PlannedCursor):
    """The same for Django's log of queries: psycopg forgets the text of a statement that is planned already."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        """Run a statement and keep its text, values apart."""
        super().execute(*args, **kwargs)
        if self._query is None:
            self._query = self._query_cls(self._tx)
            self._query.convert(*args)
        return self
