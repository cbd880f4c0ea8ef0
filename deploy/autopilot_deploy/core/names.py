"""What everything is called. Names carry a fingerprint of their content, so a second run finds what the first made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from autopilot_deploy.core.call import Json

TAG = "gameserver-autopilot:endpoint"
"""The tag of everything made for one endpoint; its value is the endpoint's name. What the stack made has another."""
SHARED_TAG = "gameserver-autopilot:made-by"
USER_TAG = "gameserver-autopilot:user:"
"""The history table may serve several endpoints: each leaves a tag with its name on it."""
MAKER = "autopilot-deploy"
LONGEST_NAME = 63
"""Characters that SageMaker allows in a name."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names and ARNs of one endpoint's parts, in one account and region."""

    endpoint: str
    account: str
    region: str
    partition: str = "aws"

    @property
    def role(self) -> str:
        """Name of the execution role."""
        return f"autopilot-{self.endpoint}"

    @property
    def role_arn(self) -> str:
        """ARN of the execution role."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role}"

    @property
    def log_group(self) -> str:
        """Where SageMaker writes the container's log."""
        return f"/aws/sagemaker/Endpoints/{self.endpoint}"

    @property
    def dashboard(self) -> str:
        """Name of the dashboard, and how the alarms' names begin."""
        return f"autopilot-{self.endpoint}"

    @property
    def learning_machine(self) -> str:
        """Name of the state machine that learns."""
        return f"{self.endpoint}-learning"

    def arn(self, service: str, rest: str) -> str:
        """An ARN in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{rest}"

    def sagemaker(self, kind: str, name: str) -> str:
        """ARN of a SageMaker resource; SageMaker writes them in lower case."""
        return self.arn("sagemaker", f"{kind}/{name.lower()}")

    def table(self, name: str) -> str:
        """ARN of a DynamoDB table."""
        return self.arn("dynamodb", f"table/{name}")

    def variant(self, variant: str) -> str:
        """A variant as Application Auto Scaling calls it."""
        return f"endpoint/{self.endpoint}/variant/{variant}"

    def tags(self, more: Mapping[str, str]) -> list[dict[str, str]]:
        """The tags of everything that is made for this endpoint."""
        return [{"Key": key, "Value": value} for key, value in {**more, TAG: self.endpoint}.items()]


def fingerprint(content: Json) -> str:
    """Ten hexadecimal digits that stand for a JSON value."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
