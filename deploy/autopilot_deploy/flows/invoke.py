"""`invoke`: one question to the endpoint."""

from dataclasses import dataclass
from typing import Any

from autopilot_deploy.core.services import runtime, sagemaker
from autopilot_deploy.flows.apply import World
from autopilot_deploy.flows.gather import find_endpoint


@dataclass(frozen=True, slots=True)
class Question:
    """A request's body and formats; `variant` None: whichever the weights say."""

    body: bytes
    content_type: str = "application/json"
    accept: str = "application/json"
    variant: str | None = None


def invoke(question: Question, world: World) -> str:
    """The answer; for an asynchronous endpoint, where it will be. Raises AwsError."""
    if _is_async(world):
        answer = world.aws.make(runtime.invoke_async(world.names, question.body, question.content_type))
        return str(answer["OutputLocation"])
    formats = (question.content_type, question.accept)
    answer = world.aws.make(runtime.invoke(world.names, question.body, formats, question.variant))
    body: Any = answer["Body"]
    return str(body.read().decode())


def _is_async(world: World) -> bool:
    endpoint = find_endpoint(world.aws, world.names)
    if endpoint is None or not endpoint.config:
        return False
    return "AsyncInferenceConfig" in world.aws.make(sagemaker.describe_config(world.names, endpoint.config))
