"""Calls to SageMaker's runtime."""

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.names import Names

SERVICE = "sagemaker-runtime"


def invoke(names: Names, body: bytes, formats: tuple[str, str], variant: str | None = None) -> AwsCall:
    """One request to the endpoint. `formats`: of the body, and of the answer."""
    request = {"EndpointName": names.endpoint, "Body": body, "ContentType": formats[0], "Accept": formats[1]}
    more = {"TargetVariant": variant} if variant else {}
    return AwsCall(SERVICE, "InvokeEndpoint", request | more, names.sagemaker("endpoint", names.endpoint))


def invoke_async(names: Names, body: bytes, content_type: str) -> AwsCall:
    """One request to an asynchronous endpoint; the answer is put into S3. `body`: up to 128,000 bytes."""
    request = {"EndpointName": names.endpoint, "Body": body, "ContentType": content_type}
    return AwsCall(SERVICE, "InvokeEndpointAsync", request, names.sagemaker("endpoint", names.endpoint))
