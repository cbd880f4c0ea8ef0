import copy
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from autopilot_deploy.cli import AwsSession, main
from testkit.aws.account import REGION, Account, AccountClock
from testkit.aws.mocked import mocked_aws
from testkit.aws.payloads import IMAGE, SEED_PAYLOAD


@pytest.fixture
def seed_payload() -> dict[str, Any]:
    return copy.deepcopy(SEED_PAYLOAD)


@pytest.fixture
def payload() -> dict[str, Any]:
    """A deployment of our own image: models, role and table are made."""
    return {
        "endpointName": "autopilot",
        "image": IMAGE,
        "productionVariants": [{"VariantName": "AllTraffic", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}],
        "autoscalingMinCapacity": 1,
        "autoscalingMaxCapacity": 4,
    }


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with mocked_aws(monkeypatch, {"stepfunctions": {"execute_state_machine": True}}):
        yield


@pytest.fixture
def account(aws: None) -> Account:
    return Account()


@pytest.fixture
def clock() -> AccountClock:
    return AccountClock()


class Cli:
    """The command line over an account."""

    def __init__(self, account: Account, clock: AccountClock) -> None:
        self._obj = {"connect": lambda _region, _rehearsal: AwsSession(account, clock)}

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin, obj=dict(self._obj))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture
def cli(account: Account, clock: AccountClock) -> Cli:
    return Cli(account, clock)


@pytest.fixture
def seed_model(account: Account) -> str:
    """The model that the seed's payload names, made by someone else."""
    client = boto3.client("sagemaker", region_name=REGION)
    name = SEED_PAYLOAD["productionVariants"][0]["ModelName"]
    container = {"Image": "another:image", "Environment": {}}
    role = "arn:aws:iam::123456789012:role/theirs"
    client.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
    return name
