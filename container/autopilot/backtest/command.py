"""`autopilot backtest`: score the policy, through the guardrail, on a fleet's own history, beside simple rules."""

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from autopilot.backtest import table
from autopilot.backtest.as_served import replay_as_served
from autopilot.backtest.comparison import Comparison
from autopilot.backtest.fleet_job import Compared, CompareFleet, FleetToCompare, fleets_to_compare
from autopilot.backtest.replay import Progress, ReplayConfig
from autopilot.backtest.scenario import Scenario
from autopilot.core.cost import CHEAPEST_MISSING, DEAREST_MISSING
from autopilot.core.fleet import Lead, Limits, parse_lead
from autopilot.core.history import rfc3339
from autopilot.demand.csv_file import fleet_of
from autopilot.demand.series import DemandCsvError
from autopilot.engines.choose import EngineChoice, EngineName, open_engine
from autopilot.ports import EngineError, ItemFailure, ModelError, Policy
from autopilot.settings import Settings, SettingsError
from autopilot.wiring import build_policy, must_earn


class BadInputError(click.ClickException):
    """What was asked for cannot be done; the message says what to fix. Exit code 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class BacktestConfig:
    """What was asked for on the command line; `backtest` documents each."""

    files: tuple[Path, ...]
    lead: Lead | None
    missing_price: float | None
    model: Path | None
    price: float | None
    minimum: int
    maximum: int | None
    per_server: float
    warm_up: float | None
    all_rules: bool
    json_file: Path | None
    html_file: Path | None
    no_html: bool
    sizes: Path | None
    engine: EngineName = "serial"
    workers: int = 0
    address: str = ""

    @property
    def report(self) -> Path | None:
        """Where the report goes; None: none is wanted."""
        if self.html_file or self.no_html:
            return self.html_file
        name = fleet_of(self.files[0]) if len(self.files) == 1 else f"{fleet_of(self.files[0])}-and-others"
        return REPORTS / f"{name}.html"


class LeadType(click.ParamType[Lead, str]):
    """A lead as people write it: `12`, or `10-15`."""

    name = "lead"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Lead:
        """The lead. Fails for one that no fleet has."""
        try:
            return parse_lead(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_LARGEST = 1e9
_WIDE = 130  # characters a line where nobody watches: a pipe, a log
REPORTS = Path("out/backtest")
"""Where a report goes that was not given another place."""
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="DEMAND.CSV...")
@click.option(
    "--lead",
    type=LeadType(),
    metavar="MINUTES",
    help="From asking for a server to it being ready: 12, or 10-15.  [default: as `serve`]",
)
@click.option(
    "--missing-price",
    type=click.FloatRange(CHEAPEST_MISSING, DEAREST_MISSING),
    help="What a missing server costs, in idle ones.  [default: as `serve`]",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path, file_okay=False),
    help="Model directory.  [default: what `serve` would use]",
)
@click.option("--price", type=click.FloatRange(min=0), help="Price of one server-hour, to show money.")
@click.option("--min", "minimum", default=0, type=click.IntRange(min=0), help="Fewest servers.")
@click.option("--max", "maximum", type=click.IntRange(min=0), help="Most servers.")
@click.option(
    "--per-server",
    default=1.0,
    type=click.FloatRange(min=0, min_open=True),
    help="Players on one server, where the files count players.",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Days at the start that are not scored.  [default: 7, at most a quarter]",
)
@click.option("--all-rules", is_flag=True, help="Show every rule in the table.")
@click.option("--json", "json_file", type=_FILE, help="Write every figure to this file.")
@click.option(
    "--html",
    "html_file",
    type=_FILE,
    help="Write the report with plots to this file.  [default: out/backtest/NAME.html]",
)
@click.option("--no-html", is_flag=True, help="Write no report.")
@click.option("--sizes", type=_FILE, help="Write `timestamp,size`, as the client would have set it (one CSV only).")
@click.option(
    "--engine",
    type=click.Choice(["serial", "processes", "ray"]),
    default="serial",
    show_default=True,
    help="One fleet after the other, several at once in processes, or on a Ray cluster: the figures are the same.",
)
@click.option("--workers", default=0, type=click.IntRange(0, 1024), help="Fleets at once.  [default: one a CPU]")
@click.option("--address", default="", metavar="HOST:PORT", help="A Ray cluster to join.  [default: begin one here]")
def backtest(**given: object) -> None:
    """What your fleet would have cost under the autopilot, beside simple rules.

    Each file is one fleet: `timestamp,demand` lines, plain or gzip. A column `fleet` makes it several. Demand is the
    number of servers that players needed. `autopilot import` makes such files of what Grafana, Prometheus and
    CloudWatch export. What the client would have set is played in a simulated fleet: growth takes the lead, shrinking
    is at once, servers in use stay. The guardrail follows the same environment variables as `serve`.
    """  # fmt: skip
    request = BacktestConfig(**given)  # type: ignore[arg-type]
    try:
        run(request, Settings.from_env(os.environ))
    except (DemandCsvError, EngineError, ModelError, SettingsError) as error:
        raise BadInputError(str(error)) from error
    except OSError as error:
        raise BadInputError(f"{error.filename}: {error.strerror}") from error


def run(request: BacktestConfig, settings: Settings) -> None:
    """Read, decide again, compare, and say what came out. Raises what its parts raise, and BadInputError."""
    _check(request)
    config = config_for(request, settings)
    compared, failures = _compare_all(request, config)
    results = [one.result for one in compared]
    if results:
        _write(results, request, config.policy)
    if request.sizes and compared:
        _write_sizes(request.sizes, compared[0])
    if failures:
        raise BadInputError(_said(failures, len(results)))


def _write(results: Sequence[Comparison], request: BacktestConfig, policy: Policy) -> None:
    """Show the results, and write what was asked for."""
    _show(results, request)
    if request.json_file:
        text = json.dumps(table.document(results, policy.name, request.price), indent=2, allow_nan=False)
        request.json_file.write_text(text + "\n", "utf-8")
    if request.report:
        _report(request.report, results, request, policy)


def _said(failures: Sequence[str], done: int) -> str:
    """What is said of the fleets that could not be done, beside so many that could."""
    if not done and len(failures) == 1:
        return failures[0]
    return f"{len(failures)} of {done + len(failures)} could not be done:\n" + "\n".join(sorted(failures))


def config_for(request: BacktestConfig, settings: Settings) -> ReplayConfig:
    """Policy, guardrail and limits as they would serve. Raises ModelError."""
    policy = build_policy(request.model or Path(settings.autopilot_model_dir))
    limits = Limits(request.minimum, request.maximum)
    config = replay_as_served(settings, policy, request.lead)
    price = config.missing_price if request.missing_price is None else request.missing_price
    return replace(config, missing_price=price, limits=limits, earns=must_earn(settings, policy))


def _check(request: BacktestConfig) -> None:
    numbers = {
        "--price": request.price,
        "--per-server": request.per_server,
        "--warm-up": request.warm_up,
        "--missing-price": request.missing_price,
    }
    for name, value in numbers.items():
        if value is not None and not value <= _LARGEST:  # nor is `nan`, which passes for a number of any range
            raise BadInputError(f"{name} {value:g} is no number that is meant: give one up to {_LARGEST:g}")
    if request.maximum is not None and request.maximum < request.minimum:
        raise BadInputError(f"--max {request.maximum} is less than --min {request.minimum}")
    if request.sizes and len(request.files) > 1:
        raise BadInputError("--sizes takes one CSV at a time")
    if request.model and not request.model.is_dir():
        raise BadInputError(f"--model {request.model}: no such directory")
    for file in (request.json_file, request.html_file, request.sizes):
        if file and not file.parent.is_dir():
            raise BadInputError(f"{file}: {file.parent} is no directory; make it first")
    if request.html_file and request.no_html:
        raise BadInputError("--html and --no-html exclude each other: leave one of them away")
    if request.html_file and not _can_plot():
        raise BadInputError(f"--html {_PLOTS_MISSING}; the table and --json work without it")


_PLOTS_MISSING = "needs matplotlib, which is not installed: `pip install -r container/requirements-report.txt`"


def _can_plot() -> bool:
    try:
        import matplotlib  # noqa: F401, PLC0415 - not part of the serving image
    except ImportError:
        return False
    return True


def _compare_all(request: BacktestConfig, config: ReplayConfig) -> tuple[list[Compared], list[str]]:
    """What came of each fleet of all files, in order, and what is to be said of those that could not be done.

    Raises EngineError, and BadInputError.
    """
    serial = request.engine == "serial"
    watch = {"watch": _replay_bar} if serial else {}
    function = CompareFleet(config, request.per_server, request.warm_up, bool(request.sizes), **watch)
    compared: dict[int, Compared] = {}
    failures: list[str] = []
    paths: list[Path] = []

    def fleets() -> Iterator[FleetToCompare]:
        for one in fleets_to_compare(request.files, lambda error: failures.append(str(error))):
            if request.sizes and one.fleets > 1:
                raise BadInputError(f"--sizes takes one fleet at a time: {one.path} holds {one.fleets}")
            paths.append(one.path)
            yield one

    choice = EngineChoice(request.engine, request.workers, request.address)
    with open_engine(choice) as engine, _bar("fleets", len(request.files), shown=not serial) as advance:
        for place, outcome in engine.map(function, fleets()):
            advance(1)
            if isinstance(outcome, ItemFailure):
                failures.append(_reason(outcome, paths[place]))
            else:
                compared[place] = outcome
    return [compared[place] for place in sorted(compared)], failures


def _reason(failure: ItemFailure, path: Path) -> str:
    """Why a fleet could not be done; where that is no fault of its file, the trace is shown at once."""
    if failure.kind == DemandCsvError.__name__:
        return failure.message
    click.echo(failure.trace, err=True)
    return f"{path}: {failure}"


def _replay_bar(title: str, scenario: Scenario) -> AbstractContextManager[Progress]:
    return _bar(title, int(scenario.grid.known.sum()))


@contextmanager
def _bar(what: str, total: int, *, shown: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error, where that is a terminal and rich is installed."""
    try:
        from rich.console import Console  # noqa: PLC0415 - rich is not part of the serving image
        from rich.markup import escape  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415
    except ImportError:
        yield lambda _: None
        return
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(escape(what), total=total)
        yield lambda made: bar.update(task, advance=made)


