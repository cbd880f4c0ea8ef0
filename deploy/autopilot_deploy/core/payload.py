"""The payload: what is wanted, in the JSON that the endpoint deployer always took, and some optional fields more.

Every fault is found before anything is called: AWS's own service models judge each field, and the rules between fields
stand below.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.model import Shape

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.errors import PayloadError
from autopilot_deploy.core.names import LONGEST_NAME
from autopilot_deploy.core.shapes import FAULTY, Problem, member, problems, sound, unknown

LONGEST_ENDPOINT_NAME = LONGEST_NAME - 11
"""The endpoint config's name is this, a dash and ten digits."""
LEFT_OUT = ("AcceleratorType",)
"""Elastic Inference has ended."""
MOST_TAGS = 45
"""AWS allows 50 tags to a resource; the rest is for ours, and for the endpoints that share a table."""
_TAG = re.compile(r"[\w\s.:/=+@-]*")
DEFAULT_TABLE = "latest_observations"
DEFAULT_METRICS = "autopilot"

_VARIANTS = ("productionVariants", "shadowProductionVariants")
_CONFIG = ("sagemaker", "CreateEndpointConfig")
_MODEL = ("sagemaker", "CreateModel")
_TARGET = ("application-autoscaling", "RegisterScalableTarget")
_POLICY = ("application-autoscaling", "PutScalingPolicy")

FIELDS: Mapping[str, tuple[str, ...]] = {
    "endpointName": ("sagemaker", "CreateEndpoint", "EndpointName"),
    "productionVariants": (*_CONFIG, "ProductionVariants"),
    "shadowProductionVariants": (*_CONFIG, "ShadowProductionVariants"),
    "autoscalingMinCapacity": (*_TARGET, "MinCapacity"),
    "autoscalingMaxCapacity": (*_TARGET, "MaxCapacity"),
    "targetTrackingScalingPolicyConfiguration": (*_POLICY, "TargetTrackingScalingPolicyConfiguration"),
    "asyncInferenceConfig": (*_CONFIG, "AsyncInferenceConfig"),
    "dataCaptureConfig": (*_CONFIG, "DataCaptureConfig"),
    "kmsKeyId": (*_CONFIG, "KmsKeyId"),
    "deploymentConfig": ("sagemaker", "UpdateEndpoint", "DeploymentConfig"),
    "image": (*_MODEL, "PrimaryContainer", "Image"),
    "modelDataUrl": (*_MODEL, "PrimaryContainer", "ModelDataUrl"),
    "environment": (*_MODEL, "PrimaryContainer", "Environment"),
    "roleArn": (*_MODEL, "ExecutionRoleArn"),
    "vpcConfig": (*_MODEL, "VpcConfig"),
    "enableNetworkIsolation": (*_MODEL, "EnableNetworkIsolation"),
    "historyTable": ("dynamodb", "CreateTable", "TableName"),
    "metricsNamespace": ("cloudwatch", "PutMetricData", "Namespace"),
    "tags": (*_MODEL, "Tags"),
}
"""Each field of the payload, and the AWS parameter that it has to fit."""

SPELLINGS: Mapping[str, str] = {"inferenceInstanceType": "InstanceType", "modelName": "ModelName"}
"""Fields of a variant as the endpoint deployer's table of parameters spells them, and as its example does."""

