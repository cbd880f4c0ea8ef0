"""Imports point inwards in the deployer, and what tests and bench share knows neither."""

from pathlib import Path

import pytest

from testkit.imports import imported

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy" / "autopilot_deploy"

# What each room of the deployer may import of the package, and of what is installed; innermost first.
ROOMS = {
    "core": ({"core"}, {"botocore"}),  # AWS's own service models: data, read from a file
    "calls": ({"core", "calls"}, {"boto3", "botocore"}),
    "flows": ({"core", "calls", "flows"}, set()),
    "cli": ({"core", "calls", "flows"}, {"click"}),
    "__init__": (set(), set()),
    "__main__": ({"cli"}, set()),
}


def room_of(path: Path) -> str:
    return path.relative_to(DEPLOY).with_suffix("").parts[0]


def test_every_file_of_the_deployer_has_a_room():
    assert {room_of(path) for path in DEPLOY.rglob("*.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_of_the_deployer_point_inwards(room):
    rooms, packages = ROOMS[room]
    for path in DEPLOY.rglob("*.py"):
        if room_of(path) == room:
            names = [name.split(".") for name in imported(path)]
            assert {name[1] for name in names if name[0] == "autopilot_deploy"} <= rooms, path
            assert {name[0] for name in names} & {"boto3", "botocore", "click"} <= packages, path


def test_boto3_is_known_in_one_file():
    assert [path.name for path in DEPLOY.rglob("*.py") if "boto3" in imported(path)] == ["boto.py"]


def test_the_deployer_shares_no_code_with_the_container_and_the_client():
    for path in DEPLOY.rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"autopilot", "autopilot_client"}, path


@pytest.mark.parametrize(("folder", "unknown"), [("testkit", {"tests", "bench"}), ("bench", {"tests"})])
def test_what_is_shared_knows_no_test(folder, unknown):
    for path in (ROOT / folder).rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & unknown, path
