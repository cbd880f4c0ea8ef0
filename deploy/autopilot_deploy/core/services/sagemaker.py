"""Calls to SageMaker."""

from collections.abc import Mapping

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.names import Names

ROLE_NOT_SPREAD = (
    "Could not assume role",
    "is invalid for this operation",
    "cannot be assumed",
    "Could not access model data",
    "trust relationship",
)
"""What SageMaker says while IAM has not yet spread a role that was just made, or its rights."""


def _call(operation: str, parameters: Json, resource: str = "*", retry_if: tuple[str, ...] = ()) -> AwsCall:
    return AwsCall("sagemaker", operation, parameters, resource, retry_if=retry_if)


def describe_endpoint(names: Names) -> AwsCall:
    """The endpoint."""
    return _call("DescribeEndpoint", {"EndpointName": names.endpoint}, names.sagemaker("endpoint", names.endpoint))


def describe_config(names: Names, config: str) -> AwsCall:
    """An endpoint config."""
    return _call("DescribeEndpointConfig", {"EndpointConfigName": config}, names.sagemaker("endpoint-config", config))


def describe_model(names: Names, model: str) -> AwsCall:
    """A model."""
    return _call("DescribeModel", {"ModelName": model}, names.sagemaker("model", model))


def list_configs(names: Names) -> AwsCall:
    """Endpoint configs that may be this endpoint's."""
    return _call("ListEndpointConfigs", {"NameContains": f"{names.endpoint}-"})


def list_models(names: Names) -> AwsCall:
    """Models that may be this endpoint's."""
    return _call("ListModels", {"NameContains": f"{names.endpoint}-"})


def list_tags(arn: str) -> AwsCall:
    """The tags of an endpoint, a config or a model."""
    return _call("ListTags", {"ResourceArn": arn}, arn)


def create_model(names: Names, request: Json) -> AwsCall:
    """A model, tagged."""
    return _call("CreateModel", request, names.sagemaker("model", request["ModelName"]), ROLE_NOT_SPREAD)


def create_config(names: Names, request: Json) -> AwsCall:
    """An endpoint config, tagged."""
    name = request["EndpointConfigName"]
    return _call("CreateEndpointConfig", request, names.sagemaker("endpoint-config", name))


def create_endpoint(names: Names, config: str, tags: list[dict[str, str]], deployment: Json | None) -> AwsCall:
    """The endpoint, tagged."""
    request = {"EndpointName": names.endpoint, "EndpointConfigName": config, "Tags": tags}
    more = {"DeploymentConfig": deployment} if deployment else {}
    return _call("CreateEndpoint", request | more, names.sagemaker("endpoint", names.endpoint))


def update_endpoint(names: Names, config: str, deployment: Json | None, keep_counts: bool) -> AwsCall:
    """The endpoint onto another config. `keep_counts`: the instance counts of this moment stand, not the config's."""
    request: dict[str, object] = {"EndpointName": names.endpoint, "EndpointConfigName": config}
    if keep_counts:
        kinds = ("DesiredWeight", "DataCaptureConfig")
        request["RetainAllVariantProperties"] = True
        request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": kind} for kind in kinds]
    if deployment:
        request["DeploymentConfig"] = deployment
    return _call("UpdateEndpoint", request, names.sagemaker("endpoint", names.endpoint))


def delete_endpoint(names: Names) -> AwsCall:
    """Delete the endpoint."""
    return _call("DeleteEndpoint", {"EndpointName": names.endpoint}, names.sagemaker("endpoint", names.endpoint))


def delete_config(names: Names, config: str) -> AwsCall:
    """Delete an endpoint config."""
    return _call("DeleteEndpointConfig", {"EndpointConfigName": config}, names.sagemaker("endpoint-config", config))


def delete_model(names: Names, model: str) -> AwsCall:
    """Delete a model."""
    return _call("DeleteModel", {"ModelName": model}, names.sagemaker("model", model))


def create_transform_job(names: Names, request: Mapping[str, object]) -> AwsCall:
    """A batch transform job."""
    arn = names.sagemaker("transform-job", str(request["TransformJobName"]))
    return AwsCall("sagemaker", "CreateTransformJob", request, arn, retry_if=ROLE_NOT_SPREAD)


def describe_transform_job(names: Names, job: str) -> AwsCall:
    """A batch transform job's state."""
    return _call("DescribeTransformJob", {"TransformJobName": job}, names.sagemaker("transform-job", job))