DEFAULT_POLICY: Json = {
    "TargetValue": 5000.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    "ScaleOutCooldown": 60,
    "ScaleInCooldown": 300,
    "DisableScaleIn": False,
}
"""5000 invocations a minute and instance: the default that the endpoint deployer always had."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Bounds of each variant's instance count, and the target-tracking policy between them."""

    least: int
    most: int
    policy: Json

    def within(self, count: int) -> int:
        """The count, moved into the bounds."""
        return min(max(count, self.least), self.most)


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant as wanted. `request` is its part of CreateEndpointConfig, without model and count."""

    name: str
    model: str | None
    count: int | None
    request: Json
    shadow: bool = False

    @property
    def serverless(self) -> bool:
        """Whether SageMaker, not a number of instances, decides what runs."""
        return "ServerlessConfig" in self.request

    @property
    def instance_type(self) -> str:
        """The instance type; empty for serverless."""
        return str(self.request.get("InstanceType", ""))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A payload that was checked. `options` are fields that go to AWS as they are."""

    endpoint: str
    variants: tuple[Variant, ...]
    scaling: Scaling | None
    image: str | None = None
    table: str = DEFAULT_TABLE
    metrics: str = DEFAULT_METRICS
    options: Json = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def isolated(self) -> bool:
        """Whether the container may make no calls: then there is no history."""
        return bool(self.options.get("enableNetworkIsolation", False))

    @property
    def topics(self) -> list[str]:
        """SNS topics that are told how asynchronous requests end."""
        told = self._output.get("NotificationConfig", {})
        return sorted({told[name] for name in ("SuccessTopic", "ErrorTopic") if told.get(name)})

    @property
    def rollback_alarms(self) -> list[str]:
        """Alarms that roll a deployment back."""
        rollback = self.options.get("deploymentConfig", {}).get("AutoRollbackConfiguration", {})
        return [one["AlarmName"] for one in rollback.get("Alarms", []) if "AlarmName" in one]

    @property
    def object_keys(self) -> list[str]:
        """KMS keys under which the endpoint writes into S3: captured requests, and asynchronous answers."""
        capture = self.options.get("dataCaptureConfig", {})
        return sorted({one["KmsKeyId"] for one in (self._output, capture) if one.get("KmsKeyId")})

    @property
    def reads(self) -> list[str]:
        """S3 URIs that the endpoint reads."""
        return [one for one in (self.options.get("modelDataUrl"), self._output.get("S3OutputPath")) if one]

    @property
    def writes(self) -> list[str]:
        """S3 URIs that the endpoint writes."""
        captured = self.options.get("dataCaptureConfig", {}).get("DestinationS3Uri")
        return [one for one in (self._output.get("S3OutputPath"), self._output.get("S3FailurePath"), captured) if one]

    @property
    def _output(self) -> Json:
        output: Json = self.options.get("asyncInferenceConfig", {}).get("OutputConfig", {})
        return output

    @property
    def scaled(self) -> tuple[Variant, ...]:
        """Variants whose instance count auto scaling owns."""
        if self.scaling is None:
            return ()
        return tuple(one for one in self.variants if not one.serverless and not one.shadow)


def wanted_from(payload: object) -> Wanted:
    """Check a payload and make it a value. Raises PayloadError that lists every fault with its JSON path."""
    found = list(payload_problems(payload))
    if found:
        listed = "\n".join(f"  {one}" for one in found)
        raise PayloadError(f"the payload has {len(found)} fault{'s' * (len(found) > 1)}:\n{listed}")
    return _wanted(cast(dict[str, Any], _respelled(payload)))


def payload_problems(payload: object) -> Iterator[Problem]:
    """Every fault of a payload, with the path under which it stands there."""
    if not isinstance(payload, dict):
        yield Problem("$", "must be an object")
        return
    given = {path: variant for path, variant in _all_variants(payload) if isinstance(variant, dict)}
    for path, variant in given.items():
        yield from (
            Problem(f"{path}.{seed}", f"is there beside {ours}: leave one of them out")
            for seed, ours in SPELLINGS.items()
            if seed in variant and ours in variant
        )
    for fault in _respelled_problems(_respelled(payload)):
        place, _, name = fault.path.rpartition(".")
        spelled = {ours: seed for seed, ours in SPELLINGS.items() if seed in given.get(place, {})}
        yield Problem(f"{place}.{spelled.get(name, name)}", fault.message)


