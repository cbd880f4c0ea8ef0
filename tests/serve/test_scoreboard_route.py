"""GET /scoreboard and the sums of it in /metrics: what an operator sees of a served fleet's cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from autopilot.core.decide import FleetContext
from autopilot.core.fleet import FleetNow
from autopilot.serve.app import create_app
from autopilot.serve.metrics import Metrics
from autopilot.service import Ask, Autopilot
from autopilot.settings import Settings
from autopilot.wiring import build
from tests.learning.conftest import NOW, days_of


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Autopilot, object]]:
    """The application over a store with four days of one fleet."""
    environ = {"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/h.sqlite3", "AUTOPILOT_MAX_CLOCK_SKEW": "0",
               "AUTOPILOT_SERVER_HOUR": "0.10"}  # fmt: skip
    before, demand = build(Settings.from_env(environ)), days_of(4)
    for back, servers in zip(range(len(demand), 0, -1), demand, strict=True):
        before.decide([Ask(FleetNow("eu/racer", NOW - 300.0 * back, float(servers)))])
    before.history.close()
    app = create_app(Settings.from_env(environ))
    autopilot = app.extensions["invocations"].autopilot
    yield autopilot, app.test_client()
    autopilot.history.close()


def judge(autopilot: Autopilot, fleet: str = "eu/racer") -> None:
    autopilot.judge.judge(FleetContext(FleetNow(fleet, NOW, 100.0)))


def test_nothing_is_there_before_the_first_judgement(served):
    _, client = served
    told = client.get("/scoreboard").get_json()
    assert (told["fleets"], told["left_out"], told["totals"]) == ([], 0, [])
    assert (told["policy"][:8], told["candidate"], told["server_hour"]) == ("default@", None, 0.1)


def test_a_judged_fleet_has_its_figures_of_one_seven_and_fourteen_days_in_money(served):
    autopilot, client = served
    judge(autopilot)
    told = client.get("/scoreboard?fleet=eu/racer&fleet=nobody").get_json()
    (fleet,) = told["fleets"]
    assert (fleet["fleet"], fleet["served_by"], fleet["note"]) == ("eu/racer", "policy", "")
    assert [one["days"] for one in fleet["standings"]] == [1, 7, 14]
    day = fleet["standings"][0]
    assert set(day["scores"]) == {"as set", "policy alone", "calibrated rule", "reactive +20%", "best buffer"}
    assert day["scores"]["as set"]["money"] == pytest.approx(
        0.1 * day["scores"]["as set"]["paid_server_hours"], rel=1e-5
    )
    assert day["to"] == "2026-11-05T23:55:00Z"
    week = next(one for one in told["totals"] if one["days"] == 7)
    assert week["fleets"] == 1
    assert week["scores"]["as set"]["paid_server_hours"] == pytest.approx(
        fleet["standings"][1]["scores"]["as set"]["paid_server_hours"], rel=1e-5
    )


def test_a_fleet_of_which_too_little_is_known_says_why_it_has_no_figures(served):
    autopilot, client = served
    judge(autopilot, "new")
    (fleet,) = client.get("/scoreboard?fleet=new").get_json()["fleets"]
    assert (fleet["note"], fleet["standings"]) == ("at least two observations are needed", [])


def test_the_metrics_have_a_bounded_number_of_series_however_many_fleets_there_are(served):
    autopilot, client = served
    judge(autopilot)
    families = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
    paid = families["autopilot_scoreboard_paid_server_hours"].samples
    assert {(one.labels["days"], one.labels["player"]) for one in paid} == {
        (days, player)
        for days in ("1", "7", "14")
        for player in ("as set", "policy alone", "calibrated rule", "reactive +20%", "best buffer")
    }
    assert families["autopilot_fleets_judged"].samples[0].value == 1
    assert {one.labels["outcome"]: one.value for one in families["autopilot_judgements"].samples if
            one.name.endswith("_total")}["judged"] == 1  # fmt: skip


def test_a_table_that_cannot_be_read_costs_no_other_answer(served, tmp_path, monkeypatch):
    (tmp_path / "broken").write_text("nonsense" * 100)
    monkeypatch.setenv("SCOREBOARD_FILE", f"{tmp_path}/broken")
    client = create_app(Settings.from_env({"AUTOPILOT_HISTORY": "off"}), metrics=Metrics()).test_client()
    assert client.get("/scoreboard").status_code == 503
    assert client.get("/scoreboard").get_json()["error"]["code"] == "scoreboard_unavailable"
    assert client.get("/metrics").status_code == 200
    assert client.post("/invocations", json={"fleet": "eu", "demand": 3}).status_code == 200


def test_more_fleets_than_one_answer_holds_are_refused(served):
    _, client = served
    refused = client.get("/scoreboard?" + "&".join(f"fleet={name}" for name in range(1001)))
    assert (refused.status_code, refused.get_json()["error"]["field"]) == (400, "fleet")
