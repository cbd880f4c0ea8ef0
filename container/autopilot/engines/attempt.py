"""One item, done or not: what every engine makes of a function that raises."""

import traceback
from collections.abc import Callable

from autopilot.ports import Item, ItemFailure, Result


def attempt(function: Callable[[Item], Result], item: Item) -> Result | ItemFailure:
    """What the function makes of the item."""
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 - one bad item must not cost the others; its failure is told by name
        return ItemFailure(type(error).__name__, str(error), traceback.format_exc())
