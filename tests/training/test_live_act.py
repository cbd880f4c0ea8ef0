"""The live phase that acts while it learns: explored within bounds, through the guardrail, after a verdict."""

import socket

import numpy as np
import pytest

from autopilot.core.history import Windows
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.metadata import read_metadata
from autopilot.training.hyperparameters import HyperparameterError, Hyperparameters, parse_hyperparameters
from autopilot.training.job import Job, JobError, StopSignal
from autopilot.training.live_act import ExploringPolicy, LiveActor, read_acts
from autopilot.training.live_http import answering, create_live_app
from autopilot.training.run import run_fleet
from testkit.client.standins import serving
from testkit.fakes import FakePolicy
from testkit.matchmaker import SLOT, SLOTS_A_DAY, START, SimulatedFleet, habitual_demand, matchmaker, paced, played
from testkit.ports import free_port

URL = "http://127.0.0.1:9/"
QUICK = {
    "recorded_weight": "1.0", "warm_start": "none", "epochs": "15", "live_act": "true", "live_exploration": "0.02",
    "max_servers": "1000",
}  # fmt: skip


def asked(slots):
    """Windows of one fleet at these slots, in which 80 servers were needed."""
    count = len(slots)
    return Windows(np.full((count, 864), 80.0, np.float32), np.full((count, 1000), 80.0, np.float32), np.array(slots))


def predicted(policy, slots):
    lead, price = np.tile([10.0, 15.0], (len(slots), 1)), np.full(len(slots), 5.0)
    return policy.predict(asked(slots), lead, price).servers


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5])
def test_a_prediction_is_moved_by_no_more_than_was_allowed(share):
    servers = predicted(ExploringPolicy(FakePolicy(1.0), share, seed=1), range(0, 12 * 500, 12))
    assert (abs(servers / 80.0 - 1.0) <= share + 1e-12).all()
    assert abs(servers / 80.0 - 1.0).max() > 0.9 * share or share == 0
    assert abs(np.mean(servers) / 80.0 - 1.0) <= 0.1 * share


def test_an_exploration_lasts_an_hour_and_is_the_same_after_a_restart():
    slots = list(range(1200, 1224))
    first, second = (predicted(ExploringPolicy(FakePolicy(1.0), 0.1, seed=1), slots) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert len(set(first[:12])) == len(set(first[12:])) == 1
    assert first[0] != first[12]


def pairs(demand):
    return [(START + SLOT * at, float(servers)) for at, servers in enumerate(demand)]


def acting(tmp_path, policy, demand, clock=lambda: 0.0, **hparams):
    """An actor that has heard a course of demand."""
    actor = LiveActor(
        Hyperparameters(gs_inventory_url=URL, live_act=True, **hparams), policy, tmp_path / "a.csv", clock
    )
    for until in range(1, len(demand) + 1):
        actor.heard(pairs(demand)[:until])
    return actor


@pytest.mark.parametrize(
    ("ratio", "limits", "least", "most"),
    [
        (0.1, {}, 80, 80),  # never below what is in use
        (1.2, {}, 48, 144),  # explored
        (1.2, {"min_servers": 200}, 200, 200),
        (3.0, {"max_servers": 100}, 100, 100),
        (1e9, {}, 80, 120),  # no prediction of a working model: the rule
    ],
)
def test_the_guardrail_has_the_last_word(tmp_path, ratio, limits, least, most):
    actor = acting(tmp_path, FakePolicy(ratio), [80.0] * 40, live_exploration=0.5, **limits)
    sizes = read_acts(tmp_path / "a.csv").allocation
    assert len(sizes) == 40
    assert sizes.min() >= max(least, 80)
    assert sizes.max() <= most
    assert actor.standing().decision.allocation == sizes[-1]


def test_an_outage_of_the_matchmaker_is_held_as_the_endpoint_holds_it(tmp_path):
    rng = np.random.default_rng(1)
    demand = np.concatenate([rng.poisson(80, 2 * SLOTS_A_DAY), rng.poisson(12, 6)])
    actor = LiveActor(Hyperparameters(gs_inventory_url=URL), CalibratedPolicy(), tmp_path / "a.csv")
    reasons = []
    for until in range(len(demand) - 5, len(demand) + 1):
        actor.heard(pairs(demand)[:until])
        reasons.append(actor.standing().decision.reason)
        assert actor.standing().decision.allocation >= 70
    assert set(reasons) == {"outage_hold"}


def test_what_was_decided_is_written_down_and_a_cut_line_left_out(tmp_path):
    acting(tmp_path, FakePolicy(1.0, name="mine,2@1"), [80.0, 81.0, 82.0], live_exploration=0.0)
    with (tmp_path / "a.csv").open("a") as file:
        file.write("1790036100.000,83,8")
    acts = read_acts(tmp_path / "a.csv")
    assert acts.demand.tolist() == acts.forecast.tolist() == acts.allocation.tolist() == [80, 81, 82]
    assert acts.policy == ("mine,2@1",) * 3
    assert not read_acts(tmp_path / "none.csv").policy


def test_it_answers_in_the_form_of_the_known_examples_server(tmp_path):
    now = [0.0]
    actor = acting(tmp_path, FakePolicy(1.25), [80.0], lambda: now[0], live_fleet="eu/shooter", live_exploration=0.0)
    client = create_live_app(actor).test_client()
    said = client.get("/predict/eu/shooter").get_json()["Prediction"]
    assert (said["num_of_gameservers"], said["curr_demand"], said["fleet"]) == (100, "80", "eu/shooter")
    assert client.get("/ping").status_code == 200
    assert client.get("/predict/us").status_code == 404
    now[0] = 2 * 300.0 + 1  # two observations have failed to come
    silent = client.get("/predict/eu/shooter")
    assert silent.status_code == 503
    assert silent.get_json()["error"]["code"] == "demand_unavailable"


def test_before_anything_was_observed_nothing_is_answered(tmp_path):
    actor = acting(tmp_path, FakePolicy(), [])
    assert create_live_app(actor).test_client().get("/predict/live").status_code == 503


def test_a_port_that_is_taken_is_an_error_with_a_remedy(tmp_path):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(JobError, match=f"live_port {port} cannot be listened on"), answering(None, port):
            pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"live_act": "true"}, "live_act needs gs_inventory_url"),
        ({"min_servers": "5", "max_servers": "4"}, "min_servers must not be above max_servers"),
        ({"live_fleet": "a\nb"}, "live_fleet must be a name"),
        ({"live_exploration": "0.6"}, "live_exploration must be a finite number, 0 to 0.5"),
    ],
)
def test_what_cannot_be_acted_by_is_refused(given, message):
    with pytest.raises(HyperparameterError, match=message):
        parse_hyperparameters(given)


