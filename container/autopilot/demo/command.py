"""`autopilot demo`: replay a recorded day through a real server, and show what it decided and why."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import urllib3
from rich.console import Console
from rich.progress import track
from rich.table import Table

from autopilot.backtest.html import MEANING
from autopilot.core.fleet import Reason
from autopilot.demand.csv_file import read_demand_csv
from autopilot.demo.chart import Step, write_chart, write_page

SAMPLE = Path(__file__).parent / "sample_day.csv"
LEAD = timedelta(minutes=10)
"""What is decided now is the capacity in force this much later."""
_FLEET = "demo/shooter"


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/demo"), show_default=True,
              help="Where the chart goes.")  # fmt: skip
def demo(out: Path) -> None:
    """Replay a recorded day through a real server and chart what it decided.

    Needs no AWS account and no Docker: the history is an SQLite file in a temporary directory, the policy is the
    built-in one. The day has a launch at 17:00 and a matchmaking outage from 01:00 to 03:30, in which demand seems to
    fall from about 86 servers to 32.
    """
    console = Console()
    times, demands = _sample()
    with tempfile.TemporaryDirectory(prefix="autopilot-demo-") as scratch, _server(Path(scratch)) as url:
        console.print(f"The server answers at {url}. {len(times)} observations go through /invocations.")
        answers = list(_replay(url, times, demands, console))
    steps = _in_force(times, demands, answers)
    day = [step for step in steps if step.at.date() == times[-1].date()]
    console.print(_table(day))
    _print_verdict(console, day)
    out.mkdir(parents=True, exist_ok=True)
    write_chart(day, out / "demo.png")
    write_page(day, out / "demo.html")
    console.print(f"Charts: {out / 'demo.png'} and {out / 'demo.html'}", soft_wrap=True)
    console.print("Next: `autopilot serve`, or `autopilot backtest your-demand.csv` for your own fleet.")
    console.print("From a checkout: `make serve`, or `make backtest CSV=your-demand.csv`.")


def _sample() -> tuple[list[datetime], list[int]]:
    series = read_demand_csv(SAMPLE)
    return [datetime.fromtimestamp(t, UTC) for t in series.times], [int(d) for d in series.demand]


@contextlib.contextmanager
def _server(scratch: Path) -> Iterator[str]:
    """A real server in a process of its own, with the embedded defaults; stopped at the end."""
    port = _free_port()
    environ = os.environ | {
        "AUTOPILOT_HISTORY": f"sqlite:///{scratch}/history.sqlite3",
        "AUTOPILOT_MAX_CLOCK_SKEW": "0",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": "1",
    }
    log = scratch / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "autopilot.cli", "serve"], env=environ, stdout=out,
                                   stderr=subprocess.STDOUT)  # fmt: skip
    try:
        _await(f"http://127.0.0.1:{port}/ping", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=2).status == 200:
                return
        time.sleep(0.05)
    raise click.ClickException(f"the server did not come up:\n{log.read_text()[-2000:]}")


def _replay(url: str, times: Sequence[datetime], demands: Sequence[int], console: Console) -> Iterator[dict[str, str]]:
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        for at, demand in track(list(zip(times, demands, strict=True)), "Replaying", console=console):
            body = {"fleet": _FLEET, "demand": demand, "observed_at": at.isoformat()}
            response = pool.request("POST", f"{url}/invocations", json=body)
            if response.status != 200:
                raise click.ClickException(f"the server answered {response.status}: {response.data[:500]!r}")
            yield json.loads(response.data)["Prediction"]


def _in_force(times: Sequence[datetime], demands: Sequence[int], answers: Sequence[dict[str, str]]) -> list[Step]:
    """Put beside each observation the capacity that was decided one lead time before it."""
    decided = {at: int(answer["num_of_gameservers"]) for at, answer in zip(times, answers, strict=True)}
    return [
        Step(at, demand, decided[at], answer["reason"], decided.get(at - LEAD))
        for at, demand, answer in zip(times, demands, answers, strict=True)
    ]


def _table(day: Sequence[Step]) -> Table:
    table = Table(title="What decided, and what it cost")
    table.add_column("reason", no_wrap=True)
    table.add_column("meaning", min_width=20)
    for name in ("decisions", "missing\nserver-hours", "idle\nserver-hours"):
        table.add_column(name, justify="right")
    lead = int(LEAD / (day[1].at - day[0].at))
    in_force = list(zip(day, day[lead:], strict=False))  # a decision, and the step at which it is in force
    for reason, count in Counter(step.reason for step in day).most_common():
        missing, idle = _hours([then for decided, then in in_force if decided.reason == reason])
        table.add_row(reason, MEANING[Reason(reason)], str(count), f"{missing:.1f}", f"{idle:.1f}")
    missing, idle = _hours(day)
    table.add_section()
    table.add_row("all", "", str(len(day)), f"{missing:.1f}", f"{idle:.1f}")
    return table


def _hours(steps: Sequence[Step]) -> tuple[float, float]:
    """Missing and idle server-hours of steps of five minutes."""
    return sum(step.missing for step in steps) / 12, sum(step.idle for step in steps) / 12


def _print_verdict(console: Console, day: Sequence[Step]) -> None:
    held = [step for step in day if step.reason == "outage_hold"]
    if not held:
        return
    back = next(step for step in day if step.at > held[-1].at)
    console.print(
        f"Outage: {held[0].at:%H:%M} to {held[-1].at:%H:%M} UTC, held at {held[-1].allocation} servers while "
        f"{min(step.demand for step in held)} were reported; when demand returned at {back.demand}, "
        f"{back.missing} were missing."
    )
