"""A candidate beside the served policy: it sees what is asked, and whatever it does, answers stay what they are."""

import queue
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from autopilot.core.decide import Predictions
from autopilot.core.fleet import FleetNow
from autopilot.core.guardrail import GuardrailRules
from autopilot.history.cache import RecentHistory
from autopilot.history.memory import MemoryHistory
from autopilot.learning.shadow import MOST_FLEETS, ShadowCandidate, ShadowOutcome
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.serve.app import create_app
from autopilot.service import Ask, Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.models import rewrite_metadata
from testkit.server import until
from tests.learning.conftest import NOW
from tests.learning.test_judge import Doubling


class Raising(Doubling):
    """A policy with a defect."""

    def predict(self, windows, lead, missing_price):
        raise ZeroDivisionError("a defect")


class Scribbling(Doubling):
    """A policy that writes into what it was given to look at, if it may."""

    def predict(self, windows, lead, missing_price):
        servers = Predictions(np.zeros(len(windows)), np.zeros((len(windows), 1), np.float32), np.empty((0, 0)))
        windows.demand[:] = 0
        return servers


class Told:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.outcomes: queue.Queue[tuple[ShadowOutcome, int]] = queue.Queue()
        self.servers: list[tuple[int, int]] = []

    def shadowed(self, outcome, fleets):
        self.outcomes.put((outcome, fleets))

    def shadow_servers(self, served, candidate):
        self.servers.append((served, candidate))


def service(shadow: ShadowCandidate | None) -> Autopilot:
    return Autopilot(Doubling(), RecentHistory(MemoryHistory()), DecisionConfig(max_clock_skew=0), shadow=shadow)


def asks(count: int = 1, at: float = NOW) -> list[Ask]:
    return [Ask(FleetNow(f"eu-{number}", at, 100.0 + number)) for number in range(count)]


def test_a_candidate_decides_what_was_decided():
    told = Told()
    service(ShadowCandidate(Doubling(), GuardrailRules(), told, pause=lambda _: None)).decide(asks(3))
    assert told.outcomes.get(timeout=30) == (ShadowOutcome.DECIDED, 3)
    assert told.outcomes.get(timeout=30) == (ShadowOutcome.SKIPPED, 0)
    assert told.servers == [(606, 606)]


@pytest.mark.parametrize("policy", [Raising(), Scribbling()], ids=lambda one: type(one).__name__)
def test_whatever_a_candidate_does_no_answer_is_another(policy):
    told = Told()
    alone, beside = service(None), service(ShadowCandidate(policy, GuardrailRules(), told, pause=lambda _: None))
    for step in range(5):
        at = NOW + 300 * step
        assert [one.decision for one in beside.decide(asks(2, at))] == [
            one.decision for one in alone.decide(asks(2, at))
        ]
        told.outcomes.get(timeout=30)


def test_a_defect_is_counted_and_the_next_decisions_are_looked_at(caplog):
    told = Told()
    beside = service(ShadowCandidate(Raising(), GuardrailRules(), told, pause=lambda _: None))
    for _ in range(2):
        beside.decide(asks())
        assert told.outcomes.get(timeout=30) == (ShadowOutcome.FAILED, 1)
    assert "ZeroDivisionError: a defect" in caplog.text


def test_what_comes_in_faster_than_it_may_compute_is_left_out_and_counted():
    told, rest = Told(), queue.Queue[None]()
    beside = service(ShadowCandidate(Doubling(), GuardrailRules(), told, pause=lambda _: rest.get()))
    beside.decide(asks(MOST_FLEETS + 5))
    assert told.outcomes.get(timeout=30) == (ShadowOutcome.DECIDED, MOST_FLEETS)
    assert told.outcomes.get(timeout=30) == (ShadowOutcome.SKIPPED, 5)
    for _ in range(6):  # four may wait while the thread rests
        beside.decide(asks())
    assert [told.outcomes.get(timeout=30) for _ in range(2)] == [(ShadowOutcome.SKIPPED, 1)] * 2
    for _ in range(8):
        rest.put(None)


def test_it_computes_a_tenth_of_the_time_at_most():
    pauses: queue.Queue[float] = queue.Queue()
    began = time.process_time()
    service(ShadowCandidate(Doubling(), GuardrailRules(), Told(), pause=pauses.put)).decide(asks(200))
    assert 0 < pauses.get(timeout=30) <= 9.5 * (time.process_time() - began)


def scoreboard(tmp_path: Path, model: Path) -> tuple[dict, dict]:
    environ = {"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/h.sqlite3", "AUTOPILOT_CANDIDATE": str(model)}
    client = create_app(Settings.from_env(environ)).test_client()
    answer = client.post("/invocations", json={"fleet": "eu", "demand": 3}).get_json()
    return client.get("/scoreboard").get_json(), answer


def test_the_endpoint_says_which_candidate_it_looks_at_and_answers_by_what_serves(tmp_path, candidate):
    told, answer = scoreboard(tmp_path, candidate)
    assert (told["candidate"][:7], told["candidate_problem"]) == ("studio@", "")
    assert answer["Prediction"]["policy"] == told["policy"] != told["candidate"]


@pytest.mark.parametrize(
    ("case", "changes", "said"),
    [
        ("another feature version", {"features_version": 1}, "was trained on observations of version 1"),
        ("damaged", {"model_sha256": "0" * 64}, "is not the file that metadata.json describes"),
        ("a web service", {"environment": "service"}, "a policy for fleets is asked for"),
    ],
)
def test_a_candidate_that_could_never_serve_is_refused_in_words_and_costs_no_answer(
    tmp_path, candidate, caplog, case, changes, said
):  # fmt: skip
    rewrite_metadata(candidate, **changes)
    told, answer = scoreboard(tmp_path, candidate)
    assert (told["candidate"], said in told["candidate_problem"]) == (None, True), case
    assert said in caplog.text
    assert answer["Prediction"]["num_of_gameservers"] >= 3


def test_the_same_model_is_no_candidate(tmp_path):
    told, _ = scoreboard(tmp_path, shutil.copytree(BUILT_IN_MODEL, tmp_path / "same"))
    assert "is the model that serves: there is nothing to compare" in told["candidate_problem"]


def test_a_place_without_a_candidate_is_no_problem(tmp_path):
    told, _ = scoreboard(tmp_path, tmp_path / "models" / "candidate")
    assert (told["candidate"], told["candidate_problem"]) == (None, "")


def test_what_a_candidate_forecasts_is_in_the_metrics(tmp_path, candidate):
    environ = {"AUTOPILOT_HISTORY": "off", "AUTOPILOT_CANDIDATE": str(candidate)}
    app = create_app(Settings.from_env(environ))
    client = app.test_client()
    client.post("/invocations", json={"fleet": "eu", "demand": 30})

    def servers() -> dict[str, float]:
        found = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
        samples = found["autopilot_candidate_servers"].samples
        return {one.labels["by"]: one.value for one in samples if one.name.endswith("_total")}

    until(servers, "the candidate has decided")
    assert servers()["candidate"] == servers()["served"] >= 30
