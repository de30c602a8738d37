"""The WSGI entry point."""

import gc
import os
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

from config import checkpoints  # noqa: E402 (after the settings)
from detection.explain import warm  # noqa: E402


def _warm() -> None:
    """Load what the first explanation of a process would wait seconds for, and let the collector of garbage pass over
    all that is loaded by then: it stays, and to look through it holds an answer up for 0.2 s."""
    warm()
    gc.freeze()


threading.Thread(target=_warm, name="warm explanations", daemon=True).start()  # pages are served meanwhile
checkpoints.keep_bringing()
