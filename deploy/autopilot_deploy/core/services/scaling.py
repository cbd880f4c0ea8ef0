"""Calls to Application Auto Scaling."""

from autopilot_deploy.core.call import Call, Json
from autopilot_deploy.core.found import Target

SERVICE = "application-autoscaling"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
POLICY = "SageMakerEndpointInvocationScalingPolicy"
"""SageMaker's console shows a policy only under this name."""


def _of(resource: str) -> dict[str, object]:
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


def describe_targets() -> Call:
    """The targets of all endpoints: only a listing shows those whose variants are gone."""
    return Call(SERVICE, "DescribeScalableTargets", {"ServiceNamespace": "sagemaker", "ScalableDimension": DIMENSION})


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
