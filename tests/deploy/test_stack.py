import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.errors import iam_action
from autopilot_deploy.core.monitoring import MetricSources, alarms, dashboard
from autopilot_deploy.core.names import TAG, Names
from autopilot_deploy.core.services import dynamodb, iam
from testkit.aws.machine import states_of
from tests.deploy.test_state_machine import _action

STACK = Path(__file__).parents[2] / "deploy" / "stack"
NAMES = Names("${EndpointName}", "${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}")


@pytest.fixture(scope="module")
def resources():
    return yaml.safe_load((STACK / "template.yaml").read_text())["Resources"]


def statements(resources, role):
    (policy,) = resources[role]["Properties"]["Policies"]
    return policy["PolicyDocument"]["Statement"]


def test_the_committed_files_are_what_the_deployer_writes(cli, tmp_path):
    assert cli("stack", "--check", str(STACK)).exit_code == 0, "run: cd deploy && python -m autopilot_deploy stack"
    assert cli("stack", str(tmp_path)).exit_code == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in STACK.iterdir() if path.suffix in (".yaml", ".json")
    }


def test_a_file_that_was_changed_by_hand_is_told(cli, tmp_path):
    cli("stack", str(tmp_path))
    (tmp_path / "template.yaml").write_text("Resources: {}")
    result = cli("stack", "--check", str(tmp_path))
    assert result.exit_code == 1
    assert "template.yaml" in result.stderr
    assert "deploy.asl.json" not in result.stderr


