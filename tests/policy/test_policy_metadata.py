import json

import pytest

from autopilot.policy.metadata import Metadata, parse_metadata
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
