"""A call to AWS as a value: it can be compared, printed, checked against the service's model, and made."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

_CLI_NAMES = {"sagemaker-runtime": "sagemaker-runtime", "stepfunctions": "stepfunctions"}


@dataclass(frozen=True, slots=True)
class AwsCall:
    """One call.

    service     boto3's name of the service
    operation   the API's name of the operation, as in CreateModel
    parameters  what is sent
    resource    ARN of what it acts on, for a message about permissions
    done_if     error codes or words of the message that mean: it is already as wanted
    retry_if    words of a message that pass by themselves within a minute (a role that IAM has not spread yet)
    """

    service: str
    operation: str
    parameters: Json
    resource: str = "*"
    done_if: tuple[str, ...] = field(default=(), kw_only=True)
    retry_if: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return not self.operation.startswith(("Describe", "List", "Get"))

    def title(self) -> str:
        """In a few words, for a line of progress."""
        names = (self.parameters.get(key) for key in _NAME_KEYS if key in self.parameters)
        return f"{self.service}:{self.operation} {next((str(n) for n in names), '')}".rstrip()

    def as_command(self) -> str:
        """The same call for the AWS command line."""
        service = _CLI_NAMES.get(self.service, self.service)
        text = json.dumps(self.parameters, separators=(",", ":"), default=str)
        return f"aws {service} {kebab(self.operation)} --cli-input-json {shlex.quote(text)}"


_NAME_KEYS = (
    "ResourceId", "TransformJobName", "EndpointName", "EndpointConfigName", "ModelName", "RoleName", "TableName",
    "logGroupName", "DashboardName", "AlarmName", "AlarmNames", "DashboardNames", "ResourceArn", "resourceArn",
)  # fmt: skip


def kebab(name: str) -> str:
    """CreateEndpointConfig -> create-endpoint-config, as the AWS command line spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
