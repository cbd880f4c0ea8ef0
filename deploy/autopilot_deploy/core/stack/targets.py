"""The states that free the targets of auto scaling, set them up, and put them back."""

from autopilot_deploy.core.services import scaling
from autopilot_deploy.core.stack.jsonata import merged, query
from autopilot_deploy.core.stack.states import PUT_BACK, State, call, choice, each, failing, leaving

_SCALABLE = {"ServiceNamespace": "sagemaker", "ScalableDimension": scaling.DIMENSION}
_RESOURCE = "'endpoint/' & $endpointName & '/variant/' & "


def freeing() -> dict[str, State]:
    """Targets that an update needs out of the way, off."""
    target = "{'ResourceId': $t.ResourceId, 'MinCapacity': $t.MinCapacity, 'MaxCapacity': $t.MaxCapacity}"
    variant = "$split($t.ResourceId, '/')[3]"
    changes = f"$not($lookup($liveTypes, {variant}) = $lookup($newTypes, {variant}))"
    policy = "{'PolicyName': $p.PolicyName, 'Configuration': $p.TargetTrackingScalingPolicyConfiguration}"
    policies = (
        "[$map($states.result.ScalingPolicies[$exists(TargetTrackingScalingPolicyConfiguration)], "
        f"function($p) {{ {policy} }})]"
    )
    return {
        "Look for scalable targets": call(
            "applicationautoscaling:describeScalableTargets",
            {**_SCALABLE, "ResourceIds": query(f"[$map($keys($liveTypes), function($v) {{ {_RESOURCE}$v }})]")},
            Comment="AWS refuses to change the type of a scaled variant, or to remove it: such targets are freed "
            "first, and come back if the update fails.",
            Assign={
                "freed": query(
                    f"[$filter([$map($states.result.ScalableTargets, function($t) {{ {target} }})], "
                    f"function($t) {{ $not($scaled) or {changes} }})]"
                )
            },
            Output={},
            Catch=failing("scalable targets could not be read"),
            Next="Read their policies",
        ),
        "Read their policies": each(
            "$freed",
            {
                "Read the policies": call(
                    "applicationautoscaling:describeScalingPolicies",
                    {**_SCALABLE, "ResourceId": query("$states.input.ResourceId")},
                    Output=query(merged("$states.input", f"{{'Policies': {policies}}}")),
                    End=True,
                )
            },
            Assign={"freed": query("$states.result")},
            Output={},
            Catch=failing("scaling policies could not be read", freed=[]),
            Next="Free scalable targets",
        ),
        "Free scalable targets": each(
            "$freed",
            {
                "Deregister": call(
                    "applicationautoscaling:deregisterScalableTarget",
                    {**_SCALABLE, "ResourceId": query("$states.input.ResourceId")},
                    Output={},
                    Catch=leaving("Gone", errors=["ApplicationAutoScaling.ObjectNotFoundException"]),
                    Next="Gone",
                ),
                "Gone": {"Type": "Pass", "End": True},
            },
            Output={},
            Catch=failing("a scalable target could not be freed"),
            Next="Update the endpoint",
        ),
    }


def scaling_up() -> dict[str, State]:
    """Bounds and policy of each variant, once the new config serves."""
    resource = query(f"{_RESOURCE}$states.input.VariantName")
    return {
        "Is it to scale?": choice(("$scaled", "Scale the variants"), default="Look for old configs"),
        "Scale the variants": each(
            "[$variants[$exists(InstanceType)]]",
            {
                "Register": call(
                    "applicationautoscaling:registerScalableTarget",
                    {
                        **_SCALABLE,
                        "ResourceId": resource,
                        "MinCapacity": query("$minCapacity"),
                        "MaxCapacity": query("$maxCapacity"),
                    },
                    Assign={"resource": resource},
                    Next="Register the policy",
                ),
                "Register the policy": _put_policy(f"{scaling.POLICY}", query("$policy"), "$resource"),
            },
            Output={},
            Catch=failing("the endpoint is in service, but auto scaling could not be set up"),
            Next="Look for old configs",
        ),
    }


def putting_back() -> dict[str, State]:
    """Targets as they were before. Bounds that another deployment has set meanwhile are not ours to change."""
    there = "$states.result.ScalableTargets"
    ours = f"$scaled and {there}[0].MinCapacity = $minCapacity and {there}[0].MaxCapacity = $maxCapacity"
    policies = {
        "Re-register the policy": _put_policy(
            query("$states.input.PolicyName"), query("$states.input.Configuration"), "$resource"
        )
    }
    return {
        PUT_BACK: each(
            "$freed",
            {
                "Look at the target": call(
                    "applicationautoscaling:describeScalableTargets",
                    {**_SCALABLE, "ResourceIds": [query("$states.input.ResourceId")]},
                    Assign={
                        "target": query("$states.input"),
                        "resource": query("$states.input.ResourceId"),
                        "policies": query("[$states.input.Policies]"),
                        "asLeft": query(f"$count({there}) = 0 or ({ours})"),
                    },
                    Output={},
                    Next="Is it as this run left it?",
                ),
                "Is it as this run left it?": choice(("$asLeft", "Re-register"), default="It is another deployment's"),
                "It is another deployment's": {"Type": "Pass", "End": True},
                "Re-register": call(
                    "applicationautoscaling:registerScalableTarget",
                    {
                        **_SCALABLE,
                        "ResourceId": query("$resource"),
                        "MinCapacity": query("$target.MinCapacity"),
                        "MaxCapacity": query("$target.MaxCapacity"),
                    },
                    Output={},
                    Next="Re-register its policies",
                ),
                "Re-register its policies": each("$policies", policies, Output={}, End=True),
            },
            Output={},
            Catch=[
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": {
                        "problem": query(
                            "$problem & '; and auto scaling could not be put back: ' & $states.errorOutput.Cause"
                        )
                    },
                    "Output": {},
                    "Next": "Tell of the failure",
                }
            ],
            Next="Tell of the failure",
        ),
    }


def _put_policy(name: str, policy: str, resource: str) -> State:
    return call(
        "applicationautoscaling:putScalingPolicy",
        {
            **_SCALABLE,
            "ResourceId": query(resource),
            "PolicyName": name,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": policy,
        },
        Output={},
        End=True,
    )
