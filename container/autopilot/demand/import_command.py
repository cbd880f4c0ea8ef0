"""`autopilot import`: make a demand file of what Grafana, Prometheus or CloudWatch exported."""

from pathlib import Path

import click

from autopilot.core.history import rfc3339
from autopilot.demand.export_file import read_export, write_demand_csv
from autopilot.demand.series import DemandCsvError, DemandSeries, cut

_SHOWN = 20


class ImportRefusedError(click.ClickException):
    """The file cannot be used; the message says what to fix. Exit code 2."""

    exit_code = 2


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The demand file to write.")
def import_demand(file: Path, out: Path) -> None:
    """Make a demand file of what Grafana, Prometheus or CloudWatch exported.

    FILE, plain or gzip, is one of these; its content says which:

    \b
    Grafana CSV          panel > Inspect > Data > Download CSV, `Formatted data` off; joined by time, or a series a row
    Prometheus JSON      curl 'http://HOST:9090/api/v1/query_range?query=...&start=...&end=...&step=300'
    CloudWatch JSON      aws cloudwatch get-metric-data ... > demand.json

    Several series become several fleets, in a column `fleet`; `autopilot backtest` and `train` read that.
    """
    if out.exists() and file.exists() and out.samefile(file):
        raise ImportRefusedError(f"--out {out} is the file that is read: name another")
    try:
        kind, fleets = read_export(file)
        write_demand_csv(out, fleets)
    except DemandCsvError as error:
        raise ImportRefusedError(str(error)) from error
    except OSError as error:
        raise ImportRefusedError(f"{out} cannot be written: {error.strerror or error}") from error
    click.echo(f"{kind}: {len(fleets)} series")
    for name, series in list(fleets.items())[:_SHOWN]:
        click.echo(_told(name, series))
    if len(fleets) > _SHOWN:
        click.echo(f"  and {len(fleets) - _SHOWN} more")
    click.echo(f"wrote {out}. Next: autopilot backtest {out}")


def _told(name: str, series: DemandSeries) -> str:
    span = f"{rfc3339(series.times[0])} to {rfc3339(series.times[-1])}"
    notes = "".join(f"; {note}" for note in series.notes)
    return (
        f"  {cut(name)}: {len(series)} observations, {span}, {series.demand.min():g} to {series.demand.max():g}{notes}"
    )
