"""Retraining by the clock: a schedule, and a state machine of two jobs that ends with a model or with a reason.

What proves itself is promoted by the machine that deploys, or by the command line: here nothing in service is touched.
"""

from collections.abc import Sequence

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.payload import DEFAULT_METRICS
from autopilot_deploy.core.requests import SHADOW_METRICS, container_environment
from autopilot_deploy.core.services import iam
from autopilot_deploy.core.stack.jsonata import query
from autopilot_deploy.core.stack.parts import allow, log_delivery, machine, role, tells_of_an_abort
from autopilot_deploy.core.stack.states import SAID, State, call, choice

CONDITION = "HasLearning"
MACHINE, FAILED = "LearningStateMachine", "LearningFailed"
MAKES_BUCKET = "MakesLearningBucket"
_BUCKET = {"Fn::If": [MAKES_BUCKET, {"Ref": "LearningBucket"}, {"Ref": "LearningBucketName"}]}
_EXPORTS, _MODELS = "exports", "models"
"""Prefixes in the bucket: what passes, and what may be serving for years."""
_FAILURE = "Tell of the failure"
_ATTEMPTS, _POLL_SECONDS, _LONGEST_JOB = 3, 60, 6 * 3600
_GAINED = "verdict:gained"
_TABLE = "dynamodb://${HistoryTable}"
_OUTPUT = "/opt/ml/processing/output"
_MESSAGE = "/opt/ml/output/message"
"""What a processing job writes here is the ExitMessage of its description."""
_EXPORT = query(f"'s3://${{Bucket}}/{_EXPORTS}/' & $run & '/training'")
_UNSEEN_CONDITION = {"Metadata": {"cfn-lint": {"config": {"ignore_checks": ["W1031"]}}}}
"""The linter reads the bucket's ARN with the parameter's default, the empty name, which the condition rules out."""


def learning_machine() -> State:
    """The definition, in Amazon States Language."""
    return {
        "Comment": "Exports the fleets' history, trains on it, and makes a model of what its own verdict is for. Each "
        "job is tried again, and every end is told to the topic. What serves is not touched.",
        "QueryLanguage": "JSONata",
        "TimeoutSeconds": 2 * _ATTEMPTS * _LONGEST_JOB,
        "StartAt": "Name the run",
        "States": _begin()
        | _job("export", "ProcessingJob", _export(), "Is there anything?")
        | _job("train", "TrainingJob", _train(), "Is it better?")
        | _end(),
    }


def _begin() -> dict[str, State]:
    digits = "$substring($replace($states.context.Execution.StartTime, /[^0-9]/, ''), 0, 14)"
    assigned = {"run": query(f"'autopilot-learn-' & {digits}"), "try": 1, "problem": ""}
    model = {"model": query(f"'${{EndpointName}}-' & $substring({digits}, 0, 12)")}
    return {"Name the run": {"Type": "Pass", "Assign": assigned | model, "Output": {}, "Next": "Export"}}


def _name(job: str) -> str:
    return query(f"$run & '-{job}-' & $string($try)")


def _export() -> Json:
    output = {
        "S3Uri": _EXPORT,
        "LocalPath": _OUTPUT,
        "S3UploadMode": "EndOfJob",
    }
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
    return {
        "ProcessingJobName": _name("export"),
        "RoleArn": "${LearningRoleArn}",
        "AppSpecification": {
            "ImageUri": "${LearningImageUri}",
            "ContainerArguments": ["history", "export", "--since", "14d", "--out", _OUTPUT, "--nothing-yet", _MESSAGE],
        },
        "Environment": {"AUTOPILOT_HISTORY": _TABLE},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "training", "S3Output": output}]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": _LONGEST_JOB},
    }


