"""What may be decided at once: deciding together must give what deciding one after the other gives."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from autopilot.service import Answer, Ask, Refusal

Outcome = Answer | Refusal
Decide = Callable[[Sequence[Ask]], list[Outcome]]


def runs(requests: Iterable[set[str]]) -> Iterator[slice]:
    """Runs of requests, given the fleets of each, of which no two concern the same fleet."""
    first = stop = 0
    seen: set[str] = set()
    for at, fleets in enumerate(requests):
        if not seen.isdisjoint(fleets):
            yield slice(first, at)
            first, seen = at, set()
        seen |= fleets
        stop = at + 1
    yield slice(first, stop)


def decide_in_order(decide: Decide, asks: Sequence[Ask]) -> list[Outcome]:
    """Recorded data, as Batch Transform sends it: the rows before are the history of the rows after, fleet by fleet.

    What `decide` says when each fleet's asks come one after the other, in the order given; order is kept.
    """
    outcomes: dict[int, Outcome] = {}
    for places in rounds([ask.now.fleet for ask in asks]):
        outcomes |= zip(places, decide([asks[place] for place in places]), strict=True)
    return [outcomes[place] for place in range(len(asks))]


def rounds(fleets: Sequence[str]) -> list[list[int]]:
    """Places of what may be decided at once: the first of each fleet, then the second of each, and so on."""
    found: list[list[int]] = []
    count: dict[str, int] = {}
    for place, fleet in enumerate(fleets):
        before = count.get(fleet, 0)
        count[fleet] = before + 1
        if before == len(found):
            found.append([])
        found[before].append(place)
    return found
