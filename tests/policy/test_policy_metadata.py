import json
from dataclasses import replace

import pytest

from autopilot.core.trained_on import FEATURES
from autopilot.policy.metadata import Metadata, parse_metadata, read_trained_on
from autopilot.ports import ModelError

TINY = Metadata(
    name="tiny",
    environment="fleet",
    features_version=1,
    width=4,
    model_sha256="ab" * 32,
    horizon_minutes=15,
    scores={"cost": 12.5},
    weights={"under": 5.0, "over": 1.0},
)

TRAINED_ON = {
    "lead_minutes": [5, 60], "days": [{"lead": 15, "error": 0.5, "features": {name: [0, 1] for name in FEATURES}}]
}  # fmt: skip


def test_what_a_model_learned_from_is_read_as_far_as_it_says():
    assert read_trained_on(TINY) is None
    known = read_trained_on(replace(TINY, trained_on=TRAINED_ON))
    assert (known.lead_minutes, known.days[0].features["noise"]) == ((5, 60), (0, 1))


def test_metadata_survive_a_round_trip_through_json():
    assert parse_metadata(TINY.to_json()) == TINY


def test_the_version_is_the_name_and_the_first_digits_of_the_checksum():
    assert TINY.version == "tiny@abababab"


def test_names_that_a_later_version_adds_are_ignored():
    assert parse_metadata(json.dumps(json.loads(TINY.to_json()) | {"later": 1})) == TINY


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"format": 2}, "format is 2", id="another format"),
        pytest.param({"serve": "both"}, "'model' or 'calibrated'", id="unknown thing to serve"),
        pytest.param({"environment": "zoo"}, "'fleet' or 'service'", id="unknown environment"),
        pytest.param({"width": "4"}, "width must be a whole number", id="text for a number"),
        pytest.param({"width": True}, "width must be a whole number", id="a truth value for a number"),
        pytest.param({"trained_on": [1]}, "trained_on: Expected `object`", id="training that is no object"),
        pytest.param({"trained_on": TRAINED_ON | {"lead_minutes": [5]}}, "length 2", id="half a range of leads"),
        pytest.param({"trained_on": TRAINED_ON | {"days": []}}, "of at least one lead", id="training without days"),
        pytest.param(
            {"trained_on": {**TRAINED_ON, "days": [{"lead": 15, "error": 1, "features": {"level": [1, 2]}}]}},
            "daily swing",
            id="training without some feature",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(change, said):
    with pytest.raises(ModelError, match=said):
        parse_metadata(json.dumps(json.loads(TINY.to_json()) | change))


def test_missing_names_are_listed():
    with pytest.raises(ModelError, match="lacks environment, width, model_sha256"):
        parse_metadata('{"name": "x", "features_version": 1, "horizon_minutes": 15, "format": 1}')


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(ModelError, match=r"metadata\.json"):
        parse_metadata(text)
