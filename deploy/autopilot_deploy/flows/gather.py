"""Look up everything that one endpoint has to do with. Only reads."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from autopilot_deploy.calls.ports import Aws
from autopilot_deploy.core.account import (
    AccountState,
    EndpointState,
    LogGroupState,
    RoleState,
    ScalingTarget,
    TableState,
)
from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.errors import AwsError
from autopilot_deploy.core.monitoring import alarm_names
from autopilot_deploy.core.names import MAKER, SHARED_TAG, TAG, USER_TAG, Names
from autopilot_deploy.core.payload import DEFAULT_TABLE, Wanted
from autopilot_deploy.core.requests import config_request, history_table, model_name
from autopilot_deploy.core.services import cloudwatch, dynamodb, iam, logs, sagemaker, scaling


def names_for(aws: Aws, endpoint: str) -> Names:
    """The names of an endpoint's parts in the account behind the credentials. Raises AwsError."""
    who = aws.make(iam.who())
    return Names(endpoint, who["Account"], aws.region, who["Arn"].split(":")[1])


def gather_for_deploy(aws: Aws, names: Names, wanted: Wanted) -> AccountState:
    """What a deployment has to know. Raises AwsError."""
    endpoint = find_endpoint(aws, names)
    live = _config(aws, names, endpoint.config) if endpoint and endpoint.config else None
    new = config_request(wanted, names, {})["EndpointConfigName"]
    models = {model_name(wanted, names, one) for one in wanted.variants}
    own_configs = _own_configs(aws, names)
    table = history_table(wanted)
    return AccountState(
        endpoint=endpoint,
        live_config=live,
        configs=_known({new: _config(aws, names, new)}),
        own_configs=own_configs,
        models=_known({one: look_up(aws, sagemaker.describe_model(names, one)) for one in models}),
        own_models=_own_models(aws, names, own_configs),
        targets=_targets(aws, names),
        role=_role(aws, names) if wanted.image and "roleArn" not in wanted.options else None,
        table=find_table(aws, names, table) if table else None,
        log_group=_log_group(aws, names),
    )


def gather_for_destroy(aws: Aws, names: Names) -> tuple[AccountState, str]:
    """What was made for an endpoint, and the history table's name. Raises AwsError."""
    endpoint = find_endpoint(aws, names)
    live = _config(aws, names, endpoint.config) if endpoint and endpoint.config else None
    own_configs = _own_configs(aws, names)
    own_models = _own_models(aws, names, own_configs)
    models = _known({one: look_up(aws, sagemaker.describe_model(names, one)) for one in own_models})
    table = table_of(models.values())
    alarms = _alarms(aws, names)
    found = AccountState(
        endpoint=endpoint,
        endpoint_ours=endpoint is not None and is_ours(aws, names, names.sagemaker("endpoint", names.endpoint)),
        live_config=live,
        own_configs=own_configs,
        own_models=own_models,
        targets=_targets(aws, names),
        role=_role(aws, names),
        table=find_table(aws, names, table),
        log_group=_log_group(aws, names),
        alarms=tuple(sorted(name for name, mine in alarms.items() if mine)),
        dashboard=_own_dashboard(aws, names, alarms),
    )
    return found, table


def table_of(models: Iterable[Json]) -> str:
    """The history table that models name; the usual one where none does."""
    for model in models:
        place = model.get("PrimaryContainer", {}).get("Environment", {}).get("AUTOPILOT_HISTORY", "")
        if place.startswith("dynamodb://"):
            return str(place.removeprefix("dynamodb://"))
    return DEFAULT_TABLE


def find_endpoint(aws: Aws, names: Names) -> EndpointState | None:
    """The endpoint; None: there is none. Raises AwsError."""
    answer = look_up(aws, sagemaker.describe_endpoint(names))
    return None if answer is None else EndpointState.from_answer(answer)


