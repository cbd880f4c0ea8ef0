"""`transform`: a batch job over CSV or JSON lines in S3."""

from collections.abc import Mapping
from dataclasses import dataclass

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.errors import DeadlineError, DeployError
from autopilot_deploy.core.names import TAG, Names
from autopilot_deploy.core.plan import ChangePlan
from autopilot_deploy.core.services import iam, sagemaker
from autopilot_deploy.flows.apply import DeployContext, apply, rehearse
from autopilot_deploy.flows.gather import gather_for_destroy

FORMATS: Mapping[str, str] = {"csv": "text/csv", "jsonl": "application/jsonlines"}


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What to transform. `source`: an S3 object or prefix; `model` None: the one that the endpoint serves."""

    source: str
    target: str
    kind: str
    job: str
    model: str | None = None
    instance_type: str = "ml.m5.large"
    instances: int = 1
    dry_run: bool = False


def transform(batch: BatchRequest, context: DeployContext) -> None:
    """Run the job and wait for its end. Raises DeployError."""
    found, _ = gather_for_destroy(context.aws, context.names)
    if batch.model is None and found.live_config is None:
        raise DeployError(f"there is no endpoint {context.names.endpoint} to take the model from: give --model")
    served = (found.live_config or {}).get("ProductionVariants", [{}])[0].get("ModelName")
    model = str(batch.model or served)
    mine = found.role is not None and found.role.ours
    given, taken = _rights(batch, context.names) if mine else ((), ())
    start = ChangePlan(
        (*given, sagemaker.create_transform_job(context.names, job_request(batch, model, context.names)))
    )
    if batch.dry_run:
        for line in (*rehearse(start), "# wait until the job is done", *(one.as_command() for one in taken)):
            context.console.say(line)
        return
    _run(batch, context, start, ChangePlan(taken))
    context.console.say(f"{batch.job} is complete: {batch.target}")


def _rights(batch: BatchRequest, names: Names) -> tuple[tuple[AwsCall, ...], tuple[AwsCall, ...]]:
    """What lets the role read and write for this job, and what takes it back: a role holds only so many rights."""
    policy = f"batch-{batch.job}"
    statements = iam.bucket_statements(names, [batch.source], [batch.target])
    return (iam.put_policy(names, policy, statements),), (iam.delete_policy(names, policy),)


def _run(batch: BatchRequest, context: DeployContext, start: ChangePlan, end: ChangePlan) -> None:
    """Until the job's end, good or bad. A job that outlives our time keeps its rights; `destroy` takes them."""
    try:
        apply(start, context)
        _await_job(batch.job, context)
    except DeadlineError:
        raise
    except DeployError:
        apply(end, context)
        raise
    apply(end, context)


IN_ORDER: Json = {"SAGEMAKER_BATCH": "true", "MODEL_SERVER_WORKERS": "1"}
"""The container's environment in a job. The rows before are the history of those after them, so one worker must see
them all: one request at a time, in the order of the file. How much a request carries, the container says itself."""


def job_request(batch: BatchRequest, model: str, names: Names) -> Json:
    """CreateTransformJob: lines stay lines, one out for each in, in their order."""
    kind = FORMATS[batch.kind]
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": batch.source}}
    return {
        "TransformJobName": batch.job,
        "ModelName": model,
        "MaxConcurrentTransforms": 1,
        "Environment": IN_ORDER,
        "TransformInput": {"DataSource": source, "ContentType": kind, "SplitType": "Line"},
        "TransformOutput": {"S3OutputPath": batch.target, "Accept": kind, "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": batch.instance_type, "InstanceCount": batch.instances},
        "Tags": [{"Key": TAG, "Value": names.endpoint}],
    }


def _await_job(job: str, context: DeployContext) -> None:
    seen: Json = {}

    def done() -> bool:
        nonlocal seen
        seen = context.aws.make(sagemaker.describe_transform_job(context.names, job))
        if seen["TransformJobStatus"] in {"Failed", "Stopped"}:
            reason = seen.get("FailureReason") or "see the log group /aws/sagemaker/TransformJobs"
            raise DeployError(f"{job} {seen['TransformJobStatus'].lower()}: {reason}")
        return bool(seen["TransformJobStatus"] == "Completed")

    context.wait(done, f"the end of {job}", lambda: str(seen["TransformJobStatus"]))