def _train() -> Json:
    source = {"S3DataType": "S3Prefix", "S3Uri": _EXPORT}
    return {
        "TrainingJobName": _name("train"),
        "RoleArn": "${LearningRoleArn}",
        "AlgorithmSpecification": {
            "TrainingImage": "${LearningImageUri}",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": _GAINED, "Regex": "verdict .*gained=([0-9.]+);"}],
        },
        "HyperParameters": {"name": "learned"},
        "InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": query(f"'s3://${{Bucket}}/{_MODELS}/' & $run")},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": _LONGEST_JOB},
    }


def _job(verb: str, kind: str, arguments: Json, following: str) -> dict[str, State]:
    """Start a job, look until it has ended, and start it anew where it failed, three times in all."""
    begin, wait, look = verb.capitalize(), f"Wait for the {verb}", f"Look at the {verb}"
    ended, again = f"Has the {verb} ended?", f"Begin the {verb} anew"
    reason = "$states.result.FailureReason"
    seen = {"status": query(f"$states.result.{kind}Status"), "reason": query(f"$exists({reason}) ? {reason} : ''")}
    return {
        begin: call(
            f"sagemaker:create{kind}", arguments, Output={}, Catch=_failing(f"the {verb} could not begin"), Next=wait
        ),
        wait: {"Type": "Wait", "Seconds": _POLL_SECONDS, "Next": look},
        look: call(
            f"sagemaker:describe{kind}",
            {f"{kind}Name": _name(verb)},
            Assign=seen | _found(kind),
            Output={},
            Catch=_failing(f"the {verb} could not be looked at"),
            Next=ended,
        ),
        ended: choice(
            ("$status = 'Completed'", following, {"try": 1}),
            ("$status in ['InProgress', 'Stopping']", wait),
            (f"$try < {_ATTEMPTS}", again),
            default=_FAILURE,
            Assign={"problem": query(f"'the {verb} is ' & $status & ' for the third time: ' & $reason")},
        ),
        again: {"Type": "Pass", "Assign": {"try": query("$try + 1")}, "Output": {}, "Next": begin},
    }


def _found(kind: str) -> State:
    """What a job that has ended says of its result."""
    if kind == "ProcessingJob":
        return {"nothing": query("$exists($states.result.ExitMessage) ? $trim($states.result.ExitMessage) : ''")}
    gained = f"$sum([$states.result.FinalMetricDataList[MetricName = '{_GAINED}'].Value]) > 0.5"
    artifacts = "$exists($states.result.ModelArtifacts) ? $states.result.ModelArtifacts.S3ModelArtifacts : ''"
    return {"gained": query(gained), "artifacts": query(artifacts)}


def _end() -> dict[str, State]:
    learned = (
        "{'model': $model, 'shadow': $model & '-s', 'artifacts': $artifacts, 'run': $run, "
        "'next': 'deploy with the second as a shadow variant; with the first, once it has proven itself'}"
    )
    kept = "{'run': $run, 'artifacts': $artifacts, 'next': 'nothing: what serves is as good'}"
    none = "{'run': $run, 'reason': $nothing, 'next': 'nothing: the schedule asks again'}"
    return {
        "Is there anything?": choice(("$nothing = ''", "Train"), default="Tell that there is nothing yet"),
        "Tell that there is nothing yet": _told("'Nothing to learn from yet'", none, "Learned"),
        "Is it better?": choice(("$gained", "Make the model"), default="Tell that nothing is better"),
        "Make the model": _model("$model", DEFAULT_METRICS, {}, "Make its shadow"),
        "Make its shadow": _model(
            "$model & '-s'",
            DEFAULT_METRICS + SHADOW_METRICS,
            {"AUTOPILOT_HISTORY_MODE": "read-only"},
            "Tell of the candidate",
        ),
        "Tell of the candidate": _told("'Learned ' & $model", learned, "Learned"),
        "Tell that nothing is better": _told("'Learned nothing better'", kept, "Learned"),
        "Learned": {"Type": "Succeed"},
        _FAILURE: _told("'FAILED to learn'", "{'run': $run, 'problem': $problem}", "Not learned"),
        "Not learned": {"Type": "Fail", "Error": FAILED, "Cause": query("$problem")},
    }


