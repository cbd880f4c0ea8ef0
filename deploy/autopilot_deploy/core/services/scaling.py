"""Calls to Application Auto Scaling."""

from autopilot_deploy.core.account import ScalingTarget
from autopilot_deploy.core.call import AwsCall, Json

SERVICE = "application-autoscaling"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
POLICY = "SageMakerEndpointInvocationScalingPolicy"
"""SageMaker's console shows a policy only under this name."""


_VARIANTS = {"ServiceNamespace": "sagemaker", "ScalableDimension": DIMENSION}


def _of(resource: str) -> dict[str, object]:
    return {**_VARIANTS, "ResourceId": resource}


def describe_targets() -> AwsCall:
    """The targets of all endpoints: only a listing shows those whose variants are gone."""
    return AwsCall(SERVICE, "DescribeScalableTargets", _VARIANTS)


def describe_target(resource: str) -> AwsCall:
    """One target."""
    return AwsCall(SERVICE, "DescribeScalableTargets", {**_VARIANTS, "ResourceIds": [resource]})


def describe_policies(resource: str) -> AwsCall:
    """The policies of one target."""
    return AwsCall(SERVICE, "DescribeScalingPolicies", _of(resource))


def register(resource: str, least: int, most: int) -> AwsCall:
    """A variant's bounds."""
    return AwsCall(SERVICE, "RegisterScalableTarget", _of(resource) | {"MinCapacity": least, "MaxCapacity": most})


def put_policy(resource: str, policy: Json, name: str = POLICY) -> AwsCall:
    """A variant's target-tracking policy."""
    more = {
        "PolicyName": name,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": policy,
    }
    return AwsCall(SERVICE, "PutScalingPolicy", _of(resource) | more)


def deregister(resource: str) -> AwsCall:
    """Delete a target, and its policies and their alarms with it."""
    return AwsCall(SERVICE, "DeregisterScalableTarget", _of(resource), done_if=("ObjectNotFoundException",))


def registers(call: AwsCall) -> bool:
    """Whether a call sets bounds."""
    return call.operation == "RegisterScalableTarget"


def bounds_of(target: Json) -> tuple[str, int, int]:
    """A target's resource and its bounds, from a request or from an answer."""
    return target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]


def restore(target: ScalingTarget) -> tuple[AwsCall, ...]:
    """A target as it was, with its policies."""
    policies = (put_policy(target.resource, policy, name) for name, policy in target.policies.items())
    return register(target.resource, target.least, target.most), *policies
