"""What every section of the document has in common, and the forms of single values."""

from typing import Annotated

import msgspec

from autopilot_client.net.access import Access

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Namespace = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z", max_length=63)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://\S+$")]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the document. Unknown names are refused: a misspelt limit must not become a default."""


class BasicAuth(Section, frozen=True):
    """A name, and a file with the password."""

    username: Text
    password_file: Text


class SigV4(Section, frozen=True):
    """Sign requests for AWS, as Amazon Managed Prometheus (`aps`) and API Gateway (`execute-api`) want them."""

    region: Text
    service: Text = "execute-api"


class WebService(Section, frozen=True, kw_only=True):
    """A service that is asked over HTTP, and as whom."""

    token_file: Text | None = None
    basic_auth: BasicAuth | None = None
    headers: dict[Text, str] = {}
    ca_file: Text | None = None
    sigv4: SigV4 | None = None

    @property
    def access(self) -> Access:
        """As whom it is asked."""
        basic = self.basic_auth
        return Access(
            token_file=self.token_file,
            username=basic.username if basic else None,
            password_file=basic.password_file if basic else None,
            headers=tuple(sorted(self.headers.items())),
            ca_file=self.ca_file,
            sign=(self.sigv4.region, self.sigv4.service) if self.sigv4 else None,
        )
