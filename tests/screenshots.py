"""Pictures of every page: `python -m tests.screenshots FOLDER` walks the house whose database is configured.

Light and dark, wide and narrow; by the first role that may open a page. `make screenshots` fills a house first."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import django

LOOKS = (("light", 1440), ("dark", 1440), ("light", 420), ("dark", 420))
TALLEST = 2400  # pixels: the rest of a long list looks the same


def main(folder: Path, language: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # as in tests/conftest.py
    django.setup()
    from django.conf import settings
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.test.testcases import LiveServerThread
    from playwright.sync_api import sync_playwright

    from tests.conftest import CHROMIUM_FLAGS, chromium_path

    settings.ALLOWED_HOSTS = ["*"]
    server = LiveServerThread("127.0.0.1", StaticFilesHandler)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_FLAGS))
        for scheme, width in LOOKS:
            context = chromium.new_context(
                base_url=f"http://127.0.0.1:{server.port}",
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
            )
            _walk(context, folder, f"{scheme}-{width}", language)
            context.close()
        chromium.close()
    server.terminate()


def _walk(context: Any, folder: Path, look: str, language: str) -> None:
    from django.conf import settings
    from django.test import Client

    from accounts.models import User
    from accounts.roles import Role
    from tests.pages import pages_of

    seen: set[str] = set()
    for role in (Role.SENIOR, Role.ENGINEER, Role.SUPPORT, Role.ADMINISTRATOR):
        user = User.objects.filter(role=role, is_active=True).first()
        if user is None:
            continue
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        context.clear_cookies()
        context.add_cookies(
            [
                {"name": cookie.key, "value": cookie.value, "domain": "127.0.0.1", "path": "/"},
                {"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "domain": "127.0.0.1", "path": "/"},
            ]
        )
        tab = context.new_page()
        for name, url in pages_of(user, crawl=True).items():
            if name in seen:
                continue
            seen.add(name)
            tab.goto(url)
            tab.wait_for_timeout(700)  # what loads a moment later
            height = min(tab.evaluate("document.documentElement.scrollHeight"), TALLEST)
            path = folder / f"{name.replace(':', '.')}.{look}.png"
            tab.screenshot(
                path=path, clip={"x": 0, "y": 0, "width": tab.viewport_size["width"], "height": height}, full_page=True
            )
            sys.stdout.write(f"{path}\n")
        tab.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "var/screenshots"), sys.argv[2] if len(sys.argv) > 2 else "en")
