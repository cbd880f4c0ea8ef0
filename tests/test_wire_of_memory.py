"""What the endpoint remembers and judges is read by the client and by the live page as it is written."""

from collections.abc import Iterator

import pytest

from autopilot.core.decide import FleetContext
from autopilot.core.fleet import FleetNow
from autopilot.explore.live.fetch import FollowedAddress
from autopilot.explore.live.follower import Follower
from autopilot.serve.app import create_app
from autopilot.service import Ask
from autopilot.settings import Settings
from autopilot.wiring import build
from autopilot_client.config.document import Endpoint
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.endpoint.recall import JUDGED_AT_ONCE
from autopilot_client.reconcile.recall import Recall
from autopilot_client.status.overview import overview
from autopilot_client.status.page import render
from testkit.client.shown import a_shown_store
from testkit.client.standins import serving
from tests.explore.conftest import serving_page
from tests.learning.conftest import NOW, days_of

FLEET = "eu/racer"


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """An endpoint with four days of one fleet, judged."""
    store = tmp_path_factory.mktemp("history") / "h.sqlite3"
    environ = {"AUTOPILOT_HISTORY": f"sqlite:///{store}", "AUTOPILOT_MAX_CLOCK_SKEW": "0",
               "AUTOPILOT_SERVER_HOUR": "0.10"}  # fmt: skip
    before, demand = build(Settings.from_env(environ)), days_of(4)
    for back, servers in zip(range(len(demand), 0, -1), demand, strict=True):
        before.decide([Ask(FleetNow(FLEET, NOW - 300.0 * back, float(servers)))])
    before.history.close()
    app = create_app(Settings.from_env(environ))
    autopilot = app.extensions["invocations"].autopilot
    object.__setattr__(autopilot, "clock", lambda: NOW)
    autopilot.judge.judge(FleetContext(FleetNow(FLEET, NOW, 100.0)))
    with serving_page(app) as address:
        yield f"{address}invocations"
    autopilot.history.close()


def test_the_client_reads_the_hours_before_its_start_and_the_week(url):
    endpoint = HttpEndpoint(Endpoint(url=url))
    ((name, slots),) = endpoint.pasts([FLEET], 6.0)
    assert name == FLEET
    assert len(slots) == 71  # the slot of now is not known yet
    assert all(slot.demand is not None and slot.forecast is not None for slot in slots)
    ((name, week),) = endpoint.standings(["eu/nobody"] * JUDGED_AT_ONCE + [FLEET])
    assert name == FLEET
    assert week.money == pytest.approx(0.1 * week.paid, rel=1e-4)
    assert week.sentence.startswith("In the last 7 days")


def test_a_client_that_has_just_begun_shows_both(url):
    store = a_shown_store([FLEET], price=None, judged=False)
    store.trails.clear()
    recall = Recall(HttpEndpoint(Endpoint(url=url)), store, lambda: NOW)
    assert recall.ask()
    assert len(store.trails[FLEET].points(NOW)) == 71
    (line,) = overview(store, NOW)
    assert line.standing is not None
    assert line.standing.sentence in render(store, True, NOW)


def test_the_live_page_shows_what_the_endpoint_judged(url):
    sight = Follower(FollowedAddress(url.removesuffix("/invocations"))).follow().sight
    (fleet,) = sight.fleets
    assert any(note.startswith("In the last 7 days") for note in fleet.notes)


ELSEWHERE = {
    "an endpoint of another version": (400, b'{"error": {"code": "missing", "message": "", "field": "fleet"}}'),
    "no JSON": (200, b"<html>"),
    "a time beyond all calendars": (200, b'{"past": [{"fleet": "eu/racer", "start": "2026-11-30T00:00:00Z",'
                                         b'"slot_minutes": 1e300, "demand": [1], "forecast": [1]}]}'),
    "servers beyond all": (200, b'{"past": [{"fleet": "eu/racer", "start": "2026-11-30T00:00:00Z",'
                                b'"slot_minutes": 5, "demand": [1e300], "forecast": [1]}]}'),
    "fleets that nobody asked about": (200, b'{"past": [], "fleets": [{"fleet": "us/other", "standings": [{"days": 7,'
                                            b'"days_known": 7, "scores": {"as set": {"missing_server_hours": 1,'
                                            b'"idle_server_hours": 1, "paid_server_hours": 1}}}]}]}'),
    "nested deep": (200, b"[" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("reply", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_an_endpoint_that_remembers_nothing_readable_costs_the_page_a_line_and_nothing_else(reply):
    store = a_shown_store([FLEET])
    before = store.trails[FLEET].points(NOW)
    with serving(lambda *_: reply) as address:
        endpoint = HttpEndpoint(Endpoint(url=f"{address}/invocations", attempts=1))
        Recall(endpoint, store, lambda: NOW).ask()
    assert store.trails[FLEET].points(NOW) == before
    assert set(store.trails) == {FLEET}
    assert set(store.standings) <= {FLEET}
    assert "<section>" in render(store, True, NOW)
