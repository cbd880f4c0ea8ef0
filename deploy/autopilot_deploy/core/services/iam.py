"""Calls to IAM and STS, and the policies of the execution role."""

import json
import re
from collections.abc import Sequence

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.names import Names

MAIN_POLICY = "serve"
NEXT_POLICY = "serve-next"
"""What the config that is coming needs, beside what the one in service needs, until the coming one serves."""
_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^@:]+)")

_KEY = re.compile(r"(?:(?P<arn>arn:[^:]+:kms:[^:]+:\d+):)?(?:(?P<alias>alias/.+)|(?:key/)?[^/:]+)")


def who() -> AwsCall:
    """The account behind the credentials."""
    return AwsCall("sts", "GetCallerIdentity", {})


def get_role(names: Names) -> AwsCall:
    """The execution role."""
    return AwsCall("iam", "GetRole", {"RoleName": names.role}, names.role_arn)


def list_policies(names: Names) -> AwsCall:
    """The role's inline policies."""
    return AwsCall("iam", "ListRolePolicies", {"RoleName": names.role}, names.role_arn)


def get_policy(names: Names, policy: str) -> AwsCall:
    """One inline policy."""
    return AwsCall("iam", "GetRolePolicy", {"RoleName": names.role, "PolicyName": policy}, names.role_arn)


def create_role(names: Names, tags: list[dict[str, str]]) -> AwsCall:
    """The execution role."""
    request = {
        "RoleName": names.role,
        "AssumeRolePolicyDocument": json.dumps(trust(names, "sagemaker.amazonaws.com"), separators=(",", ":")),
        "Description": f"Execution role of the endpoint {names.endpoint}",
        "Tags": tags,
    }
    return AwsCall("iam", "CreateRole", request, names.role_arn, done_if=("EntityAlreadyExists",))


def trust(names: Names, service: str) -> dict[str, object]:
    """A service may take the role, for this account only."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": names.account}},
    }
    return document([statement])


def put_policy(names: Names, policy: str, statements: Sequence[Json]) -> AwsCall:
    """An inline policy of the role."""
    request = {
        "RoleName": names.role,
        "PolicyName": policy,
        "PolicyDocument": json.dumps(document(statements), separators=(",", ":")),
    }
    return AwsCall("iam", "PutRolePolicy", request, names.role_arn)


def delete_policy(names: Names, policy: str) -> AwsCall:
    """Delete an inline policy."""
    request = {"RoleName": names.role, "PolicyName": policy}
    return AwsCall("iam", "DeleteRolePolicy", request, names.role_arn, done_if=("NoSuchEntity",))


def delete_role(names: Names) -> AwsCall:
    """Delete the role."""
    return AwsCall("iam", "DeleteRole", {"RoleName": names.role}, names.role_arn)


def document(statements: Sequence[Json]) -> dict[str, object]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def role_statements(
    names: Names, image: str, table: str | None, reads: Sequence[str], writes: Sequence[str]
) -> list[Json]:
    """What the container and SageMaker on its behalf need, and nothing more. `reads`, `writes`: S3 URIs."""
    return [
        *log_statements(names, [names.log_group, "/aws/sagemaker/TransformJobs"]),
        *_image_statements(names, image),
        *([table_statement(names.table(table))] if table else []),
        *bucket_statements(names, reads, writes),
    ]


def log_statements(names: Names, groups: Sequence[str], may_create: bool = True) -> list[Json]:
    """Rights to write into log groups, which may be there already, and SageMaker's own metrics."""
    arns = [names.arn("logs", f"log-group:{group}{end}") for group in groups for end in ("", ":log-stream:*")]
    actions = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    actions = ["logs:CreateLogGroup", *actions] if may_create else actions
    metrics = {
        "Sid": "Metrics", "Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*",
        "Condition": {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}},
    }  # fmt: skip
    return [{"Sid": "Logs", "Effect": "Allow", "Action": actions, "Resource": arns}, metrics]


