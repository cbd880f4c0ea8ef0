"""Clients of AWS whose every call has an end, also the calls that only fetch credentials."""

from typing import Any

from botocore.exceptions import BotoCoreError

from autopilot_client.config import ConfigError


def client(service: str, region: str | None, url: str | None, limits: dict[str, Any]) -> Any:  # noqa: ANN401  boto3's own
    """A boto3 client; `limits` are botocore's time-outs and attempts. Raises ConfigError, for want of a region mostly.

    The limits are the session's: by default the exchange of a pod's token for credentials (IRSA) waits a minute, five
    times, and would hold every pass for as long. boto3 is imported only where it is needed.
    """
    import boto3  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config as BotoConfig  # noqa: PLC0415

    session = botocore.session.get_session()
    session.set_default_client_config(BotoConfig(**limits))
    try:
        maker: Any = boto3.Session(botocore_session=session)  # its stubs know services by literal names alone
        return maker.client(service, region_name=region, endpoint_url=url)
    except (BotoCoreError, ValueError) as error:
        remedy = "write region: us-west-2 beside it, or set AWS_DEFAULT_REGION"
        raise ConfigError(f"{service}: {error}; {remedy}") from error
