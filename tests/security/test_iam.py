"""Least privilege at AWS: every action of every policy is one that code here calls, or has its reason here.

What tests/deploy checks already (no wildcard action, the machine may do what it does) is not checked again.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from autopilot.history import dynamodb
from autopilot_deploy.core import plan
from autopilot_deploy.core.account import AccountState
from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.errors import iam_action
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.payload import wanted_from
from autopilot_deploy.core.services import iam
from testkit.aws.machine import states_of
from testkit.aws.payloads import IMAGE
from tests.deploy.test_state_machine import _action

STACK = Path(__file__).parents[2] / "deploy" / "stack"
ACCOUNT = "123456789012"
NAMES = Names("autopilot", ACCOUNT, "us-west-2")
Statement = dict[str, Any]

BY_OTHERS = {
    "sns:Publish": "services of AWS publish, by the topic's own policy",
}
ON_BEHALF = {
    "sagemaker:InvokeEndpoint": "API Gateway asks the endpoint, for callers of the stack's API",
    "logs:CreateLogGroup": "SageMaker makes the endpoint's log group where none is there yet",
    "logs:CreateLogStream": "SageMaker opens a stream for each instance",
    "logs:DescribeLogStreams": "SageMaker looks for its stream before it opens one",
    "logs:PutLogEvents": "SageMaker writes what the container prints",
    "cloudwatch:PutMetricData": "SageMaker writes the instance's metrics",
    "ecr:BatchCheckLayerAvailability": "SageMaker fetches the image",
    "ecr:BatchGetImage": "SageMaker fetches the image",
    "ecr:GetDownloadUrlForLayer": "SageMaker fetches the image",
    "ecr:GetAuthorizationToken": "SageMaker logs in to the registry",
    "s3:GetObject": "SageMaker fetches the model, and asynchronous requests",
    "s3:PutObject": "SageMaker writes asynchronous answers and captured data",
    "s3:ListBucket": "SageMaker tells a missing object from a forbidden one",
    **{
        f"ec2:{verb}": "SageMaker puts its network interfaces into the VPC of `vpcConfig`, and takes them away"
        for verb in (
            *("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface"),
            *("DeleteNetworkInterfacePermission", "DescribeDhcpOptions", "DescribeNetworkInterfaces"),
            *("DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"),
        )
    },
    "kms:CreateGrant": "SageMaker hands `kmsKeyId` on to the disks of instances; bound to AWS's services",
    "kms:DescribeKey": "SageMaker looks at the key before it uses it",
    "kms:GenerateDataKey": "S3 encrypts captured data and asynchronous answers in SageMaker's name",
    "kms:Decrypt": "S3 needs it for objects that are written in parts, and to read them",
    "sagemaker:UpdateEndpointWeightsAndCapacities": "RegisterScalableTarget checks that its caller may scale",
    "sagemaker:AddTags": "CreateEndpoint and CreateEndpointConfig are called with tags",
    "cloudwatch:PutMetricAlarm": "PutScalingPolicy makes the alarms of target tracking in its caller's name",
    "cloudwatch:DescribeAlarms": "PutScalingPolicy makes the alarms of target tracking in its caller's name",
    "cloudwatch:DeleteAlarms": "DeregisterScalableTarget takes them away in its caller's name",
    "iam:PassRole": "jobs and models run under roles that the learning machine names; handed to SageMaker alone",
    "states:StartExecution": "EventBridge starts the machine that learns, by the clock",
    "iam:CreateServiceLinkedRole": "the first scalable target of an account makes the service's own role",
    **{
        f"logs:{verb}": "Step Functions delivers the machine's log in its name"
        for verb in (
            *("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries"),
            *("PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"),
        )
    },
}
"""Actions that no code here calls, and why they are granted."""

EVERYWHERE = {
    "Metrics": "PutMetricData knows no resources; a condition binds it to SageMaker's own namespaces",
    "ImageLogin": "GetAuthorizationToken knows no resources",
    "ReadTargets": "DescribeScalableTargets knows no resources",
    "ListConfigs": "ListEndpointConfigs knows no resources",
    "ListTrainings": "ListTrainingJobs knows no resources",
    "LogDelivery": "the log delivery API knows no resources",
    "Network": "Describe* of EC2 knows no resources, and the interfaces do not exist yet",
}
"""Statements on `*`, by their Sid, and why they cannot be narrower."""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def everything_asked() -> dict[str, Any]:
    """A payload whose role needs every kind of statement."""
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    return {
        "endpointName": "autopilot", "image": IMAGE, "productionVariants": [variant],
        "modelDataUrl": "s3://models/autopilot/model.tar.gz",
        "vpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "asyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://answers/autopilot/"}},
        "dataCaptureConfig": {"DestinationS3Uri": "s3://capture/autopilot/", "InitialSamplingPercentage": 1,
                              "CaptureOptions": [{"CaptureMode": "Input"}],
                              "KmsKeyId": "1234abcd-12ab-34cd-56ef-12345678"},
        "kmsKeyId": "alias/games",
    }  # fmt: skip


@pytest.fixture(scope="module")
def made() -> list[Any]:
    """The calls that `deploy` would make in an empty account, as far as they are IAM's."""
    wanted = wanted_from(everything_asked())
    return list(plan._role(wanted, NAMES, AccountState(), plan._statements(wanted, NAMES)))


