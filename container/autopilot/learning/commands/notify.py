"""Telling a webhook, in the form that chat services take: {"text": …}."""

import json
from pathlib import Path

import urllib3

_SECONDS = 10.0
_ATTEMPTS = 3


def notified(url_file: Path, text: str) -> str:
    """Post a text to the URL that a file holds; how that went, in words that do not hold the URL. Never raises."""
    try:
        url = url_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        return f"told nobody: {url_file} cannot be read ({error})"
    retry = urllib3.Retry(_ATTEMPTS, allowed_methods=None, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=1)
    try:
        with urllib3.PoolManager(timeout=_SECONDS, retries=retry) as pool:
            answer = pool.request(
                "POST", url, body=json.dumps({"text": text}).encode(), headers={"Content-Type": "application/json"}
            )
    except urllib3.exceptions.HTTPError as error:
        return f"told nobody: {type(error).__name__}"
    return "told the webhook" if answer.status < 300 else f"told nobody: the webhook answered {answer.status}"
