"""Calls to CloudWatch Logs: the endpoint's log group. Made beforehand, so that it does not keep lines for ever."""

from collections.abc import Mapping

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.names import TAG, Names

KEPT_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
"""CloudWatch Logs takes no other numbers of days."""


def describe(names: Names) -> AwsCall:
    """Log groups whose names begin like the endpoint's."""
    return AwsCall("logs", "DescribeLogGroups", {"logGroupNamePrefix": names.log_group})


def list_tags(names: Names) -> AwsCall:
    """The group's tags."""
    return AwsCall("logs", "ListTagsForResource", {"resourceArn": _arn(names)}, _arn(names))


def create(names: Names, tags: Mapping[str, str]) -> AwsCall:
    """The group, tagged."""
    request = {"logGroupName": names.log_group, "tags": {**tags, TAG: names.endpoint}}
    return AwsCall("logs", "CreateLogGroup", request, _arn(names), done_if=("ResourceAlreadyExistsException",))


def keep_for(names: Names, days: int) -> AwsCall:
    """How long lines are kept."""
    return AwsCall(
        "logs", "PutRetentionPolicy", {"logGroupName": names.log_group, "retentionInDays": days}, _arn(names)
    )


def delete(names: Names) -> AwsCall:
    """Delete the group."""
    return AwsCall("logs", "DeleteLogGroup", {"logGroupName": names.log_group}, _arn(names))


def _arn(names: Names) -> str:
    return names.arn("logs", f"log-group:{names.log_group}")
