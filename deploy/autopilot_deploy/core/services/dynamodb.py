"""Calls to DynamoDB: the history table."""

from collections.abc import Mapping

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.names import MAKER, SHARED_TAG, USER_TAG, Names

KEY = (("fleet", "HASH", "S"), ("day", "RANGE", "S"))
"""Name, kind and type of each part of the key."""
TTL = "ttl"


def describe(names: Names, table: str) -> AwsCall:
    """The table."""
    return _on(names, table, "DescribeTable")


def describe_ttl(names: Names, table: str) -> AwsCall:
    """Whether items expire."""
    return _on(names, table, "DescribeTimeToLive")


def describe_recovery(names: Names, table: str) -> AwsCall:
    """Whether the table can be put back to a point in time."""
    return _on(names, table, "DescribeContinuousBackups")


def list_tags(names: Names, table: str) -> AwsCall:
    """The table's tags."""
    return AwsCall("dynamodb", "ListTagsOfResource", {"ResourceArn": names.table(table)}, names.table(table))


def create(names: Names, table: str, tags: Mapping[str, str]) -> AwsCall:
    """The table: paid by request, encrypted (DynamoDB always does), with the tag of its first user."""
    every = {**tags, SHARED_TAG: MAKER, USER_TAG + names.endpoint: "1"}
    request = {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind, _ in KEY],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": of} for name, _, of in KEY],
        "Tags": [{"Key": key, "Value": value} for key, value in every.items()],
    }
    return AwsCall("dynamodb", "CreateTable", request, names.table(table), done_if=("ResourceInUseException",))


def switch_on_ttl(names: Names, table: str) -> AwsCall:
    """Items expire at their attribute `ttl`."""
    request = {"TableName": table, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": TTL}}
    done = ("TimeToLive is already enabled",)
    return AwsCall("dynamodb", "UpdateTimeToLive", request, names.table(table), done_if=done)


def switch_on_recovery(names: Names, table: str) -> AwsCall:
    """The table can be put back to any second of the last 35 days."""
    request = {"TableName": table, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    busy = ("ContinuousBackupsUnavailableException",)
    return AwsCall("dynamodb", "UpdateContinuousBackups", request, names.table(table), retry_if=busy)


def tag_user(names: Names, table: str) -> AwsCall:
    """This endpoint uses the table."""
    request = {"ResourceArn": names.table(table), "Tags": [{"Key": USER_TAG + names.endpoint, "Value": "1"}]}
    return AwsCall("dynamodb", "TagResource", request, names.table(table))


def untag_user(names: Names, table: str) -> AwsCall:
    """This endpoint uses the table no longer."""
    request = {"ResourceArn": names.table(table), "TagKeys": [USER_TAG + names.endpoint]}
    return AwsCall("dynamodb", "UntagResource", request, names.table(table))


def delete(names: Names, table: str) -> AwsCall:
    """Delete the table."""
    return _on(names, table, "DeleteTable")


def _on(names: Names, table: str, operation: str) -> AwsCall:
    return AwsCall("dynamodb", operation, {"TableName": table}, names.table(table))
