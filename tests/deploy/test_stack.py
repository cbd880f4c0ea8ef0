import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autopilot_deploy.calls import dynamodb, iam
from autopilot_deploy.core.board import Sources, alarms, dashboard
from autopilot_deploy.core.errors import iam_action
from autopilot_deploy.core.names import Names
from tests.deploy.machine import states_of
from tests.deploy.test_state_machine import _action

STACK = Path(__file__).parents[2] / "deploy" / "stack"
NAMES = Names("${EndpointName}", "${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}")


@pytest.fixture(scope="module")
def resources():
    return yaml.safe_load((STACK / "template.yaml").read_text())["Resources"]


def statements(resources, role):
    (policy,) = resources[role]["Properties"]["Policies"]
    return policy["PolicyDocument"]["Statement"]


def test_cfn_lint_finds_nothing():
    linter = Path(sys.executable).with_name("cfn-lint")
    checked = subprocess.run([linter, STACK / "template.yaml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_stack_and_command_line_put_up_the_same_dashboard(resources):
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert json.loads(body) == dashboard(NAMES, Sources())


def test_stack_and_command_line_ring_the_same_alarms(resources):
    ours = {one["AlarmName"]: one for one in alarms(NAMES, Sources(), None)}
    theirs = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert {one["AlarmName"]["Fn::Sub"] for one in theirs} == set(ours)
    for one in theirs:
        assert one["Threshold"] == ours[one["AlarmName"]["Fn::Sub"]]["Threshold"]
        assert one["AlarmActions"] == one["OKActions"] == [{"Ref": "Topic"}]


def test_stack_and_command_line_make_the_same_table(resources):
    table = resources["HistoryTable"]["Properties"]
    made = dynamodb.create(NAMES, "t", {}).parameters
    assert (table["KeySchema"], table["BillingMode"]) == (made["KeySchema"], made["BillingMode"])
    assert table["TimeToLiveSpecification"] == {"AttributeName": dynamodb.TTL, "Enabled": True}
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


def test_the_machine_may_make_every_call_that_it_makes(resources):
    granted = {
        action
        for one in statements(resources, "MachineRole")
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    for task in states_of(json.loads((STACK / "deploy.asl.json").read_text())):
        if task["Type"] == "Task":
            service, operation = _action(task["Resource"])
            assert f"{service}:{operation}" in granted


def test_the_container_may_do_the_same_as_under_the_command_lines_role(resources):
    image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/autopilot:1"
    ours = {one["Sid"]: set(_listed(one)) for one in iam.role_statements(NAMES, image, "t", [], [])}
    theirs = {one["Sid"]: set(_listed(one)) for one in statements(resources, "ServingRole")}
    assert theirs == ours | {"Logs": ours["Logs"] - {"logs:CreateLogGroup"}}


def _listed(statement):
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.mark.parametrize("role", ["MachineRole", "ServingRole"])
def test_no_role_has_a_wildcard_action(resources, role):
    assert not any("*" in action for one in statements(resources, role) for action in _listed(one))


def test_actions_are_named_as_iam_does():
    assert iam_action(iam.who()) == "sts:GetCallerIdentity"
