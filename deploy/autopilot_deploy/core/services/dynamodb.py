"""Calls to DynamoDB: the history table."""

from collections.abc import Mapping

from autopilot_deploy.core.call import Call
from autopilot_deploy.core.names import MAKER, SHARED_TAG, USER_TAG, Names

KEY = (("fleet", "HASH"), ("day", "RANGE"))
TTL = "ttl"


def describe(names: Names, table: str) -> Call:
    """The table."""
    return _on(names, table, "DescribeTable")


def describe_ttl(names: Names, table: str) -> Call:
    """Whether items expire."""
    return _on(names, table, "DescribeTimeToLive")


def describe_recovery(names: Names, table: str) -> Call:
    """Whether the table can be put back to a point in time."""
    return _on(names, table, "DescribeContinuousBackups")


def list_tags(names: Names, table: str) -> Call:
    """The table's tags."""
    return Call("dynamodb", "ListTagsOfResource", {"ResourceArn": names.table(table)}, names.table(table))


def create(names: Names, table: str, tags: Mapping[str, str]) -> Call:
    """The table: paid by request, encrypted (DynamoDB always does), with the tag of its first user."""
    every = {**tags, SHARED_TAG: MAKER, USER_TAG + names.endpoint: "1"}
    request = {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in KEY],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in KEY],
        "Tags": [{"Key": key, "Value": value} for key, value in every.items()],
    }
    return Call("dynamodb", "CreateTable", request, names.table(table), done_if=("ResourceInUseException",))


def switch_on_ttl(names: Names, table: str) -> Call:
    """Items expire at their attribute `ttl`."""
    request = {"TableName": table, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": TTL}}
    done = ("TimeToLive is already enabled",)
    return Call("dynamodb", "UpdateTimeToLive", request, names.table(table), done_if=done)


def switch_on_recovery(names: Names, table: str) -> Call:
    """The table can be put back to any second of the last 35 days."""
    request = {"TableName": table, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    busy = ("ContinuousBackupsUnavailableException",)
    return Call("dynamodb", "UpdateContinuousBackups", request, names.table(table), retry_if=busy)


def tag_user(names: Names, table: str) -> Call:
    """This endpoint uses the table."""
    request = {"ResourceArn": names.table(table), "Tags": [{"Key": USER_TAG + names.endpoint, "Value": "1"}]}
    return Call("dynamodb", "TagResource", request, names.table(table))


def untag_user(names: Names, table: str) -> Call:
    """This endpoint uses the table no longer."""
    request = {"ResourceArn": names.table(table), "TagKeys": [USER_TAG + names.endpoint]}
    return Call("dynamodb", "UntagResource", request, names.table(table))


def delete(names: Names, table: str) -> Call:
    """The table, away."""
    return _on(names, table, "DeleteTable")


def _on(names: Names, table: str, operation: str) -> Call:
    return Call("dynamodb", operation, {"TableName": table}, names.table(table))
