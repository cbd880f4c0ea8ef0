"""Show who asks: a token, a password, headers, or AWS' signature of the request."""

import base64
from collections.abc import Mapping
from typing import Any

from autopilot_client.net.access import Access
from autopilot_client.net.aws import new_session


class SignError(Exception):
    """What a request should be signed with is missing or no use. The message does not repeat it."""


def signed(
    access: Access, request: tuple[str, str, bytes | None], headers: Mapping[str, str], session: Any = None  # noqa: ANN401
) -> dict[str, str]:  # fmt: skip
    """The headers of a request (method, address, body) with what shows who asks. Raises SignError."""
    found = {**headers, **dict(access.headers)}
    if access.token_file:
        found["Authorization"] = f"Bearer {_secret(access.token_file, 'token')}"
    if access.username is not None and access.password_file:
        pair = f"{access.username}:{_secret(access.password_file, 'password')}"
        found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return _sigv4(access.sign, request, found, session or new_session()) if access.sign else found


def _sigv4(
    sign: tuple[str, str], request: tuple[str, str, bytes | None], headers: dict[str, str], session: Any  # noqa: ANN401
) -> dict[str, str]:  # fmt: skip
    """Sign with the credentials that the pod has (IRSA, Pod Identity, a profile), as boto3 finds them."""
    from botocore.auth import SigV4Auth  # noqa: PLC0415  boto3 is loaded only where it is needed
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    (region, service), (method, url, body) = sign, request
    made = AWSRequest(method=method, url=url, data=body, headers=headers)
    try:
        credentials = session.get_credentials()
        if credentials is None:
            raise SignError("no credentials of AWS: give the ServiceAccount a role, or set AWS_ACCESS_KEY_ID")
        SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(made)
    except BotoCoreError as error:
        raise SignError(f"not signed: {error}") from error
    return dict(made.headers.items())


def _secret(path: str, what: str) -> str:
    """A token or password, alone in its file. Raises SignError."""
    try:
        with open(path, encoding="utf-8") as file:
            secret = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise SignError(f"{path}: {why}") from error
    if not secret or not secret.isascii() or not secret.isprintable() or (what == "token" and " " in secret):
        raise SignError(f"{path}: not one {what} on one line")
    return secret
