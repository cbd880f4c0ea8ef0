"""The client's page in a real browser: all fleets at a glance, for everybody, at a desk and on a phone."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from html import unescape

import pytest

from autopilot_client.config.document import Server
from autopilot_client.kube.lease import Alone
from autopilot_client.rules.notices import OutageHold
from autopilot_client.rules.recalled import RecalledSlot, held_since
from autopilot_client.status.overview import STATES, as_json, overview
from autopilot_client.status.page import PageQuery, render
from autopilot_client.status.server import HttpServer
from autopilot_client.status.store import StatusStore
from autopilot_client.status.web import Application
from autopilot_client.status.words import REASONS
from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations
from testkit.client.shown import FEW, NOW, SENTENCE, a_shown_store, config_of

in_a_browser = pytest.mark.skipif(missing() is not None, reason=missing() or "")
MANY = [f"region-{at % 9}/game-{at}" for at in range(500)]


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def few():
    return a_shown_store()


@pytest.fixture(scope="module")
def many():
    return a_shown_store(MANY)


@contextmanager
def served(store: StatusStore):
    server = HttpServer(Application(store, Alone(), {}, lambda: NOW), Server(host="127.0.0.1", port=0))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}/"
    finally:
        server.stop()


def text_of(store: StatusStore, **asked) -> str:
    return render(store, True, NOW, PageQuery(**asked))


def test_the_worst_fleets_come_first(many):
    states = [STATES.index(line.state) for line in overview(many, NOW)]
    assert states == sorted(states)
    assert {"no fresh answer", "left alone", "held", "override", ""} == {line.state for line in overview(many, NOW)}


def test_a_hold_shows_its_evidence_and_overrides_and_events_are_said(few):
    text = text_of(few)
    for words in (
        "arrivals stopped at 13:13", "Override: minimum 40, until", "Event: friday.", "Next event: launch",
        "A new version is being rolled out", "is no whole number: ignored",
    ):  # fmt: skip
        assert words in text


def test_the_week_is_the_scoreboards_where_there_is_one_and_what_was_seen_elsewhere(few):
    judged = text_of(few)
    assert SENTENCE in judged
    assert "19.2 server-hours missing, 4,016.67 USD for servers: the last seven days" in judged
    seen = text_of(a_shown_store(judged=False))
    assert "as this client has seen them" in seen
    assert "Since Monday this client has seen" in seen
    without_price = text_of(a_shown_store(price=None, judged=False))
    assert "USD" not in without_price


@pytest.mark.parametrize(("minutes", "shown"), [(0, True), (29, True), (30, False), (24 * 60, False)])
def test_figures_of_a_scoreboard_that_is_away_are_not_shown_as_those_of_now(minutes, shown):
    store = a_shown_store()
    store.standings_at = NOW - 60 * minutes
    text, told = text_of(store), json.dumps(as_json(store, "", NOW))
    assert [SENTENCE in text, SENTENCE in told, "by the endpoint's scoreboard" in unescape(text)] == [shown] * 3
    assert ("as this client has seen them" in text) is not shown
    assert "Since Monday this client has seen" in told


def test_after_a_restart_the_chart_has_what_the_endpoint_remembers_and_the_client_wins():
    store = StatusStore(config_of(["eu/x"]), "games")
    slots = [RecalledSlot(NOW - 300 * at, 50.0, 60.0) for at in range(100)]
    store.recall("eu/x", slots, NOW)
    points = store.trails["eu/x"].points(NOW)
    assert len(points) == 72
    assert {(point.demand, point.forecast) for point in points} == {(50.0, 60.0)}
    shown = a_shown_store()
    before = shown.trails[FEW[0]].points(NOW)
    shown.recall(FEW[0], slots, NOW)
    assert [p.reason for p in shown.trails[FEW[0]].points(NOW)] == [p.reason for p in before]


def test_a_hold_that_was_there_before_the_restart_keeps_its_beginning_until_it_is_over():
    store = a_shown_store(judged=False)
    slots = [RecalledSlot(NOW - 300 * at, 50.0, 90.0, at < 30) for at in range(60, -1, -1)]
    store.recall(FEW[0], slots, NOW)
    store.recall(FEW[1], slots, NOW)
    assert "Held through an outage of demand since 11:48 UTC" in text_of(store)
    held = store.views[FEW[0]]
    store.publish([replace(held, hold=None)], NOW + 60)
    store.publish([replace(held, hold=OutageHold(NOW + 7200, "again"))], NOW + 7200)
    assert "since 16:13 UTC: again" in text_of(store)


RECALLED = {
    "a hold that lasts": ([True, True, True], 0, 600.0),
    "it began after an honest hour": ([False, True, True], 0, 300.0),
    "it was over": ([True, True, False], 0, None),
    "nobody knows since": ([True, True, True], 3_600, None),
    "nothing": ([], 0, None),
}


@pytest.mark.parametrize(("doubted", "later", "since"), RECALLED.values(), ids=RECALLED.keys())
def test_when_a_hold_began_is_told_by_the_slots_that_lead_to_now(doubted, later, since):
    slots = [RecalledSlot(NOW - 300 * (len(doubted) - 1 - at), 5.0, 9.0, one) for at, one in enumerate(doubted)]
    found = held_since(slots, NOW + later)
    assert found == (None if since is None else NOW - since)


def test_of_many_fleets_one_is_shown_in_full_and_some_are_found_by_name(many):
    assert text_of(many).count("<section>") == 0
    assert text_of(many, fleet=MANY[7]).count("<section>") == 1
    assert text_of(many, find="GAME-499").count("scope=row><a href=") == 1
    nothing = text_of(many, find="<script>alert(1)</script>")
    assert "No fleet's name holds" in nothing
    assert "<script>" not in nothing


def test_every_word_that_decides_is_explained():
    assert {"policy", "hold", "in_use", "paused", "size_unknown", "outage_hold"} <= REASONS.keys()


def test_five_hundred_fleets_cost_a_share_of_a_second(many):
    began = time.process_time()
    text = text_of(many)
    print(f"500 fleets: {time.process_time() - began:.3f} s CPU, {len(text) / 1000:.0f} KB")
    assert len(text) < 500_000


def test_it_reloads_by_itself_only_for_whoever_asks_for_that(few):
    assert "http-equiv=refresh" not in text_of(few)
    assert "http-equiv=refresh content=60" in text_of(few, reloads=True)


@in_a_browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("what", ["few", "many", "one of many"])
def test_everybody_can_read_it(chromium, few, many, width, what):
    errors: list[str] = []
    with served(few if what == "few" else many) as url:
        page = open_page(chromium, url, width, errors)
        if what == "one of many":
            page.click(f"text={MANY[7]}")
            page.wait_for_selector("section svg")
        page.click("summary")
        assert (errors, violations(page), overflow(page)) == ([], [], 0)
        page.close()


@in_a_browser
def test_fleets_are_found_by_name_and_the_page_reloads_where_it_is_asked_to_with_what_was_found(chromium, many):
    with served(many) as url:
        page = open_page(chromium, url, 400, [])
        page.fill("#find", "game-49")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=game-499")
        assert page.locator("tbody tr").count() == 11
        page.click("text=Reload every minute")
        page.wait_for_selector("text=Stop reloading")
        assert page.locator("tbody tr").count() == 11
        assert page.locator("meta[http-equiv=refresh]").count() == 1
        page.close()


@in_a_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_no_label_of_a_chart_is_cut_off(chromium, few, width):
    with served(few) as url:
        page = open_page(chromium, url, width, [])
        outside = page.evaluate(
            "[...document.querySelectorAll('section > svg')].flatMap(svg => { const box = svg.getBoundingClientRect();"
            " return [...svg.querySelectorAll('text')].filter(text => { const at = text.getBoundingClientRect();"
            " return at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1"
            " || at.bottom > box.bottom + 2;"
            " }).map(text => text.textContent) })"
        )
        assert outside == []
        page.close()
