"""The demo's clock: Celery's beat without the tasks. It sends them by name and needs none of them in its memory."""

from __future__ import annotations

import django

from config.celery import app


def main() -> None:
    django.setup()
    app.loader.worker_initialized = True  # else it imports every task, and the science with them: 150 MB
    app.Beat(quiet=True, loglevel="WARNING").run()


if __name__ == "__main__":
    main()
