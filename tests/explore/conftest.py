"""Fleets to play, and the page's server with them."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from flask import Flask
from werkzeug.serving import make_server

from autopilot.core.fleet import DEFAULT_LEAD, Limits
from autopilot.core.guardrail import GuardrailRules
from autopilot.demand.series import DemandSeries
from autopilot.explore.app import create_app
from autopilot.explore.files import FileFleet
from autopilot.explore.play import StretchPlayer
from autopilot.explore.question import PLUS_20, PlayRequest
from autopilot.explore.session import Session
from autopilot.policy.calibrated import CalibratedPolicy

START = 1_760_054_400
DAY = 288
ASKED = PlayRequest(DEFAULT_LEAD, 0.1, 5.0, Limits(), True, PLUS_20, 7, None, 1.0)


def fleet_of(days: int, outage: bool = False, ran: float | None = None) -> FileFleet:
    """A fleet with a daily rhythm; the last day but one may have an outage of two hours."""
    phase = np.arange(days * DAY) / DAY * 2 * np.pi
    demand = np.random.default_rng(3).poisson(100 + 40 * np.sin(phase)).astype(float)
    if outage:
        demand[(days - 2) * DAY + 100 : (days - 2) * DAY + 124] = 5
    times = START + 300.0 * np.arange(len(demand))
    return FileFleet(
        "eu", DemandSeries(times, demand), None if ran is None else DemandSeries(times, np.ceil(demand * ran))
    )


def player() -> StretchPlayer:
    return StretchPlayer(CalibratedPolicy(), GuardrailRules())


@pytest.fixture
def session():
    made = Session(player())
    made.pin("sample", {"eu": fleet_of(9, outage=True)})
    return made


@contextmanager
def serving_page(app: Flask, port: int = 0):
    """An application's address, as long as its server runs."""
    with make_server("127.0.0.1", port, app, threaded=True) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}/"
        finally:
            server.shutdown()
            thread.join()


def served(session: Session, port: int = 0):
    """The page's address, as long as its server runs."""
    return serving_page(create_app(session, ASKED, "sample"), port)
