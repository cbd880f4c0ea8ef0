"""Addresses that carry secrets, a password or a token: what of them may be said in logs, reports and metadata."""

from urllib.parse import parse_qsl, urlsplit

_SHORTEST = 4
"""A shorter value is no secret, and taking it out would garble every text."""


def shown(url: str) -> str:
    """The address without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an address that is none)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{'?***' if parts.query else ''}"


def without_secrets(text: str, url: str) -> str:
    """The text, with three stars for whatever the address has as user, password or query."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return {url}
    user = parts.netloc.rpartition("@")[0]
    values = [value for _, value in parse_qsl(parts.query, keep_blank_values=True)]
    found = {user, *user.split(":"), parts.query, *values}
    found |= {pair.partition("=")[2] for pair in parts.query.split("&")}
    return {one for one in found if len(one) >= _SHORTEST}
