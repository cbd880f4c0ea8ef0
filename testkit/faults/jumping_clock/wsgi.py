"""What gunicorn's workers import. The file is named by CLOCK_OFFSET_FILE; no file, no number: the right time."""

import contextlib
import os
import time
from pathlib import Path

_right = time.time
_file = Path(os.environ["CLOCK_OFFSET_FILE"])


def _wrong() -> float:
    with contextlib.suppress(OSError, ValueError):
        return _right() + float(_file.read_text())
    return _right()


time.time = _wrong

from autopilot.serve.wsgi import app, decisions  # noqa: E402  after the clock is wrong, since defaults are bound by import

__all__ = ["app", "decisions"]
