"""Clients of AWS whose every call has an end, also the calls that only fetch credentials."""

from typing import Any

from botocore.exceptions import BotoCoreError

from autopilot_client.ports import ConfigError

CREDENTIALS = {"connect_timeout": 1, "read_timeout": 5, "retries": {"total_max_attempts": 2}}
"""Limits of the exchange of a pod's token for credentials (IRSA). By default it waits for a minute, five times, and
would hold every pass for as long."""


def new_session() -> Any:  # noqa: ANN401  boto3's stubs know services by literal names alone
    """What the clients of one process share: credentials, and the descriptions of services, which take memory.

    boto3 is imported only where it is needed.
    """
    import boto3  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config as BotoConfig  # noqa: PLC0415

    session = botocore.session.get_session()
    session.set_default_client_config(BotoConfig(**CREDENTIALS))  # type: ignore[arg-type]
    return boto3.Session(botocore_session=session)


def new_client(session: Any, service: str, **settings: Any) -> Any:  # noqa: ANN401  boto3's own
    """A client of a service. Raises ConfigError, for want of a region mostly."""
    try:
        return session.client(service, **settings)
    except (BotoCoreError, ValueError) as error:
        remedy = "write region: us-west-2 beside it, or set AWS_DEFAULT_REGION"
        raise ConfigError(f"{service}: {error}; {remedy}") from error