def _respelled(payload: Any) -> Any:  # noqa: ANN401 - JSON
    """With each field of a variant as AWS spells it."""
    return payload | {
        name: [
            {SPELLINGS.get(key, key): one for key, one in variant.items()} if isinstance(variant, dict) else variant
            for variant in payload[name]
        ]
        for name in _VARIANTS
        if isinstance(payload.get(name), list)
    }


def _respelled_problems(payload: dict[str, Any]) -> Iterator[Problem]:
    for name in ("endpointName", "productionVariants"):
        if name not in payload:
            yield Problem(f"$.{name}", "is missing")
    for name, value in payload.items():
        yield from _field_problems(name, value)
    fine = {name: sound(_shape(name), value) for name, value in payload.items() if name in FIELDS}
    for rule in _RULES:
        yield from rule(fine)


def _field_problems(name: str, value: object) -> Iterator[Problem]:
    if name == "tags":
        yield from _tag_problems(value)
    elif name in FIELDS:
        yield from problems(_shape(name), value, f"$.{name}")
    else:
        yield unknown(name, list(FIELDS), "$")


def _tag_problems(tags: object) -> Iterator[Problem]:
    """An object of names and values; AWS takes a list of pairs."""
    if not isinstance(tags, dict):
        yield Problem("$.tags", 'must be an object, as {"team": "games"}')
        return
    if len(tags) > MOST_TAGS:
        yield Problem("$.tags", f"{len(tags)} entries, at most {MOST_TAGS}")
    for key, value in tags.items():
        yield from (Problem(f"$.tags.{key}", fault) for fault in _tag_faults(key, value))


def _tag_faults(key: str, value: object) -> Iterator[str]:
    if not (_TAG.fullmatch(key) and 0 < len(key) <= 128) or key.lower().startswith("aws:"):
        yield "a key has 1 to 128 letters, digits, spaces and _.:/=+-@, and does not begin with aws:"
    if not (isinstance(value, str) and _TAG.fullmatch(value) and len(value) <= 256):
        yield "a value is a string of up to 256 letters, digits, spaces and _.:/=+-@"


def _shape(name: str) -> Shape:
    service, operation, *path = FIELDS[name]
    return member(service, operation, *path)


def _known(value: Any, name: str, default: Any) -> Any:  # noqa: ANN401 - JSON
    """A member that can be judged; the default where it is absent, or a fault of its own."""
    found = value.get(name, default) if isinstance(value, dict) else default
    return default if found is FAULTY else found


def _names(fine: Json) -> Iterator[Problem]:
    name = _known(fine, "endpointName", None)
    if name is not None and not 0 < len(name) <= LONGEST_ENDPOINT_NAME:
        yield Problem("$.endpointName", f"{len(name)} characters, 1 to {LONGEST_ENDPOINT_NAME}: configs add 11 to it")
    seen: set[str] = set()
    for path, variant in _all_variants(fine):
        name = _known(variant, "VariantName", None)
        if name in seen:
            yield Problem(f"{path}.VariantName", f"{name!r} is there twice")
        seen |= {name} - {None}


def _variants(fine: Json) -> Iterator[Problem]:
    for path, variant in _all_variants(fine):
        kinds = [kind for kind in ("InstanceType", "ServerlessConfig", "InstancePools") if kind in variant]
        if len(kinds) != 1:
            yield Problem(path, "needs one of InstanceType, ServerlessConfig and InstancePools")
        if "ServerlessConfig" in variant and "InitialInstanceCount" in variant:
            yield Problem(f"{path}.InitialInstanceCount", "a serverless variant has no instances: leave it out")
        if "ModelName" not in variant and "image" not in fine:
            yield Problem(f"{path}.ModelName", "is missing, and there is no image to make a model from")


def _serverless(fine: Json) -> Iterator[Problem]:
    serverless = [path for path, variant in _all_variants(fine) if "ServerlessConfig" in variant]
    if not serverless:
        return
    if len(list(_all_variants(fine))) > 1:
        yield Problem(serverless[0], "a serverless endpoint has one variant, and no shadow")
    for name in ("asyncInferenceConfig", "dataCaptureConfig", "vpcConfig", "autoscalingMaxCapacity"):
        if name in fine:
            yield Problem(f"$.{name}", "does not go with a serverless variant: leave it out")
    if _known(fine, "enableNetworkIsolation", False):
        yield Problem("$.enableNetworkIsolation", "does not go with a serverless variant: leave it out")


