"""Calls through boto3. The only place that knows boto3's clients and exceptions."""

import time
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.errors import AwsError, DeployError, aws_error

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=70)
_PAGING = (("NextToken", "NextToken"), ("nextToken", "nextToken"), ("Marker", "Marker"))


class BotoAws:
    """AWS, in one region. Clients are made when they are first needed."""

    def __init__(self, session: boto3.Session) -> None:
        if session.region_name is None:
            raise DeployError("no region: give --region, or set AWS_REGION or AWS_DEFAULT_REGION")
        self._session = session
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        """The region that calls go to."""
        return self._session.region_name

    def make(self, call: AwsCall) -> Json:
        """Make a call. Raises AwsError."""
        try:
            answer: Json = getattr(self._client(call.service), xform_name(call.operation))(**call.parameters)
        except ClientError as error:
            raise _refused(call, error) from error
        except ParamValidationError as error:
            raise AwsError(call, "ParamValidation", str(error)) from error
        except BotoCoreError as error:
            raise AwsError(call, type(error).__name__, str(error)) from error
        return answer

    def entries(self, call: AwsCall, key: str) -> list[Json]:
        """All entries under `key`, page after page. Raises AwsError."""
        answer = self.make(call)
        entries = list(answer.get(key, []))
        while more := {parameter: answer[token] for token, parameter in _PAGING if answer.get(token)}:
            answer = self.make(AwsCall(call.service, call.operation, {**call.parameters, **more}, call.resource))
            entries += answer.get(key, [])
        return entries

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        if service not in self._clients:
            client: Any = self._session.client(service, config=_CONFIG)  # type: ignore[call-overload]
            self._clients[service] = client
        return self._clients[service]


def _refused(call: AwsCall, error: ClientError) -> AwsError:
    said = error.response.get("Error", {})
    code, message = said.get("Code", "Unknown"), said.get("Message", str(error))
    original = error.response.get("OriginalMessage")
    if original:
        message = f"{message} (the container answered {error.response.get('OriginalStatusCode')}: {original})"
    return aws_error(call, code, message)


class NoAccount:
    """An account that has nothing, for a rehearsal without credentials. Its number and region are placeholders."""

    ACCOUNT, REGION = "ACCOUNT", "REGION"

    def __init__(self, region: str | None, partition: str = "aws") -> None:
        self.region = region or self.REGION
        self._partition = partition

    def make(self, call: AwsCall) -> Json:
        """Who is asking, and nothing else: raises AwsError, missing, for whatever is looked up."""
        if call.operation == "GetCallerIdentity":
            return {"Account": self.ACCOUNT, "Arn": f"arn:{self._partition}:iam::{self.ACCOUNT}:root"}
        raise AwsError(call, "ResourceNotFoundException", "there are no credentials to look it up with")

    def entries(self, _call: AwsCall, _key: str) -> list[Json]:
        """None."""
        return []


def connect(region: str | None, rehearsal: bool) -> BotoAws | NoAccount:
    """AWS as the environment and AWS's own files say; an empty account for a rehearsal without credentials.

    Raises DeployError where they name a profile that is not there, or no region.
    """
    try:
        session = boto3.Session(region_name=region)
        if rehearsal and session.get_credentials() is None:
            here = session.region_name
            return NoAccount(here, session.get_partition_for_region(here) if here else "aws")
        return BotoAws(session)
    except BotoCoreError as error:
        raise DeployError(f"AWS's configuration does not fit: {error}; look at AWS_PROFILE") from error


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
