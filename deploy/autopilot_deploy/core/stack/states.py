"""The kinds of states that the machine is made of."""

from collections.abc import Mapping, Sequence
from typing import Any

from autopilot_deploy.core.stack.jsonata import query

State = dict[str, Any]
PUT_BACK = "Put auto scaling back"
"""Where every failure goes."""
SAID = "$states.errorOutput.Error & ': ' & $states.errorOutput.Cause"
_QUICKLY = {"IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 2.0, "JitterStrategy": "FULL"}
_RETRIES: Mapping[str, list[State]] = {
    "sagemaker": [
        {
            "ErrorEquals": ["SageMaker.ResourceLimitExceededException"],
            "IntervalSeconds": 60,
            "MaxAttempts": 5,
            "BackoffRate": 1.0,
        },
        {
            "ErrorEquals": [
                "SageMaker.SageMakerException",
                "SageMaker.ThrottlingException",
                "SageMaker.SdkClientException",
                "States.Timeout",
            ],
            **_QUICKLY,
        },
    ],
    "applicationautoscaling": [
        {
            "ErrorEquals": [
                "ApplicationAutoScaling.ApplicationAutoScalingException",
                "ApplicationAutoScaling.ConcurrentUpdateException",
                "ApplicationAutoScaling.InternalServiceException",
                "ApplicationAutoScaling.FailedResourceAccessException",
                "ApplicationAutoScaling.ThrottlingException",
                "ApplicationAutoScaling.SdkClientException",
                "States.Timeout",
            ],
            **_QUICKLY,
            "MaxAttempts": 5,
        }
    ],
    "sagemakerruntime": [{"ErrorEquals": ["States.TaskFailed", "States.Timeout"], **_QUICKLY, "MaxAttempts": 5}],
    "sns": [{"ErrorEquals": ["States.ALL"], **_QUICKLY, "MaxAttempts": 5}],
}
"""What passes by itself. SageMaker tells of throttling under more than one name."""


def call(operation: str, arguments: object, **more: object) -> State:
    """A call of an API: "sagemaker:describeEndpoint". `more`: Assign, Output, Catch, Next and the like."""
    service = operation.partition(":")[0]
    kind = "" if service == "sns" else "aws-sdk:"
    resource = f"arn:aws:states:::{kind}{operation}"
    return _ordered({"Type": "Task", "Resource": resource, "Arguments": arguments, "Retry": _RETRIES[service], **more})


def each(items: str, states: Mapping[str, State], **more: object) -> State:
    """Some states for each item, one item after the other."""
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": next(iter(states)), "States": dict(states)}
    return _ordered({"Type": "Map", "Items": query(items), "MaxConcurrency": 1, "ItemProcessor": processor, **more})


def note(problem: str, **more: object) -> State:
    """A state that notes what went wrong, and goes on to what every failure ends with."""
    return {"Type": "Pass", "Assign": {"problem": query(problem)}, "Output": {}, "Next": PUT_BACK, **more}


def choice(*choices: tuple[str, str] | tuple[str, str, State], default: str, **more: object) -> State:
    """The first condition that holds: (condition, next state), and what to assign on the way."""
    listed = [
        {"Condition": query(one[0]), **({"Assign": one[2]} if len(one) > 2 else {}), "Next": one[1]} for one in choices
    ]
    return {"Type": "Choice", **more, "Choices": listed, "Default": default}


def failing(what: str, **assigned: object) -> list[State]:
    """Catch everything: what could not be done, and what AWS says."""
    problem = query(f"'{what}: ' & {SAID}")
    return [{"ErrorEquals": ["States.ALL"], "Assign": {"problem": problem, **assigned}, "Next": PUT_BACK}]


def leaving(following: str, output: object | None = None, errors: Sequence[str] = ("States.ALL",)) -> list[State]:
    """Catch, and go on as if nothing had been."""
    return [{"ErrorEquals": list(errors), "Output": {} if output is None else output, "Next": following}]


_ORDER = (
    "Type", "Comment", "Resource", "Arguments", "Items", "MaxConcurrency", "ItemProcessor", "Assign", "Output", "Retry",
    "Catch", "Next", "End",
)  # fmt: skip


def _ordered(state: State) -> State:
    return {key: state[key] for key in sorted(state, key=_ORDER.index)}
