"""The state machine on moto's interpreter, over the same scripted account as the command line.

moto's interpreter lacks an evaluator for JSONata, forgets to escape strings in variables, and names two services
otherwise than AWS: all is fixed here, for the time of a test. Every call goes to the Account.
"""

import itertools
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError
from jsonata.jsonata import Jsonata
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
    state_task_service_aws_sdk,
)
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.utils import TMP_THREADS

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.errors import AwsError
from testkit.aws.account import REGION, Account
from testkit.server import until

DEFINITION = Path(__file__).parents[2] / "deploy" / "stack" / "deploy.asl.json"
LEARNING = DEFINITION.with_name("learn.asl.json")
TOPIC = f"arn:aws:sns:{REGION}:123456789012:deployments"
ROLE = "arn:aws:iam::123456789012:role/machine"
_SERVICES = {"applicationautoscaling": "application-autoscaling", "sagemakerruntime": "sagemaker-runtime"}
_ERRORS = {
    "sagemaker": "SageMaker",
    "applicationautoscaling": "ApplicationAutoScaling",
    "sagemakerruntime": "SageMakerRuntime",
}
_count = itertools.count()
PATIENCE = 120
"""Seconds until a machine that has not ended hangs: on a loaded computer one may take many."""


class Ended(NamedTuple):
    """How an execution ended. `told`: what was published, as (subject, message)."""

    status: str
    cause: str
    output: dict[str, Any]
    told: list[tuple[str, dict[str, Any]]]


SUBSTITUTED = {
    "TopicArn": TOPIC, "Environment": "test", "DeadlineMinutes": "30", "LearningImageUri": "registry/autopilot:1",
    "LearningRoleArn": "arn:aws:iam::123456789012:role/learning", "Bucket": "learned", "HistoryTable": "history",
    "EndpointName": "autopilot", "AutoPromote": "false", "ProofDays": "7", "TrainEveryDays": "7",
    "RollbackAlarm": "autopilot-autopilot-errors", "StackNumber": "0a1b2c3d",
}  # fmt: skip
"""What the template puts into the definitions."""


def definition(path: Path = DEFINITION, **substituted: str) -> str:
    """A machine as it is deployed, with its waits and retries cut to nothing."""
    given = {f"${{{name}}}": value for name, value in (SUBSTITUTED | substituted).items()}
    text = path.read_text()
    for name, value in given.items():
        text = text.replace(name, value)
    machine = json.loads(text)
    for state in states_of(machine):
        state.pop("Retry", None)
        if state["Type"] == "Wait":
            state["Seconds"] = 0
    return json.dumps(machine)


def states_of(machine: dict[str, Any]) -> list[dict[str, Any]]:
    """All states, those within maps too."""
    here = list(machine["States"].values())
    return here + [inner for state in here if "ItemProcessor" in state for inner in states_of(state["ItemProcessor"])]


def run(account: Account, payload: object, path: Path = DEFINITION, **substituted: str) -> Ended:
    """Run a machine to its end. `substituted`: what the template puts in otherwise."""
    told: list[tuple[str, dict[str, Any]]] = []
    account._publish = lambda call: told.append((call.parameters["Subject"], json.loads(call.parameters["Message"])))
    client = boto3.client("stepfunctions", region_name=REGION)
    name = f"m{next(_count)}"
    machine = client.create_state_machine(name=name, definition=definition(path, **substituted), roleArn=ROLE)
    asked = {"stateMachineArn": machine["stateMachineArn"], "name": name, "input": json.dumps(payload)}
    started = start(account, client, asked)
    seen = ended(client, started["executionArn"])
    return Ended(seen["status"], seen.get("cause", ""), json.loads(seen.get("output", "{}")), told)


def start(account: Account, client: Any, asked: Mapping[str, Any]) -> Any:
    """Start an execution, each on an account in a second of its own: by that its jobs and configurations are named."""
    until(lambda: _second() > account.began, "the next second")
    started = client.start_execution(**asked)
    account.began = _second()
    return started


def ended(client: Any, arn: str) -> Any:
    """What is said of an execution at its end."""
    deadline = time.monotonic() + PATIENCE
    for thread in list(TMP_THREADS):  # those of all executions: one look at one costs as much as a state
        thread.join(max(0.0, deadline - time.monotonic()))
    seen = client.describe_execution(executionArn=arn)
    assert seen["status"] != "RUNNING", "the machine does not end"
    return seen


def _second() -> int:
    """Of the machine's own clock, which no test sets."""
    return int(datetime.now(UTC).timestamp())


def fix_moto(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    """Fix moto's interpreter, and send its calls to the account."""
    overrides = state_task_service.StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES
    for name, boto in _SERVICES.items():
        monkeypatch.setitem(overrides, name, boto)
    for name, shown in _ERRORS.items():
        monkeypatch.setitem(state_task_service_aws_sdk._SERVICE_ERROR_NAMES, name, shown)
    monkeypatch.setattr(AmazonStateLanguageParser, "parse", staticmethod(_parse))
    instead = {
        "eval_jsonata_expression": lambda expression: _plain(Jsonata(expression).evaluate(None)),
        "encode_jsonata_variable_declarations": _declare,
        "boto_client_for": lambda service, **_: _Client(account, service),
    }
    interpreter = [one for name, one in sys.modules.items() if name.startswith("moto.stepfunctions.parser")]
    for module, (name, function) in itertools.product(interpreter, instead.items()):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, function)


_parse = cache(AmazonStateLanguageParser.parse)  # half a second, twice for each execution


def _plain(value: Any) -> Any:
    """JSON's own types, as the original evaluator's answers."""
    return None if value is None else json.loads(json.dumps(value))


def _declare(bindings: dict[str, Any]) -> str:
    return "".join(f"{name}:={json.dumps(value, default=str)};" for name, value in bindings.items())


def _with_blobs(parameters: dict[str, Any]) -> dict[str, Any]:
    """A machine writes the bytes of a request's body as text."""
    body = parameters.get("Body")
    return parameters | {"Body": body.encode()} if isinstance(body, str) else parameters


class _Client:
    """A boto3 client whose calls go to the account."""

    def __init__(self, account: Account, service: str) -> None:
        self._account, self._service = account, service

    def __getattr__(self, name: str) -> Any:
        operation = "".join(part.capitalize() for part in name.split("_"))
        return lambda **parameters: self._make(AwsCall(self._service, operation, _with_blobs(parameters)))

    def _make(self, call: AwsCall) -> dict[str, Any]:
        try:
            answer = dict(self._account.make(call) or {})
        except AwsError as error:
            said: Any = {"Code": error.code, "Message": error.message}
            metadata: Any = {"HTTPStatusCode": 400, "RequestId": "1"}
            raise ClientError({"Error": said, "ResponseMetadata": metadata}, call.operation) from error
        plain: dict[str, Any] = json.loads(json.dumps(answer, default=str))
        return plain
