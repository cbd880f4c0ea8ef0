"""One item after the other, in this very process."""

from collections.abc import Callable, Iterable, Iterator

from autopilot.engines.attempt import attempt
from autopilot.ports import Item, ItemFailure, Result, never


class SerialEngine:
    """The default. See ports.Engine."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], check: Callable[[], None] = never
    ) -> Iterator[tuple[int, Result | ItemFailure]]:
        """Place and result of each item; `check` is called before and after each."""
        for place, item in enumerate(items):
            check()
            outcome = attempt(function, item)
            check()
            yield place, outcome
