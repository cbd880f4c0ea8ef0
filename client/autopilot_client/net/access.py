"""As whom a service outside the cluster is asked, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """How a request shows who asks. Files are read with each request, so that what is renewed counts.

    token_file   a bearer token
    username, password_file   basic authentication
    headers      further ones, as pairs
    ca_file      the authorities (PEM) to trust in place of the system's
    sign         region and service of AWS, for SigV4
    """

    token_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str | None = None
    sign: tuple[str, str] | None = None


NOBODY = Access()
