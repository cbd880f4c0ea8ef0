"""`autopilot scoreboard`: what fleets cost, and what others would have made of them, from the stored history."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from autopilot.backtest.as_served import replay_as_served
from autopilot.backtest.command import LeadType
from autopilot.backtest.replay import ReplayConfig
from autopilot.core.fleet import Lead
from autopilot.learning import words
from autopilot.learning.commands.asked import (
    DaysType,
    RefusedError,
    chosen,
    fleet_option,
    now,
    opened,
    settings_for,
    store_option,
)
from autopilot.learning.models import checked
from autopilot.learning.scoreboard import PERIODS, FleetStanding, play_fleet, standings
from autopilot.learning.stored import read_fleet
from autopilot.policy.model_place import unpacked
from autopilot.ports import History, ModelError, Policy
from autopilot.settings import Settings
from autopilot.wiring import build_policy

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class ScoreboardRequest:
    """What was asked for on the command line; `scoreboard` documents each."""

    store: str | None
    fleets: tuple[str, ...]
    since: float | None
    lead: Lead | None
    candidate: Path | None
    server_hour: float | None
    html: Path | None
    json: Path | None


@click.command()
@store_option
@fleet_option
@click.option("--since", type=DaysType(), metavar="SPAN", help="The last 7d or 36h alone.  [default: 1d, 7d and 14d]")
@click.option("--lead", type=LeadType(), metavar="MINUTES", help="As `serve` has it: 12, or 10-15.")
@click.option("--candidate", type=click.Path(path_type=Path), help="A model directory, to see what it would have cost.")
@click.option(
    "--server-hour",
    type=click.FloatRange(min=0, max=1e6),
    help="Price of one server-hour.  [default: AUTOPILOT_SERVER_HOUR]",
)
@click.option("--html", type=_FILE, help="Write the scoreboard for a browser to this file.")
@click.option("--json", type=_FILE, help="Write every figure to this file.")
def scoreboard(**given: object) -> None:
    """What your fleets cost while they were served, beside the policy alone, the calibrated rule and buffers.

    Nothing is written to the store. What was set is what a client made of the answers; the store does not know a
    client's own limits. The policy, lead and guardrail are those of the environment, as for `serve`.
    """
    request = ScoreboardRequest(**given)  # type: ignore[arg-type]
    settings = settings_for(request.store)
    if request.server_hour is None:
        request = replace(request, server_hour=settings.autopilot_server_hour)
    with opened(settings) as history:
        run(request, settings, history)


def run(request: ScoreboardRequest, settings: Settings, history: History) -> None:
    """Read, play, and say what came out. Raises RefusedError, and HistoryUnavailableError."""
    try:
        config, candidate = _config(request, settings), _candidate(request)
    except ModelError as error:
        raise RefusedError(str(error)) from error
    notes: list[str] = []
    found = list(_standings(request, history, (config, candidate), notes))
    for one in found:
        click.echo(words.text(one, request.server_hour))
    for line in (*(f"note: {note}" for note in notes), *words.totals(found, request.server_hour)):
        click.echo(line)
    _write(request, found, notes, config.policy.name)


def _config(request: ScoreboardRequest, settings: Settings) -> ReplayConfig:
    return replay_as_served(settings, build_policy(Path(settings.autopilot_model_dir)), request.lead)


def _candidate(request: ScoreboardRequest) -> Policy | None:
    if request.candidate is None:
        return None
    policy = build_policy(request.candidate)  # which says what is wrong with a place where there is no model
    with unpacked(request.candidate) as model:
        checked(model)
    return policy


def _standings(
    request: ScoreboardRequest, history: History, players: tuple[ReplayConfig, Policy | None], notes: list[str]
) -> Iterator[FleetStanding]:
    periods = PERIODS if request.since is None else (request.since,)
    at, (config, candidate) = now(), players
    for fleet in chosen(history, request.fleets):
        try:
            found = standings(play_fleet(read_fleet(history, fleet, at), config, candidate), periods)
        except ValueError as error:
            notes.append(f"{fleet}: {error}")
            continue
        if not found:
            notes.append(f"{fleet}: no demand in that time")
        yield from found


def _write(request: ScoreboardRequest, found: list[FleetStanding], notes: list[str], policy: str) -> None:
    try:
        if request.json:
            document = words.document(found, notes, policy, request.server_hour)
            request.json.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", "utf-8")
        if request.html:
            request.html.write_text(words.page(found, notes, policy, request.server_hour), "utf-8")
            click.echo(f"report: {request.html}")
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error