def _image_statements(names: Names, image: str) -> list[Json]:
    found = _IMAGE.match(image)
    if not found:
        return []
    return repository_statements(
        f"arn:{names.partition}:ecr:{found['region']}:{found['account']}:repository/{found['name']}"
    )


def repository_statements(repository: str) -> list[Json]:
    """Rights to take images from a repository in ECR, given by its ARN."""
    actions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [
        {"Sid": "Image", "Effect": "Allow", "Action": actions, "Resource": repository},
        {"Sid": "ImageLogin", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    ]


def table_statement(table: object) -> Json:
    """Rights to read and write the history table, given by its ARN."""
    actions = ["dynamodb:BatchGetItem", "dynamodb:UpdateItem"]
    return {"Sid": "History", "Effect": "Allow", "Action": actions, "Resource": table}


def bucket_statements(names: Names, reads: Sequence[str], writes: Sequence[str]) -> list[Json]:
    """Rights on S3 URIs: read below some, write below others, and list their buckets."""
    given = [("Read", "s3:GetObject", reads), ("Write", "s3:PutObject", writes)]
    out: list[Json] = [
        {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": [_object_arn(names, uri) for uri in uris]}
        for sid, action, uris in given
        if uris
    ]
    named = {uri.removeprefix("s3://").partition("/")[0] for uri in (*reads, *writes)}
    buckets = [f"arn:{names.partition}:s3:::{bucket}" for bucket in sorted(named)]
    if buckets:
        out.append({"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": buckets})
    return out


def network_statement() -> Json:
    """Rights to put interfaces into a VPC, and to take them away."""
    verbs = ("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface",
             "DeleteNetworkInterfacePermission", "DescribeDhcpOptions", "DescribeNetworkInterfaces",
             "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs")  # fmt: skip
    return {"Sid": "Network", "Effect": "Allow", "Action": [f"ec2:{verb}" for verb in verbs], "Resource": "*"}


def topic_statement(topics: Sequence[str]) -> Json:
    """Rights to tell SNS topics how an asynchronous request ended."""
    return {"Sid": "Topics", "Effect": "Allow", "Action": "sns:Publish", "Resource": list(topics)}


def alarm_statement(names: Names, alarms: Sequence[str]) -> Json:
    """Rights to look at the alarms that roll a deployment back: SageMaker looks under the execution role."""
    arns = [names.arn("cloudwatch", f"alarm:{one}") for one in alarms]
    return {"Sid": "Alarms", "Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": arns}


def key_statement(names: Names, sid: str, key: str, actions: Sequence[str], more: Json | None = None) -> Json:
    """Rights on a KMS key, in any spelling that SageMaker takes: an id, an alias, or the ARN of either.

    IAM matches keys by ARN only, so an alias is granted as a condition on every key of its account.
    """
    found = _KEY.fullmatch(key)
    arn = (found and found["arn"]) or f"arn:{names.partition}:kms:{names.region}:{names.account}"
    alias = found and found["alias"]
    condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}} if alias else {}
    resource = f"{arn}:key/{'*' if alias else key.rpartition('/')[2]}"
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement | ({"Condition": condition | dict(more or {})} if condition or more else {})


def volume_key_statement(names: Names, key: str) -> Json:
    """Rights to have the disks of instances encrypted: SageMaker hands the key on to them by a grant."""
    only = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return key_statement(names, "DiskKey", key, ["kms:CreateGrant", "kms:DescribeKey"], only)


def object_key_statements(names: Names, keys: Sequence[str]) -> list[Json]:
    """Rights to write objects into S3 under keys, and to read them."""
    actions = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    return [key_statement(names, f"ObjectKey{place}", key, actions) for place, key in enumerate(keys, 1)]


def _object_arn(names: Names, uri: str) -> str:
    """Batch jobs read every object whose name begins so; a model is one object. Never another bucket named alike."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"arn:{names.partition}:s3:::{bucket}/{key}{'' if key.endswith('.tar.gz') else '*'}"