def _shadows(fine: Json) -> Iterator[Problem]:
    shadows = _known(fine, "shadowProductionVariants", [])
    if shadows and (len(shadows) > 1 or len(_known(fine, "productionVariants", [])) > 1):
        yield Problem("$.shadowProductionVariants", "AWS takes one shadow variant beside one production variant")


def _capacity(fine: Json) -> Iterator[Problem]:
    least, most = _known(fine, "autoscalingMinCapacity", None), _known(fine, "autoscalingMaxCapacity", None)
    for name, other in _PAIRED:
        if name in fine and other not in fine:
            yield Problem(f"$.{other}", f"is missing, and {name} is there")
    if least is not None and least < 1 and "asyncInferenceConfig" not in fine:
        yield Problem("$.autoscalingMinCapacity", f"{least}, at least 1: only an asynchronous endpoint scales to 0")
    if least is not None and most is not None:
        yield from _bounds(fine, least, most)
    if _PAIRED_FIELDS & fine.keys():
        yield from _burstable(fine)


_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_PAIRED = (
    ("autoscalingMinCapacity", "autoscalingMaxCapacity"),
    ("autoscalingMaxCapacity", "autoscalingMinCapacity"),
    ("targetTrackingScalingPolicyConfiguration", "autoscalingMaxCapacity"),
)
_PAIRED_FIELDS = {name for name, _ in _PAIRED}


def _bounds(fine: Json, least: int, most: int) -> Iterator[Problem]:
    if least > most:
        yield Problem("$.autoscalingMinCapacity", f"{least} is above autoscalingMaxCapacity {most}")
        return
    least = max(least, 1)
    for path, variant in _variants_of(fine, "productionVariants"):
        count = _known(variant, "InitialInstanceCount", least)
        if not least <= count <= most:
            yield Problem(f"{path}.InitialInstanceCount", f"{count} lies outside autoscaling's {least} to {most}")


def _burstable(fine: Json) -> Iterator[Problem]:
    for path, variant in _variants_of(fine, "productionVariants"):
        if str(_known(variant, "InstanceType", "")).startswith("ml.t"):
            yield Problem(f"{path}.InstanceType", "burstable instances cannot be auto scaled: take ml.m or ml.c")


def _policy(fine: Json) -> Iterator[Problem]:
    policy = _known(fine, "targetTrackingScalingPolicyConfiguration", {})
    path = "$.targetTrackingScalingPolicyConfiguration"
    kinds = [one for one in ("PredefinedMetricSpecification", "CustomizedMetricSpecification") if one in policy]
    if policy and len(kinds) != 1:
        yield Problem(path, "needs one of PredefinedMetricSpecification and CustomizedMetricSpecification")
    if _known(policy, "TargetValue", 1) <= 0:
        yield Problem(f"{path}.TargetValue", "must be above 0")
    predefined = _known(_known(policy, "PredefinedMetricSpecification", {}), "PredefinedMetricType", None)
    if "asyncInferenceConfig" in fine and predefined == "SageMakerVariantInvocationsPerInstance":
        yield Problem(f"{path}.PredefinedMetricSpecification", "asynchronous endpoints do not publish this metric: "
                      "leave the policy out, and the backlog of each instance decides")  # fmt: skip


_NAMESPACE = re.compile(r"(?!AWS/|:)[A-Za-z0-9_.#/:-]{1,240}")
"""What the container takes; it would not start with another. There is room for a shadow's ending."""
_OF_THE_MODEL = (
    "modelDataUrl", "environment", "vpcConfig", "enableNetworkIsolation", "roleArn", "historyTable", "metricsNamespace",
)  # fmt: skip


