"""`autopilot promote` and `autopilot rollback`: which model serves."""

from collections.abc import Iterable
from pathlib import Path

import click

from autopilot.backtest.as_served import replay_as_served
from autopilot.backtest.replay import DAY_SECONDS
from autopilot.learning.commands.asked import (
    RefusedError,
    chosen,
    held_now,
    now,
    opened,
    settings_for,
    store_option,
)
from autopilot.learning.models import CURRENT, checked, first_day_unseen, promote, roll_back
from autopilot.learning.promotion import Case, case_for
from autopilot.learning.stored import StoredFleet, read_fleet
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.policy.model_place import unpacked
from autopilot.ports import ModelError
from autopilot.settings import Settings
from autopilot.wiring import build_policy

_ROOT = click.Path(path_type=Path, file_okay=False)
_NEXT = "A `serve` whose AUTOPILOT_MODEL_DIR is that link takes it up within seconds. Answers say its name: `policy`."


class DeferredError(click.ClickException):
    """What was asked for may be done later; the message says when. Exit code 3."""

    exit_code = 3


@click.command("promote")
@click.argument("candidate", type=click.Path(path_type=Path, exists=True))
@click.option("--to", "root", required=True, type=_ROOT, help="Where models are kept; its `current` serves.")
@store_option
@click.option("--auto", is_flag=True, help="Only where it has cost less: over --days, by an interval, on every fleet.")
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(3, 14), help="Whole days that --auto asks for."
)
def promote_model(candidate: Path, root: Path, store: str | None, auto: bool, days: int) -> None:
    """Let a trained model serve: CANDIDATE is a model directory, or a model.tar.gz.

    The model that served is kept, and `autopilot rollback` brings it back. While an outage is held for any fleet, it is
    deferred (exit code 3): nobody should wonder then which of the two decided.
    """
    settings = settings_for(store)
    try:
        with unpacked(candidate) as model:
            name = checked(model)
        _consider(settings, root, candidate, days if auto else None)
        promote(root, candidate)
    except ModelError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error
    click.echo(f"{name} serves from {root / CURRENT}. {_NEXT}")


@click.command()
@click.option("--to", "root", required=True, type=_ROOT, help="Where models are kept; its `current` serves.")
def rollback(root: Path) -> None:
    """Let the model serve again that served before the last `autopilot promote`."""
    try:
        name = roll_back(root)
    except ModelError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error
    click.echo(f"{name} serves from {root / CURRENT}. {_NEXT}")


def _consider(settings: Settings, root: Path, candidate: Path, days: int | None) -> None:
    """Raises DeferredError, or RefusedError, where the history speaks against a promotion now."""
    at = now()
    with opened(settings) as history:
        fleets = chosen(history, ())
        if waiting := held_now(history, fleets, at):
            raise DeferredError(f"an outage is held for {', '.join(waiting)}: promote when it is over")
        if days is None:
            return
        midnight = at // DAY_SECONDS * DAY_SECONDS
        case = _case(settings, root, candidate, (read_fleet(history, fleet, midnight) for fleet in fleets))
    if objections := list(case.objections(days)):
        raise RefusedError("not promoted: " + "; ".join(objections))
    click.echo(f"over {case.days} days it costs {100 * case.ratio:.1f} % of what serves; worst: {case.worst[0]}")


def _case(settings: Settings, root: Path, candidate: Path, fleets: Iterable[StoredFleet]) -> Case:
    serving = root / CURRENT
    config = replay_as_served(settings, build_policy(serving if serving.exists() else BUILT_IN_MODEL))
    try:
        return case_for(fleets, config, build_policy(candidate), first_day_unseen(candidate))
    except ValueError as error:
        raise RefusedError(f"not promoted: {error}") from error
