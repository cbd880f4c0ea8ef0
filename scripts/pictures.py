#!/usr/bin/env python3
"""Make the pictures of docs/ that show pages, in the system's Chromium.

PYTHONPATH=container:client:. python scripts/pictures.py
"""

import threading
from pathlib import Path

from werkzeug.serving import make_server

from autopilot.core.fleet import DEFAULT_LEAD, Limits
from autopilot.core.guardrail import GuardrailRules
from autopilot.explore.app import create_app
from autopilot.explore.command import SAMPLE
from autopilot.explore.files import open_file
from autopilot.explore.play import StretchPlayer
from autopilot.explore.question import PLUS_20, PlayRequest
from autopilot.explore.session import Session
from autopilot.wiring import PLATFORM_MODEL, build_policy
from testkit.browser import browser, open_page

DOCS = Path(__file__).parents[1] / "docs"


def explore() -> None:
    """The page of `autopilot explore` with the sample days."""
    session = Session(StretchPlayer(build_policy(PLATFORM_MODEL), GuardrailRules()))
    session.pin("sample", open_file(SAMPLE))
    asked = PlayRequest(DEFAULT_LEAD, 0.1, 5.0, Limits(), True, PLUS_20, 0, None, 1.0)
    with make_server("127.0.0.1", 0, create_app(session, asked, "sample"), threaded=True) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with browser() as opened:
            page = open_page(opened, f"http://127.0.0.1:{server.port}/", 1000, [])
            page.wait_for_selector("body[data-drawn='1']")
            page.wait_for_timeout(500)  # the plot fades in
            page.screenshot(path=DOCS / "explore.png", full_page=True)
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    explore()
