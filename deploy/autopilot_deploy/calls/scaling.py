"""Calls to Application Auto Scaling."""

from autopilot_deploy.core.call import Call, Json
from autopilot_deploy.core.found import Target
from autopilot_deploy.core.names import Names

SERVICE = "application-autoscaling"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
POLICY = "SageMakerEndpointInvocationScalingPolicy"
"""SageMaker's console shows a policy only under this name."""


def _of(resource: str) -> dict[str, object]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


def describe_targets(names: Names, variants: list[str]) -> Call:
    """The targets of some variants."""
    resources = [names.variant(one) for one in variants]
    request = {"ServiceNamespace": "sagemaker", "ResourceIds": resources, "ScalableDimension": DIMENSION}
    return Call(SERVICE, "DescribeScalableTargets", request)


def describe_policies(resource: str) -> Call:
    """The policies of one target."""
    return Call(SERVICE, "DescribeScalingPolicies", _of(resource))


def register(resource: str, least: int, most: int) -> Call:
    """A variant's bounds."""
    return Call(SERVICE, "RegisterScalableTarget", _of(resource) | {"MinCapacity": least, "MaxCapacity": most})


def put_policy(resource: str, policy: Json, name: str = POLICY) -> Call:
    """A variant's target-tracking policy."""
    more = {
        "PolicyName": name,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": policy,
    }
    return Call(SERVICE, "PutScalingPolicy", _of(resource) | more)


def deregister(resource: str) -> Call:
    """A target, away, and its policies and their alarms with it."""
    return Call(SERVICE, "DeregisterScalableTarget", _of(resource), done_if=("ObjectNotFoundException",))


def restore(target: Target) -> tuple[Call, ...]:
    """A target as it was, with its policies."""
    policies = (put_policy(target.resource, policy, name) for name, policy in target.policies.items())
    return register(target.resource, target.least, target.most), *policies
