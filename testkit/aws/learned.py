"""What the machine that learns meets in an account: an endpoint in service, jobs, and who answers."""

import json
import zlib
from collections.abc import Callable
from typing import Any

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.names import TAG, Names
from testkit.aws.account import REGION, Account

NAMES = Names("autopilot", "123456789012", REGION)
SERVING_ROLE = "arn:aws:iam::123456789012:role/serving"
MOUNTED = "/opt/ml/additional-model-data-sources/candidate"
ENVIRONMENT = {"AUTOPILOT_HISTORY": "dynamodb://history", "AUTOPILOT_LEAD_MINUTES": "10-15"}

CONTAINER = {"Image": "registry/autopilot:serve", "Environment": ENVIRONMENT}


def _named_by_its_data(url: str) -> str:
    return f"studio@{zlib.crc32(url.encode()):08x}" if url else "default@28db5018"


class ServedEndpoint:
    """An endpoint in service; `policy_of`: who answers for the model data of a container, which may be none."""

    def __init__(self, account: Account, policy_of: Callable[[str], str] = _named_by_its_data) -> None:
        self.account, self.policy_of, self.config = account, policy_of, "autopilot-first"
        account._invoke_endpoint = self._answer
        self.make("CreateModel", ModelName="autopilot-model", ExecutionRoleArn=SERVING_ROLE, PrimaryContainer=CONTAINER)
        variant = {"VariantName": "AllTraffic", "ModelName": "autopilot-model", "InstanceType": "ml.c5.large",
                   "InitialInstanceCount": 2}  # fmt: skip
        self.make("CreateEndpointConfig", EndpointConfigName=self.config, ProductionVariants=[variant])
        self.make("CreateEndpoint", EndpointName="autopilot", EndpointConfigName=self.config)
        self._settle()

    def serve(self, name: str, url: str | None = None, beside: str | None = None, previous: str | None = None) -> None:
        """Put another model in service, of some data, with a candidate beside it, in the place of another."""
        environment = dict(ENVIRONMENT)
        container: dict[str, Any] = {**CONTAINER, "Environment": environment, **({"ModelDataUrl": url} if url else {})}
        if beside:
            source = {"S3Uri": beside, "S3DataType": "S3Object", "CompressionType": "None"}
            container["AdditionalModelDataSources"] = [{"ChannelName": "candidate", "S3DataSource": source}]
            environment["AUTOPILOT_CANDIDATE"] = MOUNTED
        if previous:
            environment |= {"LEARNING_PREVIOUS": previous, "LEARNING_SINCE": "2026-11-20T04:00:00Z",
                            "LEARNING_PREVIOUS_POLICY": "default@0123abcd"}  # fmt: skip
        tags = [{"Key": TAG, "Value": "autopilot"}]
        self.make(
            "CreateModel", ModelName=name, ExecutionRoleArn=SERVING_ROLE, PrimaryContainer=container, Tags=tags
        )  # fmt: skip
        (variant,) = self.make("DescribeEndpointConfig", EndpointConfigName=self.config)["ProductionVariants"]
        variants = [variant | {"ModelName": name}]
        self.make("CreateEndpointConfig", EndpointConfigName=f"c-{name}", ProductionVariants=variants)
        self.make("UpdateEndpoint", EndpointName="autopilot", EndpointConfigName=f"c-{name}")
        self._settle()

    def _settle(self) -> None:
        while self.endpoint()["EndpointStatus"] != "InService":
            pass
        self.account.made.clear()

    def make(self, operation: str, **parameters: Any) -> Json:
        return self.account.make(AwsCall("sagemaker", operation, parameters))

    def endpoint(self) -> Json:
        return self.make("DescribeEndpoint", EndpointName="autopilot")

    def model(self) -> Json:
        """The model that serves."""
        config = self.make("DescribeEndpointConfig", EndpointConfigName=self.endpoint()["EndpointConfigName"])
        return self.make("DescribeModel", ModelName=config["ProductionVariants"][0]["ModelName"])

    def _answer(self, call: AwsCall) -> Json:
        asked = json.loads(call.parameters["Body"])
        assert asked["history"] == [], "something is stored of it"
        policy = self.policy_of(self.model()["PrimaryContainer"].get("ModelDataUrl", ""))
        return {"Body": json.dumps({"Prediction": {"policy": policy}})}
