"""The WSGI entry point."""

import os
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

from detection.explain import warm  # noqa: E402 (after the settings)

# the first explanation of a process would wait seconds for the library; pages are served meanwhile
threading.Thread(target=warm, name="warm explanations", daemon=True).start()
