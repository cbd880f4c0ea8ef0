"""The stack: everything that the command line makes, but the endpoint, which the stack's state machine deploys.

What is made by both comes from the same values as the command line's calls; only what a stack needs on top stands here.
"""

import json
from typing import Any

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.monitoring import ALARMS, MetricSources, alarms, dashboard
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.payload import DEFAULT_METRICS, DEFAULT_TABLE
from autopilot_deploy.core.requests import container_environment
from autopilot_deploy.core.services import dynamodb, iam, logs
from autopilot_deploy.core.stack import api, learning
from autopilot_deploy.core.stack.input import LONGEST_ENDPOINT_NAME
from autopilot_deploy.core.stack.machine import FAILED
from autopilot_deploy.core.stack.parts import (
    allow,
    log_delivery,
    machine,
    resource,
    role,
    tells_of_an_abort,
    tells_of_the_end,
)

NAMES = Names("${EndpointName}", "${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}")
MACHINE = "AutoScalingModelEndpointDeploymentStateMachine"
_TAGS = {"gameserver-autopilot:stack": "${AWS::StackName}", "environment": "${Environment}"}
"""Not the tag by which the command line's `destroy` knows what is its own."""
_TAG_LIST = [{"Key": key, "Value": value} for key, value in _TAGS.items()]
_TOPIC = {"Ref": "Topic"}


def template() -> dict[str, Any]:
    """The CloudFormation template, for the SAM transform."""
    resources = _topic() | _store() | _serving() | _machine() | _rules() | _monitoring()
    resources |= api.resources(NAMES, _TAG_LIST) | learning.resources(NAMES, _TAG_LIST, _TOPIC)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Auto-scaling SageMaker endpoints of the GameServer Autopilot, deployed by a state machine.",
        "Parameters": _parameters(),
        "Conditions": {
            api.CONDITION: {"Fn::Equals": [{"Ref": "ApiAccess"}, "iam"]},
        }
        | {
            f"Has{what}": {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}
            for what, parameter in (("Email", "NotificationEmail"), ("Key", "TopicKmsKeyId"), ("Image", "ImageUri"))
        }
        | learning.conditions(),
        "Resources": {name: filled(one) for name, one in resources.items()},
        "Outputs": {
            "StateMachineArn": {"Value": {"Ref": MACHINE}},
            "TopicArn": {"Value": _TOPIC},
            "ModelName": {"Condition": "HasImage", "Value": {"Fn::GetAtt": ["Model", "ModelName"]}},
            "ServingRoleArn": {"Value": {"Fn::GetAtt": ["ServingRole", "Arn"]}},
            "ApiUrl": {"Condition": api.CONDITION, "Value": filled(api.url(NAMES))},
        },
    }


def filled(value: Any) -> Any:  # noqa: ANN401 - JSON
    """With Ref for each string that is one placeholder, and Fn::Sub for each that has some."""
    if isinstance(value, dict):
        return value if "Fn::Sub" in value else {key: filled(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [filled(one) for one in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = value.startswith("${") and value.endswith("}") and value.count("${") == 1
    return {"Ref": value[2:-1]} if whole else {"Fn::Sub": value}


def _parameter(description: str, default: object, kind: str = "String", **more: object) -> Json:
    return {"Type": kind, "Description": description, "Default": default, **more}


def _parameters() -> dict[str, Json]:
    rest = LONGEST_ENDPOINT_NAME - 1
    return {
        "EndpointName": _parameter(
            "Name of the endpoint that the machine may deploy.",
            "autopilot",
            AllowedPattern=f"[a-z0-9](-*[a-z0-9]){{0,{rest}}}",
            ConstraintDescription=f"1 to {LONGEST_ENDPOINT_NAME} small letters, digits and dashes. SageMaker writes "
            "ARNs in small letters, and so must the roles that name them.",
        ),
        "Environment": _parameter("Tag of everything.", "development"),
        "ImageUri": _parameter("Image of the container; empty: models are made elsewhere.", ""),
        "RepositoryName": _parameter("ECR repository that the serving role may read.", "autopilot"),
        "HistoryTableName": _parameter("Name of the history table.", DEFAULT_TABLE),
        "ApiAccess": _parameter(
            "An API in front of the endpoint (API Gateway): none, or iam for callers that IAM authorises.",
            "none",
            AllowedValues=["none", "iam"],
        ),
        "NotificationEmail": _parameter("Address that is told how deployments end; empty: none.", ""),
        "TopicKmsKeyId": _parameter(
            "Customer key of the topic; empty: none. The key of AWS would keep alarms out.", ""
        ),
        "LogRetentionDays": _parameter("Days to keep logs.", 30, "Number", AllowedValues=list(logs.KEPT_DAYS)),
        "DeadlineMinutes": _parameter(
            "Minutes until a deployment that does not end counts as failed.",
            60,
            "Number",
            MinValue=5,
            MaxValue=1200,
            ConstraintDescription="5 to 1200; an execution that looks for longer has too many events for Step "
            "Functions.",
        ),
        **learning.parameters(),
    }


def _topic() -> dict[str, Json]:
    publish = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]},
        "Action": "sns:Publish",
        "Resource": _TOPIC,
        "Condition": {"StringEquals": {"aws:SourceAccount": NAMES.account}},
    }
    key = {"Fn::If": ["HasKey", {"Ref": "TopicKmsKeyId"}, {"Ref": "AWS::NoValue"}]}
    return {
        "Topic": resource("SNS::Topic", {"KmsMasterKeyId": key, "Tags": _TAG_LIST}),
        "TopicPolicy": resource("SNS::TopicPolicy", {"Topics": [_TOPIC], "PolicyDocument": iam.document([publish])}),
        "Subscription": resource(
            "SNS::Subscription",
            {"TopicArn": _TOPIC, "Protocol": "email", "Endpoint": {"Ref": "NotificationEmail"}},
            Condition="HasEmail",
        ),
    }


def _store() -> dict[str, Json]:
    table = dict(dynamodb.create(NAMES, "${HistoryTableName}", {}).parameters)
    expiry = dynamodb.switch_on_ttl(NAMES, "").parameters["TimeToLiveSpecification"]
    recovery = dynamodb.switch_on_recovery(NAMES, "").parameters["PointInTimeRecoverySpecification"]
    more = {"TimeToLiveSpecification": expiry, "PointInTimeRecoverySpecification": recovery, "Tags": _TAG_LIST}
    return {
        "HistoryTable": resource(
            "DynamoDB::Table", table | more, DeletionPolicy="Retain", UpdateReplacePolicy="Retain"
        ),
        "EndpointLog": _log_group(NAMES.log_group),
        "MachineLog": _log_group("/aws/vendedlogs/states/${AWS::StackName}"),
    }


def _log_group(name: str) -> Json:
    kept = {"LogGroupName": name, "RetentionInDays": {"Ref": "LogRetentionDays"}, "Tags": _TAG_LIST}
    return resource("Logs::LogGroup", kept, DeletionPolicy="Delete", UpdateReplacePolicy="Delete")


def _serving() -> dict[str, Json]:
    """The role and the model of the container. The stack makes the log group, so the role need not."""
    repository = NAMES.arn("ecr", "repository/${RepositoryName}")
    statements = [
        *iam.log_statements(NAMES, [NAMES.log_group], may_create=False),
        *iam.repository_statements(repository),
        iam.table_statement({"Fn::GetAtt": ["HistoryTable", "Arn"]}),
    ]
    container = {
        "Image": {"Ref": "ImageUri"},
        "Environment": container_environment("${HistoryTable}", DEFAULT_METRICS),
    }
    model = {
        "ExecutionRoleArn": {"Fn::GetAtt": ["ServingRole", "Arn"]},
        "PrimaryContainer": container,
        "Tags": _TAG_LIST,
    }
    return {
        "ServingRole": role(NAMES, "sagemaker.amazonaws.com", statements, _TAG_LIST),
        "Model": resource("SageMaker::Model", model, Condition="HasImage"),
    }