def test_cfn_lint_finds_nothing():
    linter = Path(sys.executable).with_name("cfn-lint")
    checked = subprocess.run([linter, STACK / "template.yaml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_stack_and_command_line_put_up_the_same_dashboard(resources):
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert json.loads(body) == dashboard(NAMES, MetricSources())


def test_stack_and_command_line_ring_the_same_alarms(resources):
    ours = {one["AlarmName"]: one for one in alarms(NAMES, MetricSources(), None)}
    theirs = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert {one["AlarmName"]["Fn::Sub"] for one in theirs} == set(ours)
    for one in theirs:
        wanted = ours[one["AlarmName"]["Fn::Sub"]]
        assert plain({name: one[name] for name in set(wanted) - {"Tags"}}) == plain(without_tags(wanted))
        assert one["AlarmActions"] == one["OKActions"] == [{"Ref": "Topic"}]


def without_tags(alarm):
    return {name: value for name, value in alarm.items() if name != "Tags"}


def plain(value):
    """With the text of each Fn::Sub and Ref in its place."""
    if isinstance(value, dict):
        if set(value) == {"Ref"}:
            return f"${{{value['Ref']}}}"
        return value["Fn::Sub"] if set(value) == {"Fn::Sub"} else {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_an_execution_that_ends_without_telling_is_told_by_a_rule(resources):
    ends = json.loads((STACK / "deploy.asl.json").read_text())["States"]["Not deployed"]
    rules = [resources[name]["Properties"] for name in ("EndedOtherwise", "EndedUntold")]
    watched = {status: one for one in rules for status in one["EventPattern"]["detail"]["status"]}
    assert set(watched) == {"ABORTED", "TIMED_OUT", "FAILED"}
    assert watched["FAILED"]["EventPattern"]["detail"]["error"] == [{"anything-but": ends["Error"]}, {"exists": False}]
    assert all(one["Targets"] == [{"Id": "topic", "Arn": {"Ref": "Topic"}}] for one in rules)


def test_nothing_of_the_stack_has_the_tag_by_which_the_command_line_destroys(resources):
    assert TAG not in json.dumps(resources)
    assert TAG in (STACK / "deploy.asl.json").read_text()


def test_the_longest_deadline_fits_the_events_of_an_execution():
    template = yaml.safe_load((STACK / "template.yaml").read_text())
    events = 9  # a wait, a task and a choice, entered and left, and the task's call
    looks = template["Parameters"]["DeadlineMinutes"]["MaxValue"] * 2
    assert looks * events < 25_000 - 1_000


def test_stack_and_command_line_make_the_same_table(resources):
    table = resources["HistoryTable"]["Properties"]
    made = dynamodb.create(NAMES, "t", {}).parameters
    assert (table["KeySchema"], table["BillingMode"]) == (made["KeySchema"], made["BillingMode"])
    assert table["TimeToLiveSpecification"] == {"AttributeName": dynamodb.TTL, "Enabled": True}
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


@pytest.mark.parametrize(
    ("role", "machine"), [("MachineRole", "deploy.asl.json"), ("LearningMachineRole", "learn.asl.json")]
)
def test_a_machine_may_make_every_call_that_it_makes(resources, role, machine):
    granted = {
        action
        for one in statements(resources, role)
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    for task in states_of(json.loads((STACK / machine).read_text())):
        if task["Type"] == "Task":
            assert iam_action(AwsCall(*_action(task["Resource"]), {})) in granted


def test_the_container_may_do_the_same_as_under_the_command_lines_role(resources):
    image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/autopilot:1"
    ours = {one["Sid"]: set(_listed(one)) for one in iam.role_statements(NAMES, image, "t", [], [])}
    theirs = {one["Sid"]: set(_listed(one)) for one in statements(resources, "ServingRole")}
    assert theirs == ours | {"Logs": ours["Logs"] - {"logs:CreateLogGroup"}}


def _listed(statement):
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.mark.parametrize("role", ["MachineRole", "ServingRole", "LearningRole", "LearningMachineRole"])
def test_no_role_has_a_wildcard_action(resources, role):
    assert not any("*" in action for one in statements(resources, role) for action in _listed(one))


def test_actions_are_named_as_iam_does():
    assert iam_action(iam.who()) == "sts:GetCallerIdentity"


def test_nothing_learns_where_no_image_for_it_is_named(resources):
    template = yaml.safe_load((STACK / "template.yaml").read_text())
    assert template["Parameters"]["LearningImageUri"]["Default"] == ""
    learning = {name: one for name, one in resources.items() if name.startswith("Learning")}
    assert len(learning) == 8
    conditions = {name: one["Condition"] for name, one in learning.items()}
    assert conditions.pop("LearningBucket") == "MakesLearningBucket"
    assert set(conditions.values()) == {"HasLearning"}


def test_a_bucket_that_stayed_is_never_in_the_way_and_can_be_taken_again(resources):
    template = yaml.safe_load((STACK / "template.yaml").read_text())
    bucket = resources["LearningBucket"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert "BucketName" not in bucket["Properties"], "a fixed name is taken already by the bucket that stayed"
    named = template["Parameters"]["LearningBucketName"]
    for name, right in {
        "": True,
        "stack-learningbucket-1abc": True,
        "Upper": False,
        "a": False,
        "b" * 64: False,
    }.items():
        assert bool(re.fullmatch(named["AllowedPattern"], name)) is right, name
    assert template["Conditions"]["MakesLearningBucket"] == {
        "Fn::And": [{"Condition": "HasLearning"}, {"Fn::Equals": [{"Ref": "LearningBucketName"}, named["Default"]]}]
    }
    used = {"Fn::If": ["MakesLearningBucket", {"Ref": "LearningBucket"}, {"Ref": "LearningBucketName"}]}
    assert resources["LearningStateMachine"]["Properties"]["DefinitionSubstitutions"]["Bucket"] == used


def test_an_execution_that_learns_and_ends_without_telling_is_told_by_a_rule(resources):
    detail = resources["LearningEndedUntold"]["Properties"]["EventPattern"]["detail"]
    assert detail == {"status": ["ABORTED", "TIMED_OUT"], "stateMachineArn": [{"Ref": "LearningStateMachine"}]}


def test_roles_are_handed_to_sagemaker_alone(resources):
    (hand,) = [one for one in statements(resources, "LearningMachineRole") if one["Sid"] == "HandRoles"]
    assert hand["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert hand["Resource"] == [{"Fn::GetAtt": [role, "Arn"]} for role in ("LearningRole", "ServingRole")]


def test_what_learns_writes_into_its_own_bucket_alone_and_reads_the_table(resources):
    granted = {one["Sid"]: one for one in statements(resources, "LearningRole")}
    assert granted["ReadHistory"]["Action"] == ["dynamodb:BatchGetItem", "dynamodb:Scan"]
    bucket = resources["LearningStateMachine"]["Properties"]["DefinitionSubstitutions"]["Bucket"]
    assert granted["Objects"]["Resource"] == {"Fn::Sub": ["arn:${AWS::Partition}:s3:::${Bucket}/*", {"Bucket": bucket}]}
