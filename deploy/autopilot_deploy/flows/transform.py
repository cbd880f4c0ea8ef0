"""`transform`: a batch job over CSV or JSON lines in S3."""

from collections.abc import Mapping
from dataclasses import dataclass

from autopilot_deploy.calls import iam, sagemaker
from autopilot_deploy.core.call import Call, Json
from autopilot_deploy.core.errors import DeployError
from autopilot_deploy.core.names import TAG, Names, fingerprint
from autopilot_deploy.core.plan import Plan
from autopilot_deploy.flows.apply import World, apply, rehearse
from autopilot_deploy.flows.gather import gather_for_destroy

FORMATS: Mapping[str, str] = {"csv": "text/csv", "jsonl": "application/jsonlines"}


@dataclass(frozen=True, slots=True)
class Batch:
    """What to transform. `source`: an S3 object or prefix; `model` None: the one that the endpoint serves."""

    source: str
    target: str
    kind: str
    job: str
    model: str | None = None
    instance_type: str = "ml.m5.large"
    instances: int = 1
    dry_run: bool = False


def transform(batch: Batch, world: World) -> None:
    """Run the job and wait for its end. Raises DeployError."""
    found, _ = gather_for_destroy(world.aws, world.names)
    model = batch.model or _served_model(found.live_config, world.names)
    steps: list[Call] = []
    if found.role is not None and found.role.ours:
        statements = iam.bucket_statements(world.names, [batch.source], [batch.target])
        steps.append(iam.put_policy(world.names, f"batch-{fingerprint({'statements': statements})}", statements))
    steps.append(sagemaker.create_transform_job(world.names, job_request(batch, model, world.names)))
    plan = Plan(tuple(steps))
    if batch.dry_run:
        for line in (*rehearse(plan), "# wait until the job is done"):
            world.console.say(line)
        return
    apply(plan, world)
    _await_job(batch.job, world)
    world.console.say(f"{batch.job} is complete: {batch.target}")


def job_request(batch: Batch, model: str, names: Names) -> Json:
    """CreateTransformJob: lines stay lines, one out for each in, in their order."""
    kind = FORMATS[batch.kind]
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": batch.source}}
    return {
        "TransformJobName": batch.job,
        "ModelName": model,
        "BatchStrategy": "MultiRecord",
        "TransformInput": {"DataSource": source, "ContentType": kind, "SplitType": "Line"},
        "TransformOutput": {"S3OutputPath": batch.target, "Accept": kind, "AssembleWith": "Line"},
        "TransformResources": {"InstanceType": batch.instance_type, "InstanceCount": batch.instances},
        "Tags": [{"Key": TAG, "Value": names.endpoint}],
    }


def _served_model(config: Json | None, names: Names) -> str:
    if config is None:
        raise DeployError(f"there is no endpoint {names.endpoint} to take the model from: give --model")
    return str(config["ProductionVariants"][0]["ModelName"])


def _await_job(job: str, world: World) -> None:
    seen: Json = {}

    def done() -> bool:
        nonlocal seen
        seen = world.aws.make(sagemaker.describe_transform_job(world.names, job))
        if seen["TransformJobStatus"] in {"Failed", "Stopped"}:
            reason = seen.get("FailureReason") or "see the log group /aws/sagemaker/TransformJobs"
            raise DeployError(f"{job} {seen['TransformJobStatus'].lower()}: {reason}")
        return bool(seen["TransformJobStatus"] == "Completed")

    world.wait(done, f"the end of {job}", lambda: str(seen["TransformJobStatus"]))
