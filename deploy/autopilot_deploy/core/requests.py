"""The requests that create a model and an endpoint config, from what is wanted."""

from collections.abc import Mapping
from typing import Any

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.names import Names, fingerprint
from autopilot_deploy.core.payload import Variant, Wanted

SHADOW_METRICS = "-shadow"
"""A shadow's decisions are not applied: among the others' they would bend every graph and ring the alarms."""
CONFIG_OPTIONS = {
    "asyncInferenceConfig": "AsyncInferenceConfig",
    "dataCaptureConfig": "DataCaptureConfig",
    "kmsKeyId": "KmsKeyId",
}
"""Fields of the payload that go into the endpoint config as they are, and their names there."""


def role_arn(wanted: Wanted, names: Names) -> str:
    """The role that the container runs under: the one that was named, else the one that is made."""
    return str(wanted.options.get("roleArn", names.role_arn))


def history_table(wanted: Wanted) -> str | None:
    """The table that the models made here write to; None: no model is made here, or it may make no calls."""
    return None if wanted.image is None or wanted.isolated else wanted.table


def model_request(wanted: Wanted, names: Names, variant: Variant) -> dict[str, Any]:
    """CreateModel for one variant. Without a ModelName, the name has a fingerprint of the content."""
    container: dict[str, Any] = {"Image": wanted.image, "Environment": _environment(wanted, variant)}
    if "modelDataUrl" in wanted.options:
        container["ModelDataUrl"] = wanted.options["modelDataUrl"]
    request: dict[str, Any] = {"PrimaryContainer": container, "ExecutionRoleArn": role_arn(wanted, names)}
    if "vpcConfig" in wanted.options:
        request["VpcConfig"] = wanted.options["vpcConfig"]
    if wanted.isolated:
        request["EnableNetworkIsolation"] = True
    name = variant.model or f"{names.endpoint}-{fingerprint(request)}"
    return {"ModelName": name} | request | {"Tags": names.tags(wanted.tags)}


def _environment(wanted: Wanted, variant: Variant) -> dict[str, str]:
    own = container_environment(history_table(wanted), wanted.metrics + SHADOW_METRICS * variant.shadow)
    shadow = {"AUTOPILOT_HISTORY_MODE": "read-only"} if variant.shadow else {}
    return own | shadow | dict(wanted.options.get("environment", {}))


def container_environment(table: str | None, metrics: str) -> dict[str, str]:
    """Where the container keeps its history, and under which namespace its metrics go."""
    return {"AUTOPILOT_HISTORY": f"dynamodb://{table}" if table else "off", "AUTOPILOT_METRICS_EMF": metrics}


def model_name(wanted: Wanted, names: Names, variant: Variant) -> str:
    """The model that a variant serves."""
    if variant.model is not None:
        return variant.model
    return str(model_request(wanted, names, variant)["ModelName"])


def config_request(wanted: Wanted, names: Names, counts: Mapping[str, int]) -> dict[str, Any]:
    """CreateEndpointConfig. `counts`: instances of the variants that auto scaling owns, as they are now, by name.

    The name has a fingerprint of everything but those counts: a deployment is the same whatever its size.
    """
    content = _config(wanted, names, {one.name: None for one in wanted.scaled})
    name = f"{names.endpoint}-{fingerprint(content)}"
    sized = _config(wanted, names, {one.name: _count(wanted, one, counts) for one in wanted.variants})
    return {"EndpointConfigName": name} | sized | {"Tags": names.tags(wanted.tags)}


def _count(wanted: Wanted, variant: Variant, counts: Mapping[str, int]) -> int | None:
    if wanted.scaling is None or variant not in wanted.scaled or variant.name not in counts:
        return variant.count
    return max(1, wanted.scaling.within(counts[variant.name]))


def _config(wanted: Wanted, names: Names, counts: Mapping[str, int | None]) -> dict[str, Any]:
    content: dict[str, Any] = {"ProductionVariants": [], "ShadowProductionVariants": []}
    for variant in wanted.variants:
        kind = "ShadowProductionVariants" if variant.shadow else "ProductionVariants"
        content[kind].append(_variant(wanted, names, variant, counts.get(variant.name, variant.count)))
    for option, parameter in CONFIG_OPTIONS.items():
        if option in wanted.options:
            content[parameter] = wanted.options[option]
    return {key: value for key, value in content.items() if value}


def _variant(wanted: Wanted, names: Names, variant: Variant, count: int | None) -> dict[str, Any]:
    own: dict[str, Any] = {"VariantName": variant.name, "ModelName": model_name(wanted, names, variant)}
    if count is not None:
        own["InitialInstanceCount"] = count
    return own | dict(variant.request)


def counts_of(config: Json) -> dict[str, int | None]:
    """Instance counts in an endpoint config, by variant."""
    variants = (*config.get("ProductionVariants", []), *config.get("ShadowProductionVariants", []))
    return {one["VariantName"]: one.get("InitialInstanceCount") for one in variants}


def types_of(config: Json) -> dict[str, str]:
    """Instance types in an endpoint config, by variant; empty for serverless."""
    return {one["VariantName"]: one.get("InstanceType", "") for one in config.get("ProductionVariants", [])}
