"""Models beside each other over a store's history, and the outages that put a change of them off."""

from collections.abc import Iterator
from pathlib import Path

from autopilot.backtest.as_served import replay_as_served
from autopilot.backtest.replay import DAY_SECONDS
from autopilot.learning.commands.asked import chosen, opened
from autopilot.learning.promotion import HELD_DAYS, DailyCosts, costs_of, held
from autopilot.learning.stored import read_fleet
from autopilot.settings import Settings
from autopilot.wiring import build_policy


def costs(settings: Settings, served: Path, own: Path, at: float) -> Iterator[DailyCosts]:
    """What two models cost on every fleet's stored whole days before a time, decided as the settings say.

    Raises ModelError, RefusedError where there is no store or nothing in it, and UnavailableError.
    """
    config, policy = replay_as_served(settings, build_policy(served)), build_policy(own)
    midnight = at // DAY_SECONDS * DAY_SECONDS
    with opened(settings) as history:
        for fleet in chosen(history, ()):
            yield from costs_of([read_fleet(history, fleet, midnight)], config, policy)


def outages(settings: Settings, at: float) -> str:
    """The outages that are held at a time, in words; empty where there is none. Raises as `costs`."""
    with opened(settings) as history:
        fleets = held((read_fleet(history, fleet, at, HELD_DAYS) for fleet in chosen(history, ())), at)
    return f"an outage is held for {', '.join(fleets)}" if fleets else ""
