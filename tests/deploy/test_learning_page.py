"""docs/learning-on-aws.md says what the stack does: subjects, parameters, commands, rights and cost."""

import json
import re
from pathlib import Path

import pytest
import yaml

from autopilot_deploy.cli import main
from autopilot_deploy.core.cost import INSTANCE_PRICES
from testkit.aws.machine import LEARNING, states_of

PAGE = (Path(__file__).parents[2] / "docs" / "learning-on-aws.md").read_text()
STATES = json.loads(LEARNING.read_text())
PARAMETERS = yaml.safe_load(LEARNING.with_name("template.yaml").read_text())["Parameters"]


def test_every_subject_that_is_told_is_explained():
    told = [one["Arguments"]["Subject"] for one in states_of(STATES) if one.get("Resource", "").endswith("sns:publish")]
    names = r"\$(name|serving)"
    subjects = {re.sub(rf"' & {names}", "MODEL", one.strip("{% }")).strip("'") for one in told}
    assert {one.strip("'") for one in subjects} == set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))


def test_every_parameter_is_one_of_the_stack_with_the_default_that_is_said():
    named = set(re.findall(r"`((?:Learning|Auto)\w+)(?:=\w+)?`", PAGE))
    assert named
    assert named <= set(PARAMETERS)
    for name, shown in re.findall(r"`(\w+)` \((\d+)\)", PAGE):
        assert PARAMETERS[name]["Default"] == int(shown)
    minute, hour = re.match(r"cron\((\d+) (\d+) ", PARAMETERS["LearningScheduleExpression"]["Default"]).groups()
    assert f"{int(hour):02}:{minute} UTC" in PAGE


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_the_commands_that_are_told_are_commands(command):
    assert command in main.commands
    assert f"$ python -m autopilot_deploy {command} autopilot" in PAGE
    assert f"python -m autopilot_deploy {command} ${{EndpointName}}" in LEARNING.read_text()


def test_the_cost_is_that_of_the_jobs_which_are_described():
    def hour(state):
        arguments = STATES["States"][state]["Arguments"]
        cluster = arguments.get("ProcessingResources", {}).get("ClusterConfig") or arguments["ResourceConfig"]
        return INSTANCE_PRICES[cluster["InstanceType"]] * cluster["InstanceCount"]

    weeks = 365.25 / 12 / 7
    month = 7 * weeks * hour("Trial") / 12 + weeks * hour("Export") / 12 + weeks * hour("Train") / 2
    assert f"${month:.2f} a month" in PAGE
