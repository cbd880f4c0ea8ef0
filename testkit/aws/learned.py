"""What the machine that learns meets in an account: an endpoint in service, jobs, and who answers."""

import json
import zlib
from collections.abc import Callable
from typing import Any

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.names import Names
from testkit.aws.account import REGION, Account

NAMES = Names("autopilot", "123456789012", REGION)
SERVING_ROLE = "arn:aws:iam::123456789012:role/serving"
ENVIRONMENT = {"AUTOPILOT_HISTORY": "dynamodb://history", "AUTOPILOT_LEAD_MINUTES": "10-15"}


def _named_by_its_data(url: str) -> str:
    return f"studio@{zlib.crc32(url.encode()):08x}" if url else "default@28db5018"


class ServedEndpoint:
    """An endpoint in service; `policy_of`: who answers for the model data of a container, which may be none."""

    def __init__(self, account: Account, policy_of: Callable[[str], str] = _named_by_its_data) -> None:
        self.account, self.policy_of, self.config = account, policy_of, "autopilot-first"
        account._invoke_endpoint = self._answer
        self.make("CreateModel", ModelName="autopilot-model", ExecutionRoleArn=SERVING_ROLE, PrimaryContainer={
            "Image": "registry/autopilot:serve", "Environment": ENVIRONMENT})  # fmt: skip
        variant = {"VariantName": "AllTraffic", "ModelName": "autopilot-model", "InstanceType": "ml.c5.large",
                   "InitialInstanceCount": 2}  # fmt: skip
        self.make("CreateEndpointConfig", EndpointConfigName=self.config, ProductionVariants=[variant])
        self.make("CreateEndpoint", EndpointName="autopilot", EndpointConfigName=self.config)
        while self.endpoint()["EndpointStatus"] != "InService":
            pass
        account.made.clear()

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