def _container(fine: Json) -> Iterator[Problem]:
    for name in _OF_THE_MODEL:
        if name in fine and "image" not in fine:
            yield Problem(f"$.{name}", "is for a model made here: it needs image")
    if not _TABLE.fullmatch(_known(fine, "historyTable", DEFAULT_TABLE)):
        yield Problem("$.historyTable", "3 to 255 letters, digits, dots, dashes and underscores")
    if not _NAMESPACE.fullmatch(_known(fine, "metricsNamespace", DEFAULT_METRICS)):
        yield Problem("$.metricsNamespace", "1 to 240 letters, digits and _.#/:-, and it does not begin with AWS/ or :")
    mode = _known(_known(fine, "environment", {}), "AUTOPILOT_HISTORY_MODE", "read-only")
    if "shadowProductionVariants" in fine and mode != "read-only":
        yield Problem("$.environment.AUTOPILOT_HISTORY_MODE", "a shadow gets copies of requests: it must not write")


_RULES: tuple[Callable[[Json], Iterator[Problem]], ...] = (
    _names, _variants, _serverless, _shadows, _capacity, _policy, _container,
)  # fmt: skip


def _all_variants(fine: Json) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in _VARIANTS:
        yield from _variants_of(fine, name)


def _variants_of(fine: Json, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    listed = _known(fine, name, [])
    for position, variant in enumerate(listed if isinstance(listed, list) else []):
        if variant is not FAULTY:
            yield f"$.{name}[{position}]", variant


def _wanted(payload: dict[str, Any]) -> Wanted:
    scaling = _scaling(payload)
    variants = [
        *(_variant(one, scaling, False) for one in payload["productionVariants"]),
        *(_variant(one, None, True) for one in payload.get("shadowProductionVariants", [])),
    ]
    known = {"endpointName", "productionVariants", "shadowProductionVariants", "image", "historyTable", "tags"}
    return Wanted(
        payload["endpointName"], tuple(variants), scaling, payload.get("image"),
        payload.get("historyTable", DEFAULT_TABLE), payload.get("metricsNamespace", DEFAULT_METRICS),
        {name: value for name, value in payload.items() if name not in known}, payload.get("tags", {}),
        tuple(_notes([one for _, one in _all_variants(payload)])),
    )  # fmt: skip


def _variant(given: Json, scaling: Scaling | None, shadow: bool) -> Variant:
    ours = {"ModelName", "InitialInstanceCount", *LEFT_OUT}
    request = {name: value for name, value in given.items() if name not in ours}
    count = given.get("InitialInstanceCount", max(1, scaling.least) if scaling else 1)
    return Variant(given["VariantName"], given.get("ModelName"),
                   None if "ServerlessConfig" in given else count, request, shadow)  # fmt: skip


def _scaling(payload: Json) -> Scaling | None:
    if "autoscalingMaxCapacity" not in payload:
        return None
    name = "targetTrackingScalingPolicyConfiguration"
    default = backlog_policy(payload["endpointName"]) if "asyncInferenceConfig" in payload else DEFAULT_POLICY
    return Scaling(payload["autoscalingMinCapacity"], payload["autoscalingMaxCapacity"], payload.get(name, default))


def backlog_policy(endpoint: str) -> Json:
    """Asynchronous endpoints scale on waiting requests: five for each instance."""
    return {
        "TargetValue": 5.0,
        "CustomizedMetricSpecification": {
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Namespace": "AWS/SageMaker",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
            "Statistic": "Average",
        },
        "ScaleOutCooldown": 60,
        "ScaleInCooldown": 300,
        "DisableScaleIn": False,
    }


def _notes(variants: Sequence[Json]) -> Iterator[str]:
    for variant in variants:
        if "AcceleratorType" in variant:
            yield (
                f"variant {variant['VariantName']}: AcceleratorType {variant['AcceleratorType']} is left out, "
                "Elastic Inference has ended"
            )
