"""A page in a headless Chromium, and what judges whether everybody can use it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testkit.server import ROOT

AXE = ROOT / "tests" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 60_000
WIDTHS = (1280, 400)
"""A desk's and a phone's, in pixels."""


def missing() -> str | None:
    """What this machine lacks to open pages; None where nothing."""
    if chromium() is None:
        return "no Chromium here: apt-get install chromium"
    return None if AXE.exists() else "no axe-core here: npm install --prefix tests"


def chromium() -> str | None:
    """The browser of the system."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium. Root needs `--no-sandbox`."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where pages are tested

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


def open_page(opened: Any, url: str, width: int, errors: list[str]) -> Any:
    """A page at a width; what its scripts throw goes to `errors`. Nothing but its own origin may be asked."""
    origin = "/".join(url.split("/")[:3])
    page = opened.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((origin, "data:", "blob:")) else errors.append(request.url),
    )
    page.goto(url)
    return page


def violations(page: Any) -> list[str]:
    """What axe-core finds on a page: the rule, and the first element that breaks it."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}" for one in found]


def overflow(page: Any) -> int:
    """Pixels by which a page is wider than its window."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide
