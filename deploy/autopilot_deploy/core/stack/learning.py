"""Retraining by the clock: a schedule, and what its state machine needs: a bucket, roles, rights and parameters."""

from collections.abc import Sequence

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.monitoring import alarm_names
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.services import iam
from autopilot_deploy.core.stack.learning_machine import EXPORTS, MODELS
from autopilot_deploy.core.stack.parts import allow, log_delivery, machine, role, tells_of_an_abort

CONDITION = "HasLearning"
MACHINE = "LearningStateMachine"
MAKES_BUCKET = "MakesLearningBucket"
_BUCKET = {"Fn::If": [MAKES_BUCKET, {"Ref": "LearningBucket"}, {"Ref": "LearningBucketName"}]}
_STACK = {"Fn::Select": [0, {"Fn::Split": ["-", {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}]}]}
"""Eight digits of the stack's id, by which its jobs are told from those of other stacks."""
_UNSEEN_CONDITION = {"Metadata": {"cfn-lint": {"config": {"ignore_checks": ["W1031"]}}}}
"""The linter reads the bucket's ARN with the parameter's default, the empty name, which the condition rules out."""


def resources(names: Names, tags: Sequence[Json], topic: Json) -> dict[str, Json]:
    """Bucket, rights, machine, schedule, and the rule that tells of an execution that could not tell by itself."""
    made = {
        "LearningBucket": _bucket(tags),
        "LearningServingPolicy": _serving_policy(names),
        "LearningRole": {
            **role(names, "sagemaker.amazonaws.com", _job_statements(names), tags),
            **_UNSEEN_CONDITION,
        },
        "LearningMachineRole": role(names, "states.amazonaws.com", _machine_statements(names, topic), tags),
        MACHINE: _machine(names, tags, topic),
        "LearningScheduleRole": role(
            names, "events.amazonaws.com",
            [allow("Start", "states", "StartExecution", {"Ref": MACHINE})], tags,
        ),
        "LearningSchedule": {"Type": "AWS::Events::Rule", "Properties": {
            "Description": "Retraining by the clock.", "ScheduleExpression": {"Ref": "LearningScheduleExpression"},
            "Targets": [{"Id": "machine", "Arn": {"Ref": MACHINE},
                         "RoleArn": {"Fn::GetAtt": ["LearningScheduleRole", "Arn"]}}]}},
        "LearningEndedUntold": tells_of_an_abort(MACHINE, topic),
    }  # fmt: skip
    return {name: {"Type": one["Type"], "Condition": CONDITION, **one} for name, one in made.items()}


def conditions() -> dict[str, Json]:
    """When the stack learns, and when it makes the bucket for that."""
    return {
        CONDITION: {"Fn::And": [{"Condition": "HasImage"}, {"Fn::Not": [_empty("LearningImageUri")]}]},
        MAKES_BUCKET: {"Fn::And": [{"Condition": CONDITION}, _empty("LearningBucketName")]},
    }


def _empty(parameter: str) -> Json:
    return {"Fn::Equals": [{"Ref": parameter}, ""]}


def _bucket(tags: Sequence[Json]) -> Json:
    """Named by CloudFormation: it stays when the stack goes, and must not stand in the way of the next one."""
    closed = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    expire = {"Id": "exports", "Status": "Enabled", "Prefix": f"{EXPORTS}/", "ExpirationInDays": 365}
    return {
        "Type": "AWS::S3::Bucket",
        "Condition": MAKES_BUCKET,
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "PublicAccessBlockConfiguration": closed,
            "LifecycleConfiguration": {"Rules": [expire]},
            "Tags": tags,
        },
    }


def _serving_policy(names: Names) -> Json:
    """The role that the machine's models name may read them, and see the alarm that rolls their deployment back."""
    read = allow("Learned", "s3", "GetObject", _in_bucket(names, f"/{MODELS}/*"))
    find = allow("FindLearned", "s3", "ListBucket", _in_bucket(names, ""))
    below = {"Condition": {"StringLike": {"s3:prefix": f"{MODELS}/*"}}}
    document = iam.document([read, find | below, iam.alarm_statement(names, [_rollback_alarm(names)])])
    properties = {"PolicyName": "learned", "RoleName": {"Ref": "ServingRole"}, "PolicyDocument": document}
    return {"Type": "AWS::IAM::RolePolicy", "Properties": properties, **_UNSEEN_CONDITION}


def _in_bucket(names: Names, path: str) -> Json:
    return {"Fn::Sub": [f"arn:{names.partition}:s3:::${{Bucket}}{path}", {"Bucket": _BUCKET}]}


def _job_statements(names: Names) -> list[Json]:
    groups = ["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"]
    return [
        *iam.log_statements(names, groups),
        *iam.repository_statements(names.arn("ecr", "repository/${RepositoryName}")),
        allow("ReadHistory", "dynamodb", "BatchGetItem Scan", {"Fn::GetAtt": ["HistoryTable", "Arn"]}),
        allow("Objects", "s3", "GetObject PutObject", _in_bucket(names, "/*")),
        allow("Bucket", "s3", "ListBucket", _in_bucket(names, "")),
    ]


def _rollback_alarm(names: Names) -> str:
    (alarm,) = [one for one in alarm_names(names) if one.endswith("-errors")]
    return alarm


def _machine_statements(names: Names, topic: Json) -> list[Json]:
    jobs = [_of_this_stack(names, f"{kind}-job/autopilot-${{Stack}}-*") for kind in ("processing", "training")]
    roles = [{"Fn::GetAtt": [role, "Arn"]} for role in ("LearningRole", "ServingRole")]
    configs, models = (names.arn("sagemaker", f"{kind}/${{EndpointName}}-*") for kind in ("endpoint-config", "model"))
    endpoint = names.sagemaker("endpoint", "@").replace("@", names.endpoint)
    every = [names.arn("sagemaker", f"{kind}/*") for kind in ("endpoint-config", "model")]
    operations = "CreateProcessingJob DescribeProcessingJob CreateTrainingJob DescribeTrainingJob"
    return [
        allow("Jobs", "sagemaker", operations, jobs),
        allow("ListTrainings", "sagemaker", "ListTrainingJobs", "*"),
        allow("Endpoint", "sagemaker", "DescribeEndpoint UpdateEndpoint InvokeEndpoint", endpoint),
        allow("Configs", "sagemaker", "CreateEndpointConfig UpdateEndpoint AddTags", configs),
        allow("UseModels", "sagemaker", "CreateEndpointConfig", every[1]),
        allow("Look", "sagemaker", "DescribeEndpointConfig DescribeModel", every),
        allow("Model", "sagemaker", "CreateModel AddTags", models),
        {
            **allow("HandRoles", "iam", "PassRole", roles),
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
        allow("Tell", "sns", "Publish", topic),
        log_delivery(),
    ]


def _of_this_stack(names: Names, rest: str) -> Json:
    return {"Fn::Sub": [names.arn("sagemaker", rest), {"Stack": _STACK}]}


def _machine(names: Names, tags: Sequence[Json], topic: Json) -> Json:
    substituted = {
        "TopicArn": topic,
        "LearningImageUri": {"Ref": "LearningImageUri"},
        "LearningRoleArn": {"Fn::GetAtt": ["LearningRole", "Arn"]},
        "Bucket": _BUCKET,
        "HistoryTable": {"Ref": "HistoryTable"},
        "EndpointName": {"Ref": "EndpointName"},
        "Environment": {"Ref": "Environment"},
        "AutoPromote": {"Ref": "AutoPromote"},
        "ProofDays": {"Ref": "LearningProofDays"},
        "TrainEveryDays": {"Ref": "LearningEveryDays"},
        "RollbackAlarm": _rollback_alarm(names),
        "StackNumber": _STACK,
    }
    made = machine("learn.asl.json", substituted, "LearningMachineRole", {one["Key"]: one["Value"] for one in tags})
    return {**made, "Properties": {"Name": names.learning_machine, **made["Properties"]}}


def parameters() -> dict[str, Json]:
    """What the stack is asked for."""
    return {
        "LearningImageUri": {
            "Type": "String",
            "Description": "Image with TensorFlow (build.sh without --target serve) that learns by the clock; empty: "
            "nothing does.",
            "Default": "",
        },
        "LearningScheduleExpression": {
            "Type": "String",
            "Description": "When candidates are judged, and a training begins where it is time: EventBridge's cron or "
            "rate, in UTC. Once a day.",
            "Default": "cron(40 3 * * ? *)",
            "AllowedPattern": r"(cron|rate)\(.+\)",
        },
        "LearningEveryDays": {
            "Type": "Number",
            "Description": "Days from one training to the next.",
            "Default": 7,
            "MinValue": 1,
            "MaxValue": 365,
        },
        "LearningProofDays": {
            "Type": "Number",
            "Description": "Whole days that a candidate did not learn from and must cost less on, all fleets together, "
            "with a 95 % interval that excludes chance.",
            "Default": 7,
            "MinValue": 3,
            "MaxValue": 14,
        },
        "AutoPromote": {
            "Type": "String",
            "Description": "Whether a candidate that has proven itself serves without being asked for, and goes back "
            "where it then costs more; no fleet may come to cost more than 105 % of what it does.",
            "Default": "false",
            "AllowedValues": ["false", "true"],
        },
        "LearningBucketName": {
            "Type": "String",
            "Description": "Bucket of an earlier stack, or another, to keep exports and models in; empty: one is made.",
            "Default": "",
            "AllowedPattern": r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?",
            "ConstraintDescription": "The name of a bucket in this region, or nothing.",
        },
    }
