"""The endpoint tells what it remembers of fleets, slot by slot, without deciding or writing anything."""

import json

import pytest

from autopilot.history.cache import RecentHistory
from autopilot.serve.app import create_app
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.fakes import FakeHistory, FakePolicy

NOW = 1_763_632_800.0  # 2025-11-20T10:00:00Z
FLEETS = [f"eu/{number}" for number in range(300)]


class Remembering:
    """An endpoint that was asked every five minutes for an hour, and its store."""

    def __init__(self, **environ: str) -> None:
        self.history = FakeHistory()
        self.now = NOW
        autopilot = Autopilot(FakePolicy(), RecentHistory(self.history), DecisionConfig(), None, lambda: self.now)
        self.client = create_app(Settings.from_env(environ), autopilot).test_client()
        for minute in range(-60, 1, 5):
            self.now = NOW + 60 * minute
            assert self.post({"fleet": "eu/x", "demand": 140 + minute}).status_code == 200

    def post(self, body: object):
        return self.client.post("/invocations", data=json.dumps(body), content_type="application/json")


@pytest.fixture
def endpoint():
    return Remembering()


def test_what_was_reported_and_answered_is_told_slot_by_slot(endpoint):
    kept = endpoint.history.observations("eu/x")
    (one,) = endpoint.post({"past": ["eu/x"], "hours": 2}).get_json()["past"]
    assert (one["fleet"], one["start"], one["slot_minutes"]) == ("eu/x", "2025-11-20T08:05:00Z", 5)
    assert one["demand"] == [None] * 11 + [float(80 + 5 * slot) for slot in range(13)]
    assert len(one["forecast"]) == 24
    assert all(isinstance(size, float) for size in one["forecast"][11:])
    assert "believed" not in one
    assert endpoint.history.observations("eu/x") == kept


def test_what_was_believed_in_an_outage_is_told_beside_what_was_reported(endpoint):
    for minute in range(5, 30, 5):
        endpoint.now = NOW + 60 * minute
        endpoint.post({"fleet": "eu/x", "demand": 5})
    (one,) = endpoint.post({"past": ["eu/x"], "hours": 1}).get_json()["past"]
    assert one["demand"][-1] == 5
    assert one["believed"][-1] > 50


def test_why_the_latest_report_is_not_believed_is_told_in_the_words_of_the_answer(endpoint):
    for minute in range(5, 30, 5):
        endpoint.now = NOW + 60 * minute
        answer = endpoint.post({"fleet": "eu/x", "demand": 5, "arrivals": 1000}).get_json()["Prediction"]
    assert answer["why"].startswith("demand 5 where ")
    (one,) = endpoint.post({"past": ["eu/x"], "hours": 1}).get_json()["past"]
    assert one["why"] == answer["why"]
    endpoint.now += 300
    endpoint.post({"fleet": "eu/x", "demand": 140})
    (one,) = endpoint.post({"past": ["eu/x"], "hours": 1}).get_json()["past"]
    assert "why" not in one


@pytest.mark.parametrize(("seconds", "explained"), [(60.0, 16), (0.0, 1)], ids=["quick", "a store that takes long"])
def test_of_many_fleets_that_are_held_at_once_some_are_explained(endpoint, monkeypatch, seconds, explained):
    monkeypatch.setattr("autopilot.serve.wire.forms.past.EXPLAINED_SECONDS", seconds)
    fleets = FLEETS[:40]
    for minute in range(5, 95, 5):
        endpoint.now = NOW + 60 * minute
        demand = 5 if minute > 75 else 140
        endpoint.post({"instances": [{"fleet": fleet, "demand": demand} for fleet in fleets]})
    pasts = endpoint.post({"past": fleets, "hours": 1}).get_json()["past"]
    assert sum(one["believed"][-1] > 50 for one in pasts) == 40
    assert sum("why" in one for one in pasts) == explained


def test_a_fleet_that_nobody_knows_is_all_unknown_and_no_error(endpoint):
    (one,) = endpoint.post({"past": ["eu/unheard"], "hours": 1}).get_json()["past"]
    assert one["demand"] == one["forecast"] == [None] * 12


def test_without_fleets_their_names_are_listed(endpoint):
    assert endpoint.post({"past": []}).get_json() == {"past": [], "fleets": ["eu/x"]}


def test_a_store_that_is_away_is_said_fleet_by_fleet(endpoint):
    endpoint.history.down = True
    (one,) = endpoint.post({"past": ["eu/x"]}).get_json()["past"]
    assert one["error"]["code"] == "history_unavailable"
    assert "demand" not in one
    assert endpoint.post({"past": []}).status_code == 503


REFUSED = {
    "more days of fleets than one request may ask for": ({"past": FLEETS}, 413, "past"),
    "longer than anything is kept": ({"past": ["eu/x"], "hours": 1000}, 400, "hours"),
    "no time": ({"past": ["eu/x"], "hours": 0}, 400, "hours"),
    "no list": ({"past": "eu/x"}, 400, "past"),
    "a name that is none": ({"past": ["../etc"]}, 400, "past[0]"),
    "a slip": ({"past": ["eu/x"], "hour": 6}, 400, "hour"),
}


@pytest.mark.parametrize(("body", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_answered_names_its_field(endpoint, body, status, field):
    answer = endpoint.post(body)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (status, field)


def test_a_table_is_not_scanned_for_names():
    endpoint = Remembering(AUTOPILOT_HISTORY="dynamodb://fleets", AUTOPILOT_EARN="off")
    answer = endpoint.post({"past": []})
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (400, "past")
