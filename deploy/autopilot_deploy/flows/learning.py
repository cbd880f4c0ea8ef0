"""`promote`, `rollback` and `candidate`: which model serves, asked of the state machine of the stack that learns."""

import json
from collections.abc import Mapping

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.errors import AwsError, DeadlineError, DeployError, PutOffError
from autopilot_deploy.core.services import machines
from autopilot_deploy.flows.apply import DeployContext

_MISSING = "StateMachineDoesNotExist"
_PUT_OFF = "A promotion is put off"


def ask(what: str, context: DeployContext, **more: str) -> str:
    """Have the machine promote, go back, or put a model beside, and wait for its end; what came of it, in words.

    more  what else it is told: the `model` to promote, the `artifacts` to put beside what serves

    Raises PutOffError where an outage puts it off, DeadlineError, and DeployError.
    """
    arn = _start({"ask": what, **more}, context)
    context.console.say(f"started {arn}")
    ended = _end(arn, context)
    if ended["status"] != "SUCCEEDED":
        raise DeployError(f"{what}: {ended.get('cause') or ended['status']}")
    said = json.loads(ended["output"])
    if said["said"] == _PUT_OFF:
        raise PutOffError(f"not now: {said['trial']}")
    return f"{said['said']}: {said['answers']} answers now, {said['before']} did before. {said['next']}"


def _start(asked: Mapping[str, str], context: DeployContext) -> str:
    try:
        return str(context.aws.make(machines.start_learning(context.names, asked))["executionArn"])
    except AwsError as error:
        if error.code != _MISSING:
            raise
        raise DeployError(
            f"there is no state machine {context.names.learning_machine}: deploy the stack with LearningImageUri, or "
            "serve another model with `deploy PAYLOAD --model-data s3://…`"
        ) from error


def _end(arn: str, context: DeployContext) -> Json:
    seen: Json = {}

    def ended() -> bool:
        nonlocal seen
        seen = context.aws.make(machines.describe_execution(arn))
        return bool(seen["status"] != "RUNNING")

    try:
        context.wait(ended, "the end of the execution", lambda: str(seen["status"]))
    except DeadlineError as error:
        raise DeadlineError(
            f"{arn} has not ended in time. It goes on by itself, and its end is told to the topic; asked again, a "
            f"second one would begin. To look: aws stepfunctions describe-execution --execution-arn {arn}"
        ) from error
    return seen
