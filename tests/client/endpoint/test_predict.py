"""Asking a server that reads demand itself, such as the known example's: one GET for each fleet."""

import pytest

from autopilot_client.config.document import Endpoint as Settings
from autopilot_client.endpoint.predict import PredictEndpoint
from autopilot_client.endpoint.wire import answer
from autopilot_client.ports import EndpointUnavailableError
from testkit.client.standins import as_json, serving

THEIRS = {
    "action": "28.546",
    "curr_demand": "94.85064306952303",
    "is_false_positive": 1,
    "new_alloc": "94.85064306952303",
    "num_of_gameservers": 94.85064306952303,
    "observations": "[10.         10.         10.         10.         94.85064307]",
    "raw_results": {"predictions": [{"actions": [0.28546], "logits": [0.277642, -5.3319]}]},
}


def asked(handler, *fleets, place="/predict/{fleet}", **settings):
    with serving(handler) as url:
        endpoint = PredictEndpoint(Settings(predict=url + place, **settings), wait_seconds=0)
        return endpoint.ask([{"fleet": fleet, "demand": 1} for fleet in fleets])


def test_the_examples_own_answer_is_understood_and_rounded_up():
    (element,) = asked(lambda *_: as_json({"Prediction": THEIRS}), "us-west-2", place="/api/predict/us-west-2")
    found = answer("us-west-2", element, 0.0)
    assert (found.allocation, found.prediction, found.false_positive) == (95, 28.546, True)


def test_each_fleet_is_asked_for_by_its_name_and_one_that_fails_keeps_its_place():
    seen = []

    def handler(method, path, body):
        seen.append((method, path, body))
        return as_json({}, 500) if "bad" in path else as_json({"Prediction": THEIRS})

    good, bad = asked(handler, "eu/cup final", "bad")
    assert "Prediction" in good
    assert "error" in bad
    assert seen == [("GET", "/predict/eu/cup%20final", b""), ("GET", "/predict/bad", b"")]


def test_what_may_pass_is_asked_again():
    hits = []
    handler = lambda *_: hits.append(1) or (as_json({}, 503) if len(hits) < 3 else as_json({"Prediction": THEIRS}))  # noqa: E731
    assert "Prediction" in asked(handler, "a", attempts=3)[0]
    assert len(hits) == 3


@pytest.mark.parametrize("reply", [(200, b"<html>"), (200, b"[1]"), (500, b'{"message": "Internal server error"}')])
def test_a_server_that_answers_for_no_fleet_is_unavailable(reply):
    with pytest.raises(EndpointUnavailableError):
        asked(lambda *_: reply, "a", "b")