def _write_sizes(path: Path, one: Compared) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("timestamp", "size"))
        writer.writerows((rfc3339(at), size) for at, size in one.sizes)


_MOST_SHOWN = 30
"""Fleets that are shown one by one; of more, the table of all of them tells."""


def _show(results: Sequence[Comparison], request: BacktestConfig) -> None:
    wanted = table.columns(request.price)
    for result in results if len(results) <= _MOST_SHOWN else ():
        shown = table.rows(result, request.all_rules)
        click.echo(table.heading(result))
        _print_table(shown, wanted)
        click.echo(table.reason_lines(result.reasons))
        for note in result.notes:
            click.echo(f"note: {note}")
        click.echo(table.verdict(result))
        if request.price is not None:
            click.echo(table.money_sentence(result, request.price))
        click.echo("")
    if len(results) > 1:
        click.echo(table.overview_text(results, request.price))
        click.echo(table.overall_line(results))


def _print_table(shown: Sequence[table.TableRow], wanted: Sequence[table.Column]) -> None:
    try:
        from rich.console import Console  # noqa: PLC0415 - rich is not part of the serving image
    except ImportError:
        click.echo(table.as_text(shown, wanted))
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(table.as_rich(shown, wanted))


def _report(path: Path, results: Sequence[Comparison], request: BacktestConfig, policy: Policy) -> None:
    """Write the report. One that nobody asked for fails no backtest: what it lacks is said. Raises OSError."""
    if not _can_plot():
        click.echo(f"no report: it {_PLOTS_MISSING}")
        return
    from autopilot.backtest.html import page  # noqa: PLC0415 - matplotlib costs a second

    text = page(results, policy.name, request.price)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        if request.html_file:
            raise
        click.echo(f"no report: {path} cannot be written ({error.strerror}); --html names another place")
        return
    click.echo(f"report: {path}")