def run(root, fleet, given, stop=None):
    """Let a job act on a simulated fleet, over HTTP, to the end of its demand or until it is stopped."""
    with serving(matchmaker(fleet)) as url:
        hparams = parse_hyperparameters(given | {"gs_inventory_url": url, "live_port": str(free_port())})
        run_fleet(Job(root), hparams, stop or StopSignal(), opens=paced(fleet))
    return hparams


def test_it_beats_what_it_began_with_and_a_restart_loses_nothing(tmp_path, capsys):
    """Three days of a fleet with habits, stopped on the third. It begins with the calibrated rule, knowing nothing."""
    demand = habitual_demand(seed=1, days=3)
    fleet = SimulatedFleet(demand)
    recording = tmp_path / "checkpoints" / "live.csv"

    class Spot(StopSignal):
        def check(self):
            self.asked = fleet.at > 2 * SLOTS_A_DAY + 40
            super().check()

    run(tmp_path, fleet, QUICK, Spot())
    before = len(recording.read_text().splitlines())
    learned = read_metadata(tmp_path / "checkpoints" / "live").version
    assert 2 * SLOTS_A_DAY < before < len(demand)
    hparams = run(tmp_path, fleet, QUICK)
    said = capsys.readouterr().out
    assert said.count(f"acting for live with {CalibratedPolicy().name}, explored by up to 2%") == 1
    assert said.count(f"acting for live with {learned}") == 1
    assert f"{before} of 2016 observations are there" in said

    acts = read_acts(tmp_path / "checkpoints" / "live-acts.csv")
    assert acts.demand.tolist() == demand.tolist()  # each once, and each at its time
    assert len(recording.read_text().splitlines()) == len(demand)
    assert (acts.allocation >= acts.demand).all()
    assert acts.policy[0] == CalibratedPolicy().name
    assert acts.policy[before - 1] == acts.policy[before] == learned

    begun = played(SimulatedFleet(demand), CalibratedPolicy(), hparams, tmp_path)
    assert fleet.cost(days=0.9) < 0.95 * begun.cost(days=0.9)
    assert read_metadata(tmp_path / "model").scores["chosen"] in {"trained", "default"}
