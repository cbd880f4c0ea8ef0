"""The real client against the real endpoint over a day, on a simulated clock: the fleet pays what the backtest says."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from autopilot.backtest.replay import ReplayConfig, replay
from autopilot.core.fleet import Limits
from autopilot.core.stabilization import applied
from autopilot.demand.csv_file import DemandSeries
from autopilot.serve.app import create_app
from autopilot.settings import Settings
from autopilot.sim.demand import DAY, generate
from autopilot.sim.fleet import draw_leads, play
from autopilot.wiring import BUILT_IN_MODEL, build, build_policy
from autopilot_client.config.document import Endpoint
from autopilot_client.config.parse import parse
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.api import Kube
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import StatusStore
from testkit.client.standins import Cluster, Document, connection, serving

START = 1_790_035_200.0  # the start of a slot
PAST_DAYS = 3
TRACE = Path(__file__).parents[2] / "shared" / "traces" / "dota2_matches_eu_1min.csv.gz"


class Leader:
    def leads(self) -> bool:
        return True


def simulated() -> np.ndarray:
    """Whole servers of every minute of four days."""
    minutes = generate(np.random.default_rng(5), 1, (PAST_DAYS + 1) * DAY)[0]
    return np.round(minutes * 80 / minutes.mean())


def recorded() -> np.ndarray:
    if not TRACE.exists():
        pytest.skip("the traces are not beside the project")
    with gzip.open(TRACE, "rt") as file:
        players = np.array([float(line.rpartition(",")[2]) for line in file.readlines()[1 : 1 + (PAST_DAYS + 1) * DAY]])
    return np.round(players * 100 / players.mean())


def endpoint(tmp_path: Path):
    """The real application over SQLite, as a handler of requests; recorded times are the normal case."""
    environ = {"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/history.sqlite3", "AUTOPILOT_MAX_CLOCK_SKEW": "0"}
    settings = Settings.from_env(environ)
    browser = create_app(settings, build(settings)).test_client()

    def handle(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        response = browser.open(path, method=method, data=body, content_type="application/json")
        return response.status_code, response.data

    return handle


def set_by_the_client(minutes: np.ndarray, handle) -> np.ndarray:
    """The size of the fleet after each pass of the last day, one a minute."""
    past = PAST_DAYS * DAY
    lines = [{"fleet": "eu/a", "demand": float(minutes[m]), "observed_at": START + 60 * m} for m in range(0, past, 5)]
    for one in lines:
        assert handle("POST", "/invocations", json.dumps(one).encode())[0] == 200
    cluster, matchmaker, now = Cluster(), Document({"demand": 0}), [0.0]
    cluster.add("deployments", "a", int(minutes[past] * 1.2))
    sizes = []
    with serving(cluster) as c, serving(handle) as served, serving(matchmaker) as d:
        e = f"{served}/invocations"
        fleet = {"name": "eu/a", "target": "deployment/a", "demand": {"source": "http", "url": d}, "apply": "scale",
                 "minimum": 1, "maximum": 2000}  # fmt: skip
        config = parse(json.dumps({"endpoint": {"url": e}, "fleets": [fleet]}), "test")
        outside = Outside(Kube(connection(c), "games"), HttpEndpoint(Endpoint(url=e), 0),
                          StatusStore(config, "games", False))  # fmt: skip
        loop = Loop(outside, Leader(), None, lambda: now[0])
        for minute in range(past, past + DAY):
            now[0], matchmaker.document = START + 60 * minute, {"demand": float(minutes[minute])}
            loop.run_pass()
            sizes.append(cluster.size("deployments/a"))
    return np.array(sizes, float)


def set_by_the_backtest(minutes: np.ndarray) -> np.ndarray:
    past = PAST_DAYS * DAY
    chosen = np.concatenate([np.arange(0, past, 5), np.arange(past, past + DAY)])
    series = DemandSeries(START + 60.0 * chosen, minutes[chosen])
    last = np.arange(len(chosen) - DAY, len(chosen))  # days before are decided too, for what was believed
    settings = Settings.from_env({})
    config = ReplayConfig(build_policy(BUILT_IN_MODEL), settings.lead(), settings.autopilot_missing_price)
    forecast = replay("eu/a", series, np.arange(len(chosen)), config).forecast
    return applied(series.demand[last], forecast[last], series.times[last], Limits(1, 2000))


def cost(sizes: np.ndarray, demand: np.ndarray) -> float:
    """What a fleet that is set to these sizes pays after its first hour: a missing server is as dear as five idle."""
    total = 0.0
    for seed in range(3):
        ready = play(np.maximum(sizes, demand), draw_leads(Settings.from_env({}).lead(), 1, len(sizes), seed)).ready
        total += float((5 * np.maximum(demand - ready, 0) + np.maximum(ready - demand, 0))[60:].sum())
    return total


@pytest.mark.parametrize("day", [simulated, recorded], ids=["simulated", "recorded"])
def test_a_day_of_the_real_client_pays_what_the_backtest_says(tmp_path, day):
    minutes = day()
    demand = minutes[PAST_DAYS * DAY :]
    ours, theirs = set_by_the_client(minutes, endpoint(tmp_path)), set_by_the_backtest(minutes)
    assert cost(ours, demand) == pytest.approx(cost(theirs, demand), rel=0.02)
    assert (ours[60:] == theirs[60:]).mean() > 0.95
