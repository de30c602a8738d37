"""The file broker of the demo, made whole before anybody uses it.

Kombu writes a table of bindings per exchange without a rename: two processes that make it at once lose one's bindings,
and one killed while writing leaves half a table, which every later process dies of."""

from __future__ import annotations

from pathlib import Path

import orjson

from config.celery import app


def prepare() -> None:
    """Write the tables of the house's queues; what waits in the queues stays."""
    _drop_torn(Path(app.conf.broker_transport_options["control_folder"]))
    with app.connection_for_write() as connection, connection.channel() as channel:
        for queue in app.amqp.queues.values():
            queue(channel).declare()


def _drop_torn(folder: Path) -> None:
    for table in folder.glob("*.exchange"):
        try:
            orjson.loads(table.read_bytes())
        except orjson.JSONDecodeError:
            table.unlink()