def _model(name: str, metrics: str, more: Json, following: str) -> State:
    """Make a model of what was trained."""
    container = {
        "Image": "${ImageUri}",
        "ModelDataUrl": query("$artifacts"),
        "Environment": {**container_environment("${HistoryTable}", metrics), **more},
    }
    wanted = {"ModelName": query(name), "ExecutionRoleArn": "${ServingRoleArn}", "PrimaryContainer": container}
    return call(
        "sagemaker:createModel", wanted, Output={}, Catch=_failing("the model could not be made"), Next=following
    )


def _told(subject: str, message: str, following: str) -> State:
    arguments = {"TopicArn": "${TopicArn}", "Subject": query(subject), "Message": query(f"$string({message})")}
    caught = [{"ErrorEquals": ["States.ALL"], "Output": {}, "Next": following}]
    return call("sns:publish", arguments, Output={}, Catch=caught, Next=following)


def _failing(what: str) -> list[State]:
    return [{"ErrorEquals": ["States.ALL"], "Assign": {"problem": query(f"'{what}: ' & {SAID}")}, "Next": _FAILURE}]


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
        MACHINE: _machine(tags, topic),
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
    expire = {"Id": "exports", "Status": "Enabled", "Prefix": f"{_EXPORTS}/", "ExpirationInDays": 365}
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
    """The role that the machine's models name may read them."""
    read = allow("Learned", "s3", "GetObject", _in_bucket(names, f"/{_MODELS}/*"))
    properties = {"PolicyName": "learned", "RoleName": {"Ref": "ServingRole"}, "PolicyDocument": iam.document([read])}
    return {"Type": "AWS::IAM::RolePolicy", "Properties": properties}


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


def _machine_statements(names: Names, topic: Json) -> list[Json]:
    jobs = [names.arn("sagemaker", f"{kind}-job/autopilot-learn-*") for kind in ("processing", "training")]
    roles = [{"Fn::GetAtt": [role, "Arn"]} for role in ("LearningRole", "ServingRole")]
    operations = "CreateProcessingJob DescribeProcessingJob CreateTrainingJob DescribeTrainingJob"
    return [
        allow("Jobs", "sagemaker", operations, jobs),
        allow("Model", "sagemaker", "CreateModel", names.arn("sagemaker", "model/${EndpointName}-*")),
        {
            **allow("HandRoles", "iam", "PassRole", roles),
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
        allow("Tell", "sns", "Publish", topic),
        log_delivery(),
    ]


def _machine(tags: Sequence[Json], topic: Json) -> Json:
    substituted = {
        "TopicArn": topic,
        "ImageUri": {"Ref": "ImageUri"},
        "LearningImageUri": {"Ref": "LearningImageUri"},
        "LearningRoleArn": {"Fn::GetAtt": ["LearningRole", "Arn"]},
        "ServingRoleArn": {"Fn::GetAtt": ["ServingRole", "Arn"]},
        "Bucket": _BUCKET,
        "HistoryTable": {"Ref": "HistoryTable"},
        "EndpointName": {"Ref": "EndpointName"},
    }
    return machine("learn.asl.json", substituted, "LearningMachineRole", {one["Key"]: one["Value"] for one in tags})


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
            "Description": "When: EventBridge's cron or rate, in UTC.",
            "Default": "cron(40 3 ? * MON *)",
            "AllowedPattern": r"(cron|rate)\(.+\)",
        },
        "LearningBucketName": {
            "Type": "String",
            "Description": "Bucket of an earlier stack, or another, to keep exports and models in; empty: one is made.",
            "Default": "",
            "AllowedPattern": r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?",
            "ConstraintDescription": "The name of a bucket in this region, or nothing.",
        },
    }
