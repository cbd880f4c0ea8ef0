"""`autopilot history export`: what a store remembers of fleets, as files that `train` reads."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from autopilot.demand.export_file import write_demand_csv
from autopilot.demand.series import LEAST_LEARNED_DAYS
from autopilot.learning.commands.asked import (
    DaysType,
    NothingYetError,
    RefusedError,
    chosen,
    fleet_option,
    now,
    opened,
    settings_for,
    store_option,
)
from autopilot.learning.export import believed_demand, card, too_short
from autopilot.learning.stored import MOST_DAYS, StoredFleet, read_fleet
from autopilot.ports import History, ModelError
from autopilot.settings import Settings
from autopilot.wiring import build_policy

DEMAND_FILE, CARD_FILE = "demand.csv", "export.json"


@click.group()
def history() -> None:
    """What a store remembers of your fleets."""


@history.command()
@store_option
@fleet_option
@click.option(
    "--since", type=DaysType(), default=f"{MOST_DAYS - 1}d", show_default=True, metavar="SPAN", help="36h, 14d"
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory for the files.")
@click.option(
    "--nothing-yet",
    "waiting",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the reason where there is nothing to export yet: that is no failure then (exit code 0).",
)
def export(store: str | None, fleets: tuple[str, ...], since: float, out: Path, waiting: Path | None) -> None:
    """Write what fleets needed as `demand.csv`, for the training channel of `train`, and its contents as `export.json`.

    Outages that the hold did not believe are gaps in the demand, and listed in `export.json`; so are fleets of less
    than two days. It may run while the endpoint writes: only slots that are over are taken.
    """
    settings = settings_for(store)
    try:
        with opened(settings) as source:
            for line in write_export(settings, source, since, fleets, out):
                click.echo(line)
    except NothingYetError as error:
        if not waiting:
            raise
        _put_off(waiting, str(error))


def _put_off(waiting: Path, reason: str) -> None:
    try:
        waiting.parent.mkdir(parents=True, exist_ok=True)
        waiting.write_text(f"{reason}\n", "utf-8")
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error
    click.echo(f"nothing yet: {reason}")


def write_export(settings: Settings, source: History, since: float, fleets: Sequence[str], out: Path) -> Iterator[str]:
    """Write both files; what came of it, line by line. Raises RefusedError, and HistoryUnavailableError."""
    at = now()
    found = [read_fleet(source, fleet, at, since) for fleet in chosen(source, fleets)]
    reasons = {one.fleet: why for one in found if (why := too_short(one))}
    kept = [one for one in found if one.fleet not in reasons]
    yield from (f"note: {why}" for why in reasons.values())
    if not kept:
        raise NothingYetError(f"no fleet has {LEAST_LEARNED_DAYS:g} days of history: wait, or name a longer --since")
    yield _write(out, kept, card(kept, _policy(settings), list(reasons.values())))


def _policy(settings: Settings) -> str:
    try:
        return build_policy(Path(settings.autopilot_model_dir)).name
    except ModelError as error:
        raise RefusedError(str(error)) from error


def _write(out: Path, kept: list[StoredFleet], told: dict[str, object]) -> str:
    """Both files, each whole or not at all: hidden until then, and `train` reads no hidden files."""
    demand, notes = out / DEMAND_FILE, out / CARD_FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        unfinished = out / f".{DEMAND_FILE}"
        write_demand_csv(unfinished, {one.fleet: believed_demand(one) for one in kept}, named=True)
        os.replace(unfinished, demand)
        notes.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error
    doubted = sum(int(one.doubted.sum()) for one in kept)
    return f"wrote {demand}: {len(kept)} fleets, {sum(map(len, kept)) - doubted:,} observations" + (
        f"; {doubted} more were an outage hold's and are left out" if doubted else ""
    )
