"""One bounded look at whoever is followed: its answer may be slow, dripping, huge, or not come.

aiohttp, because its time-out is for an exchange as a whole, where most clients count anew with every byte.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from autopilot.core.address import shown, without_secrets
from autopilot.explore.live.sight import FollowError

LONGEST_SECONDS = 5.0
LARGEST_ANSWER = 8 << 20
_PIECE = 65_536


class NotFoundError(FollowError):
    """There is no such page: whoever answers is something else."""


class _Resolver(ThreadPoolExecutor):
    """Where names are resolved. Nothing can end that early, so nobody waits for it: `asyncio.run` would."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class FollowedAddress:
    """The address that is followed, as the command line has it. Nothing else is ever asked."""

    url: str
    seconds: float = LONGEST_SECONDS
    largest: int = LARGEST_ANSWER

    @property
    def shown(self) -> str:
        """The address without its secrets."""
        return shown(self.url)

    def fetch(self, path: str, body: bytes | None = None) -> bytes:
        """The body of a 200 answer, within `seconds` and `largest` bytes. Raises FollowError.

        Redirects are not followed, so that nobody but the given address is asked, and nothing is unpacked.
        """
        try:
            return asyncio.run(self._exchange(self.url + path, body))
        except TimeoutError as error:
            raise FollowError(f"no complete answer within {self.seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FollowError(without_secrets(_words(error), self.url)) from error

    async def _exchange(self, url: str, body: bytes | None) -> bytes:
        asyncio.get_running_loop().set_default_executor(_Resolver(1))
        timeout = aiohttp.ClientTimeout(self.seconds)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, headers=headers) as session,
            session.request("GET" if body is None else "POST", url, data=body, allow_redirects=False) as response,
        ):
            if response.status == 404:
                raise NotFoundError("it has no such page (404)")
            if response.status != 200:
                raise FollowError(f"it answers {response.status}")
            return await self._body(response)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        answer = bytearray()
        async for piece in response.content.iter_chunked(_PIECE):
            answer += piece
            if len(answer) > self.largest:
                raise FollowError(f"its answer is larger than {self.largest >> 20} MB")
        return bytes(answer)


def _words(error: Exception) -> str:
    """The cause in words that whoever looks at a page can use."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"nobody can be connected to there ({error.os_error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what answers there speaks no HTTP"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return "it ended the connection before its answer was complete"
    return str(error).split("\n")[0] or type(error).__name__


def address_of(url: str) -> FollowedAddress:
    """The place that a command line names. Raises ValueError with the remedy."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write the address of a client or an endpoint, such as http://localhost:8000")
    if parts.query or parts.fragment:
        raise ValueError("leave away what comes after ? and #: only the address itself is needed")
    return FollowedAddress(url.rstrip("/").removesuffix("/invocations"))
