"""`invoke`: one question to the endpoint."""

from dataclasses import dataclass
from typing import Any

from autopilot_deploy.core.services import runtime, sagemaker
from autopilot_deploy.flows.apply import DeployContext
from autopilot_deploy.flows.gather import find_endpoint


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """A request's body and formats; `variant` None: whichever the weights say."""

    body: bytes
    content_type: str = "application/json"
    accept: str = "application/json"
    variant: str | None = None


def invoke(question: InvokeRequest, context: DeployContext) -> str:
    """The answer; for an asynchronous endpoint, where it will be. Raises AwsError."""
    if _is_async(context):
        answer = context.aws.make(runtime.invoke_async(context.names, question.body, question.content_type))
        return str(answer["OutputLocation"])
    formats = (question.content_type, question.accept)
    answer = context.aws.make(runtime.invoke(context.names, question.body, formats, question.variant))
    body: Any = answer["Body"]
    return str(body.read().decode())


def _is_async(context: DeployContext) -> bool:
    endpoint = find_endpoint(context.aws, context.names)
    if endpoint is None or not endpoint.config:
        return False
    return "AsyncInferenceConfig" in context.aws.make(sagemaker.describe_config(context.names, endpoint.config))
