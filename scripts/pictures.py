#!/usr/bin/env python3
"""Make the pictures of docs/ that show pages, in the system's Chromium.

PYTHONPATH=container:client:. python scripts/pictures.py
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from autopilot.core.fleet import DEFAULT_LEAD, Limits
from autopilot.core.guardrail import GuardrailRules
from autopilot.explore.app import create_app
from autopilot.explore.command import SAMPLE
from autopilot.explore.files import open_file
from autopilot.explore.live.fetch import FollowedAddress
from autopilot.explore.live.follower import Follower
from autopilot.explore.play import StretchPlayer
from autopilot.explore.question import PLUS_20, PlayRequest
from autopilot.explore.session import Session
from autopilot.wiring import PLATFORM_MODEL, build_policy
from autopilot_client.config.document import Server
from autopilot_client.kube.lease import Alone
from autopilot_client.status.server import HttpServer
from autopilot_client.status.web import Application
from testkit.browser import browser, open_page
from testkit.client.shown import NOW, a_shown_store

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 1000


def explore(opened: Any) -> None:  # noqa: ANN401 - Playwright's
    """The page of `autopilot explore` with the sample days."""
    with serving_page(explore_app(None)) as url:
        page = open_page(opened, url, WIDTH, [])
        page.wait_for_selector("body[data-drawn='1']")
        page.wait_for_timeout(500)  # the plot fades in
        page.screenshot(path=DOCS / "explore.png", full_page=True)


def client_and_live(opened: Any) -> None:  # noqa: ANN401 - Playwright's
    """The client's page with one fleet that is held, and the live page that follows it."""
    with a_client() as url, serving_page(explore_app(Follower(FollowedAddress(url), (), lambda: NOW))) as page_url:
        page = open_page(opened, f"{page_url}live", WIDTH, [])
        page.wait_for_selector("body[data-drawn]")
        page.evaluate("document.querySelector('main code').textContent = 'http://localhost:8000'")
        page.wait_for_timeout(500)
        page.screenshot(path=DOCS / "live.png", full_page=True)
        page = open_page(opened, f"{url}/", WIDTH, [])
        page.screenshot(path=DOCS / "client.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": 1120})


def explore_app(follower: Follower | None) -> Flask:
    """The page's application, with the sample days."""
    session = Session(StretchPlayer(build_policy(PLATFORM_MODEL), GuardrailRules()))
    session.pin("sample", open_file(SAMPLE))
    asked = PlayRequest(DEFAULT_LEAD, 0.1, 5.0, Limits(), True, PLUS_20, 0, None, 1.0)
    return create_app(session, asked, "sample", follower)


@contextmanager
def serving_page(app: Flask) -> Iterator[str]:
    """An application's address, as long as its server runs."""
    with make_server("127.0.0.1", 0, app, threaded=True) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def a_client() -> Iterator[str]:
    """The port of a client after six hours, without its passes."""
    server = HttpServer(Application(a_shown_store(), Alone(), {}, lambda: NOW), Server(host="127.0.0.1", port=0))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


if __name__ == "__main__":
    with browser() as chromium:
        explore(chromium)
        client_and_live(chromium)
