"""Whether another model is to serve: a link that names it, as `autopilot promote` makes one, is looked at now and then.

A directory that is no link may be half-written at any moment, and is read at the start alone.
"""

import os
from collections.abc import Sequence
from pathlib import Path


class ModelWatch:
    """What some links named when it was asked last; a link that is not there names nothing."""

    def __init__(self, links: Sequence[Path]) -> None:
        self._links = links
        self._named = self._look()

    def changed(self) -> bool:
        """Whether any of them names another model than at the last look."""
        before, self._named = self._named, self._look()
        return self._named != before

    def _look(self) -> list[str | None]:
        return [_named(link) for link in self._links]


def _named(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None
