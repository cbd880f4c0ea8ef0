"""What the commands of this room have in common: which store, which fleets, how far back, and how they refuse."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from autopilot.learning.stored import MOST_DAYS
from autopilot.ports import History, HistoryUnavailableError
from autopilot.settings import Settings, SettingsError
from autopilot.wiring import open_store

_SECONDS_PER_FLEET = 30.0
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([dh])")


class RefusedError(click.ClickException):
    """What was asked for cannot be done; the message says what to mend. Exit code 2."""

    exit_code = 2


class NothingYetError(RefusedError):
    """There is nothing to learn from yet."""


class UnavailableError(RefusedError):
    """The store does not answer now."""


class DaysType(click.ParamType[float, str]):
    """A span as `14d` or `36h`, in days."""

    name = "span"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Days. Fails for other forms, for nothing, and for more than stores keep."""
        found = _SPAN.fullmatch(value)
        days = float(found[1]) / (1 if found[2] == "d" else 24) if found else 0.0
        if not 0 < days <= MOST_DAYS:
            self.fail(f"{value!r}: say a span such as 14d or 36h, up to {MOST_DAYS}d: stores keep no more", param, ctx)
        return days


class TimeType(click.ParamType[float | None, str]):
    """A time in RFC 3339, with its zone, in seconds since the epoch; `-` for none."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Seconds. Fails for what is no time, and for one without a zone: nobody knows whose it is."""
        if value == "-":
            return None
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: say a time such as 2026-11-30T03:40:00Z, or -", param, ctx)
        if at.tzinfo is None:
            self.fail(f"{value!r} has no zone: say it too, as in 2026-11-30T03:40:00Z (UTC)", param, ctx)
        return at.timestamp()


store_option = click.option(
    "--store", metavar="URL", help="sqlite:///PATH or dynamodb://TABLE.  [default: AUTOPILOT_HISTORY]"
)
fleet_option = click.option("--fleet", "fleets", multiple=True, help="Only this fleet; may be given several times.")


def settings_for(store: str | None) -> Settings:
    """The settings of the environment, with another store where one is given. Raises RefusedError."""
    try:
        return Settings.from_env(os.environ | ({"AUTOPILOT_HISTORY": store} if store else {}))
    except SettingsError as error:
        raise RefusedError(str(error).replace("AUTOPILOT_HISTORY is", "--store is") if store else str(error)) from error


@contextmanager
def opened(settings: Settings) -> Iterator[History]:
    """The store, for reading. Raises RefusedError where there is none, or where it does not answer."""
    place = settings.history_place()
    if place.kind == "off":
        raise RefusedError("AUTOPILOT_HISTORY is off: there is no history; name one with --store")
    if place.kind == "sqlite" and not Path(place.where).is_file():
        raise RefusedError(
            f"{place.where} is not there: name the file that `serve` writes, with --store sqlite:///PATH"
        )
    history = open_store(place, _SECONDS_PER_FLEET)
    try:
        yield history
    except HistoryUnavailableError as error:
        raise UnavailableError(str(error)) from error
    finally:
        history.close()


def chosen(history: History, wanted: Sequence[str]) -> list[str]:
    """The fleets that are asked for, or all. Raises RefusedError for one that is not there, and where none is."""
    known = history.fleets()
    if not known:
        raise NothingYetError("the history is empty: no fleet has asked this store's endpoint in the last 15 days")
    if missing := [fleet for fleet in wanted if fleet not in known]:
        some = ", ".join(known[:10]) + (" …" if len(known) > 10 else "")
        raise RefusedError(f"nothing is stored of {', '.join(missing)}. Known: {some}")
    return list(wanted) or known


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
