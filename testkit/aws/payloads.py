"""Payloads of the endpoint deployer: the one that its page shows, and an image of ours."""

from typing import Any

IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/autopilot@sha256:" + "0" * 64

SEED_PAYLOAD: dict[str, Any] = {
    "endpointName": "test-endpoint",
    "productionVariants": [
        {
            "AcceleratorType": "ml.eia1.medium",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1,
            "InstanceType": "ml.c5.2xlarge",
            "ModelName": "h2o3-gbm-2019-10-22-17-57-58",
            "VariantName": "AllTraffic",
        }
    ],
    "autoscalingMinCapacity": 1,
    "autoscalingMaxCapacity": 4,
    "targetTrackingScalingPolicyConfiguration": {
        "TargetValue": 5000.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleOutCooldown": 60,
        "ScaleInCooldown": 300,
        "DisableScaleIn": False,
    },
}
