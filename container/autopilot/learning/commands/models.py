"""`autopilot promote`, `autopilot rollback` and `autopilot models`: which model serves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from autopilot.core.history import rfc3339
from autopilot.learning.commands.asked import RefusedError, now, settings_for, store_option
from autopilot.learning.commands.compared import costs, outages
from autopilot.learning.models import (
    CANDIDATE,
    CURRENT,
    PREVIOUS,
    TAKEN_BACK,
    checked,
    find_kept,
    first_day_unseen,
    kept,
    name_of,
    promote,
    roll_back,
)
from autopilot.learning.promotion import case_of
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.policy.model_place import unpacked
from autopilot.ports import ModelError
from autopilot.settings import Settings

_NEXT = "A `serve` whose AUTOPILOT_MODEL_DIR is that link takes it up within seconds. Answers say its name: `policy`."


class DeferredError(click.ClickException):
    """What was asked for may be done later; the message says when. Exit code 3."""

    exit_code = 3


_root_option = click.option(
    "--to", "root", required=True, type=click.Path(path_type=Path, file_okay=False),
    help="Where models are kept; its `current` serves.",
)  # fmt: skip


@click.command("promote")
@click.argument("candidate")
@_root_option
@store_option
@click.option("--auto", is_flag=True, help="Only where it has cost less: over --days, by an interval, on every fleet.")
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(3, 14), help="Whole days that --auto asks for."
)
def promote_model(candidate: str, root: Path, store: str | None, auto: bool, days: int) -> None:
    """Let a trained model serve: CANDIDATE is a model directory, a model.tar.gz, or the name of one that is kept.

    `autopilot models` lists the kept ones: so what was taken back serves again. The model that served is kept, and
    `autopilot rollback` brings it back. While an outage is held for any fleet, it is deferred (exit code 3): nobody
    should wonder then which of the two decided.
    """
    settings = settings_for(store)
    with _refusing():
        place = Path(candidate) if Path(candidate).exists() else find_kept(root, candidate)
        with unpacked(place) as model:
            name = checked(model)
        _consider(settings, root, place, days if auto else None)
        promote(root, place)
    click.echo(f"{name} serves from {root / CURRENT}. {_NEXT}")


@click.command()
@_root_option
def rollback(root: Path) -> None:
    """Let the model serve again that served before the last `autopilot promote`.

    What is taken back is kept, and `autopilot promote NAME` lets it serve again.
    """
    with _refusing():
        name = roll_back(root)
        taken = name_of(root / TAKEN_BACK)
    click.echo(f"{name} serves from {root / CURRENT}. {_NEXT}")
    click.echo(f"To serve {taken} again: autopilot promote {taken} --to {root}")


@click.command()
@_root_option
def models(root: Path) -> None:
    """List the models that are kept: which one serves, which did before, which is looked at, which was taken back.

    `autopilot promote NAME` lets any of them serve.
    """
    with _refusing():
        found = kept(root)
    if not found:
        raise RefusedError(f"{root} keeps no models: `autopilot promote MODEL --to {root}` begins")
    widest = max(len(one.name) for one in found)
    for one in found:
        roles = [f"{_ROLES[link]} since {rfc3339(at)}" for link, at in one.links.items()]
        click.echo(f"{one.name:{widest}}  {', '.join(roles) or 'kept'}")


_ROLES = {CURRENT: "serves", PREVIOUS: "replaced", CANDIDATE: "candidate", TAKEN_BACK: "taken back"}


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error


def _consider(settings: Settings, root: Path, candidate: Path, days: int | None) -> None:
    """Raises DeferredError, or RefusedError, where the history speaks against a promotion now."""
    at = now()
    if waiting := outages(settings, at):
        raise DeferredError(f"{waiting}: promote when it is over")
    if days is None:
        return
    serving = root / CURRENT if (root / CURRENT).exists() else BUILT_IN_MODEL
    since = first_day_unseen(candidate)
    try:
        case = case_of(one.since(since) for one in costs(settings, serving, candidate, at))
    except ValueError as error:
        raise RefusedError(f"not promoted: {error}") from error
    if objections := list(case.objections(days)):
        raise RefusedError("not promoted: " + "; ".join(objections))
    click.echo(f"{case.sentence('it', 'what serves')}; worst: {case.worst[0]}")