def find_table(aws: Aws, names: Names, table: str) -> TableState | None:
    """The history table; None: there is none. Raises AwsError."""
    answer = look_up(aws, dynamodb.describe(names, table))
    if answer is None:
        return None
    ttl = aws.make(dynamodb.describe_ttl(names, table))["TimeToLiveDescription"]
    backups = aws.make(dynamodb.describe_recovery(names, table))["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    tags = _tags(aws.entries(dynamodb.list_tags(names, table), "Tags"))
    users = tuple(sorted(key.removeprefix(USER_TAG) for key in tags if key.startswith(USER_TAG)))
    return TableState(
        answer["Table"]["TableStatus"], _key(answer["Table"]),
        ttl.get("AttributeName") if ttl["TimeToLiveStatus"] in {"ENABLED", "ENABLING"} else None,
        recovery == "ENABLED", tags.get(SHARED_TAG) == MAKER, users,
    )  # fmt: skip


def _key(table: Json) -> tuple[tuple[str, str, str], ...]:
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    return tuple((one["AttributeName"], one["KeyType"], types[one["AttributeName"]]) for one in table["KeySchema"])


def is_ours(aws: Aws, names: Names, arn: str) -> bool:
    """Whether a SageMaker resource has this endpoint's tag. Raises AwsError."""
    return _tags(aws.entries(sagemaker.list_tags(arn), "Tags")).get(TAG) == names.endpoint


def _config(aws: Aws, names: Names, config: str) -> Json | None:
    return look_up(aws, sagemaker.describe_config(names, config))


def _own_configs(aws: Aws, names: Names) -> tuple[str, ...]:
    listed = (one["EndpointConfigName"] for one in aws.entries(sagemaker.list_configs(names), "EndpointConfigs"))
    return _own(aws, names, "endpoint-config", {one for one in listed if one.startswith(f"{names.endpoint}-")})


def _own_models(aws: Aws, names: Names, configs: Iterable[str]) -> tuple[str, ...]:
    """Under names of our own, and under those that payloads gave: the configs know these."""
    listed = (one["ModelName"] for one in aws.entries(sagemaker.list_models(names), "Models"))
    mine = {one for one in listed if one.startswith(f"{names.endpoint}-")}
    served = {one for config in configs for one in _models_of(_config(aws, names, config) or {})}
    there = {one for one in served - mine if look_up(aws, sagemaker.describe_model(names, one)) is not None}
    return _own(aws, names, "model", mine | there)


def _models_of(config: Json) -> list[str]:
    variants = (*config.get("ProductionVariants", []), *config.get("ShadowProductionVariants", []))
    return [one["ModelName"] for one in variants if "ModelName" in one]


def _own(aws: Aws, names: Names, kind: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Those that this program tagged for this endpoint."""
    return tuple(sorted(one for one in candidates if is_ours(aws, names, names.sagemaker(kind, one))))


def _targets(aws: Aws, names: Names) -> list[ScalingTarget]:
    """All of the endpoint's, those of variants that exist no longer too."""
    listed = aws.entries(scaling.describe_targets(), "ScalableTargets")
    return [_target(aws, one) for one in listed if one["ResourceId"].startswith(names.variant(""))]


def _target(aws: Aws, listed: Json) -> ScalingTarget:
    resource = listed["ResourceId"]
    policies = aws.entries(scaling.describe_policies(resource), "ScalingPolicies")
    kept = {one["PolicyName"]: one.get("TargetTrackingScalingPolicyConfiguration", {}) for one in policies}
    return ScalingTarget(
        resource, listed["MinCapacity"], listed["MaxCapacity"], {name: one for name, one in kept.items() if one}
    )


def _role(aws: Aws, names: Names) -> RoleState | None:
    answer = look_up(aws, iam.get_role(names))
    if answer is None:
        return None
    listed = aws.entries(iam.list_policies(names), "PolicyNames")
    documents = {str(one): _document(aws.make(iam.get_policy(names, str(one)))["PolicyDocument"]) for one in listed}
    return RoleState(_tags(answer["Role"].get("Tags", [])).get(TAG) == names.endpoint, documents)


def _document(given: Any) -> Json:  # noqa: ANN401 - boto3 decodes it, some emulators do not
    decoded: Json = json.loads(unquote(given)) if isinstance(given, str) else given
    return decoded


def _log_group(aws: Aws, names: Names) -> LogGroupState | None:
    groups = aws.entries(logs.describe(names), "logGroups")
    there = next((one for one in groups if one["logGroupName"] == names.log_group), None)
    if there is None:
        return None
    tags = aws.make(logs.list_tags(names)).get("tags", {})
    return LogGroupState(there.get("retentionInDays"), tags.get(TAG) == names.endpoint)


def _alarms(aws: Aws, names: Names) -> dict[str, bool]:
    """The alarms by name, and whether this program made each."""
    listed = aws.entries(cloudwatch.describe_alarms(alarm_names(names)), "MetricAlarms")
    tags = {one["AlarmName"]: aws.make(cloudwatch.list_tags(names, one["AlarmName"]))["Tags"] for one in listed}
    return {name: _tags(one).get(TAG) == names.endpoint for name, one in tags.items()}


def _own_dashboard(aws: Aws, names: Names, alarms: dict[str, bool]) -> bool:
    """Dashboards have no tags: it is whose the alarms are."""
    return look_up(aws, cloudwatch.get_dashboard(names)) is not None and all(alarms.values())


def _tags(listed: Iterable[Json]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in listed}


def _known(found: dict[str, Json | None]) -> dict[str, Json]:
    return {name: one for name, one in found.items() if one is not None}


def look_up(aws: Aws, call: AwsCall) -> Json | None:
    """The answer; None where the thing does not exist."""
    try:
        return aws.make(call)
    except AwsError as error:
        if error.missing:
            return None
        raise