@pytest.fixture(scope="module")
def policies(made) -> dict[str, list[Statement]]:
    """Every policy by its name: what the command line writes, and what the stack has."""
    (written,) = [call for call in made if call.operation == "PutRolePolicy"]
    found = {"command line": json.loads(written.parameters["PolicyDocument"])["Statement"]}
    resources = yaml.safe_load((STACK / "template.yaml").read_text())["Resources"]
    for name, resource in resources.items():
        for policy in resource["Properties"].get("Policies", []):
            found[f"{name}/{policy['PolicyName']}"] = policy["PolicyDocument"]["Statement"]
        if resource["Type"] == "AWS::IAM::RolePolicy":
            policy = resource["Properties"]
            found[f"{policy['RoleName']['Ref']}/{policy['PolicyName']}"] = policy["PolicyDocument"]["Statement"]
    return found


def called_by_code() -> set[str]:
    """Actions of the calls in the container's history and in the state machines."""
    source = Path(dynamodb.__file__).read_text()
    history = {f"dynamodb:{_camel(name)}" for name in re.findall(r"_connected\(\)\.(\w+)\(", source)}
    machines = [json.loads((STACK / name).read_text()) for name in ("deploy.asl.json", "learn.asl.json")]
    states = [state for machine in machines for state in states_of(machine)]
    tasks = [AwsCall(*_action(task["Resource"]), {}) for task in states if task["Type"] == "Task"]
    assert history
    assert tasks
    return history | {iam_action(task) for task in tasks}


def _camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


def test_every_role_of_the_stack_is_looked_at(policies):
    resources = yaml.safe_load((STACK / "template.yaml").read_text())["Resources"]
    roles = {name for name, one in resources.items() if one["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")}
    assert roles == {name.partition("/")[0] for name in policies} - {"command line"}
    assert not [name for name in roles if "ManagedPolicyArns" in resources[name]["Properties"]]
    assert not [one for one in resources.values() if one["Type"] in ("AWS::IAM::Policy", "AWS::IAM::User")]


def test_every_action_is_called_by_code_or_has_its_reason(policies):
    granted = {action for one in policies.values() for statement in one for action in listed(statement["Action"])}
    assert granted <= called_by_code() | ON_BEHALF.keys()
    assert ON_BEHALF.keys() <= granted, "a reason for what nobody is granted"
    assert called_by_code() <= granted | BY_OTHERS.keys()