def _machine() -> dict[str, Json]:
    substituted = {
        "TopicArn": _TOPIC,
        "Environment": {"Ref": "Environment"},
        "DeadlineMinutes": {"Ref": "DeadlineMinutes"},
    }
    return {
        "MachineRole": role(NAMES, "states.amazonaws.com", _machine_statements(), _TAG_LIST),
        MACHINE: machine("deploy.asl.json", substituted, "MachineRole", _TAGS),
    }


def _machine_statements() -> list[Json]:
    configs = NAMES.arn("sagemaker", "endpoint-config/${EndpointName}-*")
    endpoint = NAMES.sagemaker("endpoint", "@").replace("@", NAMES.endpoint)
    scaling = "sagemaker.application-autoscaling.amazonaws.com"
    linked = f"role/aws-service-role/{scaling}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    return [
        allow(
            "Endpoint", "sagemaker",
            "CreateEndpoint DescribeEndpoint UpdateEndpoint DeleteEndpoint UpdateEndpointWeightsAndCapacities AddTags",
            [endpoint, configs],
        ),
        allow(
            "CreateAndUse", "sagemaker",
            "CreateEndpoint UpdateEndpoint CreateEndpointConfig DeleteEndpointConfig", [configs],
        ),
        allow("ReadConfigs", "sagemaker", "DescribeEndpointConfig", [NAMES.arn("sagemaker", "endpoint-config/*")]),
        allow("UseModels", "sagemaker", "CreateEndpointConfig", [NAMES.arn("sagemaker", "model/*")]),
        allow(
            "Targets", "application-autoscaling",
            "RegisterScalableTarget DeregisterScalableTarget PutScalingPolicy",
            NAMES.arn("application-autoscaling", "scalable-target/*"),
        ),
        allow("ReadTargets", "application-autoscaling", "DescribeScalableTargets DescribeScalingPolicies", "*"),
        allow("ListConfigs", "sagemaker", "ListEndpointConfigs", "*"),
        allow(
            "ScalingAlarms", "cloudwatch", "PutMetricAlarm DescribeAlarms DeleteAlarms",
            NAMES.arn("cloudwatch", "alarm:TargetTracking-endpoint/${EndpointName}/*"),
        ),
        allow("ScalingRole", "iam", "CreateServiceLinkedRole", f"arn:{NAMES.partition}:iam::{NAMES.account}:{linked}")
        | {"Condition": {"StringLike": {"iam:AWSServiceName": scaling}}},
        allow("Tell", "sns", "Publish", _TOPIC),
        log_delivery(),
    ]  # fmt: skip


def _rules() -> dict[str, Json]:
    untold = {"status": ["FAILED"], "error": [{"anything-but": FAILED}, {"exists": False}]}
    broke = "An execution that breaks by itself, not through its last state, has told nobody."
    return {
        "EndedOtherwise": tells_of_an_abort(MACHINE, _TOPIC),
        "EndedUntold": tells_of_the_end(MACHINE, _TOPIC, untold, broke),
    }


def _monitoring() -> dict[str, Json]:
    body = json.dumps(dashboard(NAMES, MetricSources()), separators=(",", ":"))
    told = {"Tags": _TAG_LIST, "AlarmActions": [_TOPIC], "OKActions": [_TOPIC]}
    requests = zip(ALARMS, alarms(NAMES, MetricSources(), None), strict=True)
    names = {alarm: "".join(word.capitalize() for word in alarm.split("-")) + "Alarm" for alarm in ALARMS}
    return {
        "Dashboard": resource(
            "CloudWatch::Dashboard", {"DashboardName": NAMES.dashboard, "DashboardBody": {"Fn::Sub": body}}
        ),
        **{names[alarm]: resource("CloudWatch::Alarm", request | told) for alarm, request in requests},
    }
