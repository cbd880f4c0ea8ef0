"""What can go wrong, each with what to do about it and the exit code that tells it."""

import json
import re

from autopilot_deploy.core.call import AwsCall

_MISSING_CODES = frozenset({
    "ResourceNotFoundException", "ResourceNotFound", "NoSuchEntity", "ObjectNotFoundException", "404",
})  # fmt: skip
_PASSING_CODES = frozenset({
    "ConnectTimeoutError", "ConnectionClosedError", "ConnectionError", "EndpointConnectionError", "HTTPClientError",
    "ReadTimeoutError", "ResponseStreamingError", "InternalFailure", "InternalServerError", "RequestLimitExceeded",
    "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequestsException", "500", "502", "503", "504",
})  # fmt: skip
_MISSING_WORDS = ("could not find", "does not exist", "cannot find")
_DENIED = re.compile(r"AccessDenied|UnauthorizedOperation|NotAuthorized|Forbidden", re.IGNORECASE)
_SAID = re.compile(r"not authorized to perform: (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>\S+))?")
_IAM_PREFIX = {"sagemaker-runtime": "sagemaker", "stepfunctions": "states"}
_IAM_ACTION = {("s3", "ListObjectsV2"): "s3:ListBucket", ("sagemaker", "ListTags"): "sagemaker:ListTags"}


class DeployError(Exception):
    """It did not work. `exit_code`: 1 AWS refused or the deployment failed."""

    exit_code = 1


class PayloadError(DeployError):
    """The input is wrong; every fault is listed with its JSON path."""

    exit_code = 2


class DeadlineError(DeployError):
    """The time given is over and AWS is still at work."""

    exit_code = 3


class PutOffError(DeployError):
    """It may be done later; the message says when."""

    exit_code = 3


class AwsError(DeployError):
    """AWS refused a call."""

    def __init__(self, call: AwsCall, code: str, message: str) -> None:
        super().__init__(f"{call.title()}: {code}: {message}")
        self.call, self.code, self.message = call, code, message

    @property
    def missing(self) -> bool:
        """Whether the thing asked for does not exist."""
        words = self.message.lower()
        return self.code in _MISSING_CODES or (
            self.code == "ValidationException" and any(one in words for one in _MISSING_WORDS)
        )

    @property
    def passing(self) -> bool:
        """Whether the same question may be answered a little later: the line or AWS is down, or too much was asked."""
        return self.code in _PASSING_CODES

    def says(self, words: tuple[str, ...]) -> bool:
        """Whether its code is, or its message has, one of these words."""
        return any(one == self.code or one in self.message for one in words)


class NotAllowedError(AwsError):
    """A permission is missing. The message holds the policy statement that grants it."""

    exit_code = 4

    def __init__(self, call: AwsCall, code: str, message: str) -> None:
        super().__init__(call, code, message)
        self.statement = granting(call, message)

    def __str__(self) -> str:
        action = self.statement["Action"]
        return (
            f"{self.call.title()}: your credentials may not do {action}. Add this statement to their policy:\n"
            f"{json.dumps(self.statement, indent=2)}\nAWS said: {self.message}"
        )


def aws_error(call: AwsCall, code: str, message: str) -> AwsError:
    """The right error for what AWS answered."""
    kind = NotAllowedError if _DENIED.search(code) else AwsError
    return kind(call, code, message)


def granting(call: AwsCall, message: str = "") -> dict[str, str]:
    """The policy statement that allows a call; what AWS named as missing comes first (as iam:PassRole)."""
    said = _SAID.search(message)
    action = said["action"] if said else iam_action(call)
    resource = (said["resource"] or "").rstrip(".,") if said else ""
    return {"Effect": "Allow", "Action": action, "Resource": resource or call.resource}


def iam_action(call: AwsCall) -> str:
    """The IAM action of a call."""
    prefix = _IAM_PREFIX.get(call.service, call.service)
    return _IAM_ACTION.get((call.service, call.operation), f"{prefix}:{call.operation}")