def test_a_right_on_every_key_is_bound_to_an_alias_and_a_grant_to_services_of_aws(policies):
    statements = {one["Sid"]: one for one in policies["command line"] if "kms:DescribeKey" in one["Action"]}
    assert set(statements) == {"DiskKey", "ObjectKey1"}
    bound = statements["DiskKey"]["Condition"]
    assert statements["DiskKey"]["Resource"].endswith(":key/*")
    assert bound["ForAnyValue:StringEquals"] == {"kms:ResourceAliases": "alias/games"}
    assert bound["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert statements["ObjectKey1"]["Resource"].endswith(":key/1234abcd-12ab-34cd-56ef-12345678")


def test_everything_is_allowed_and_nothing_by_exclusion(policies):
    for statements in policies.values():
        for statement in statements:
            assert statement["Effect"] == "Allow"
            assert not {"NotAction", "NotResource"} & statement.keys()


def test_a_statement_on_everything_is_one_that_aws_takes_no_narrower(policies):
    open_ones = {
        statement["Sid"]
        for statements in policies.values()
        for statement in statements
        if "*" in listed(statement["Resource"])
    }
    assert open_ones == EVERYWHERE.keys()


def test_metrics_may_be_written_into_sagemakers_own_namespaces_only(policies):
    for statements in policies.values():
        for statement in statements:
            if statement["Action"] == "cloudwatch:PutMetricData":
                namespaces = statement["Condition"]["StringLike"]["cloudwatch:namespace"]
                assert namespaces == ["AWS/SageMaker", "/aws/sagemaker/*"]


def test_every_other_resource_lies_in_this_account_or_in_a_bucket_that_was_named(policies):
    for statements in policies.values():
        for statement in statements:
            for resource in listed(statement["Resource"]):
                assert _bounded(resource), (statement["Sid"], resource)


def _bounded(resource: Any) -> bool:
    if isinstance(resource, dict):  # of the template: another resource of it, or a text with the account in it
        return "Ref" in resource or "Fn::GetAtt" in resource or _within(resource["Fn::Sub"])
    named = ("arn:aws:s3:::models/autopilot/", "arn:aws:s3:::answers/autopilot/", "arn:aws:s3:::capture/autopilot/")
    buckets = ("arn:aws:s3:::models", "arn:aws:s3:::answers", "arn:aws:s3:::capture")
    return resource == "*" or f":{ACCOUNT}:" in resource or resource.startswith(named) or resource in buckets


def _within(text: Any) -> bool:
    """A text with the account in it, or objects of the bucket that the stack makes or is given."""
    if "${AWS::AccountId}" in text or "${AWS::AccountId}" in text[0]:
        return True
    learned = {"Fn::If": ["MakesLearningBucket", {"Ref": "LearningBucket"}, {"Ref": "LearningBucketName"}]}
    return bool(text[0].startswith("arn:${AWS::Partition}:s3:::${Bucket}") and text[1] == {"Bucket": learned})


def test_models_that_were_learned_are_all_that_the_container_reads_in_s3(policies):
    learned, found, alarm = policies["ServingRole/learned"]
    assert found["Condition"] == {"StringLike": {"s3:prefix": "models/*"}}
    assert alarm["Action"] == "cloudwatch:DescribeAlarms"
    assert [one["Fn::Sub"].rpartition(":")[2] for one in alarm["Resource"]] == ["autopilot-${EndpointName}-errors"]
    assert learned["Action"] == ["s3:GetObject"]
    assert learned["Resource"]["Fn::Sub"][0] == "arn:${AWS::Partition}:s3:::${Bucket}/models/*"
    assert not [one for one in policies["ServingRole/least"] if "s3:" in json.dumps(one["Action"])]


def test_services_may_take_a_role_for_this_account_alone(made):
    trusts = [
        json.loads(call.parameters["AssumeRolePolicyDocument"]) for call in made if call.operation == "CreateRole"
    ]
    resources = yaml.safe_load((STACK / "template.yaml").read_text())["Resources"]
    trusts += [
        one["Properties"]["AssumeRolePolicyDocument"] for one in resources.values() if one["Type"] == "AWS::IAM::Role"
    ]
    trusts += [
        one["Properties"]["PolicyDocument"] for one in resources.values() if one["Type"] == "AWS::SNS::TopicPolicy"
    ]
    assert len(trusts) == 8
    for trust in trusts:
        (statement,) = trust["Statement"]
        if statement["Principal"]["Service"] == "apigateway.amazonaws.com":
            continue  # it says no account along; a role is passed to an API of its own account alone
        assert set(statement["Principal"]) == {"Service"}
        assert "*" not in listed(statement["Principal"]["Service"])
        assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] in (ACCOUNT, {"Ref": "AWS::AccountId"})


def test_a_right_that_nothing_asks_for_is_not_granted():
    statements = iam.role_statements(NAMES, "registry.example/autopilot:1", None, [], [])
    assert {one["Sid"] for one in statements} == {"Logs", "Metrics"}
