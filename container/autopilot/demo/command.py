"""`autopilot demo`: replay simulated days through a real server, and show what it decided, why, and what it cost."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
import urllib3
from rich.console import Console
from rich.progress import track
from rich.table import Table

from autopilot.backtest.words import MEANING
from autopilot.core.cost import Doubles
from autopilot.core.fleet import Limits, Reason
from autopilot.core.stabilization import applied
from autopilot.demand.csv_file import read_demand_csv
from autopilot.demo.chart import Step, write_chart, write_page
from autopilot.demo.rivals import PRICE, Contestant, played, sides
from autopilot.demo.sample_day import SHOWN_DAYS, STEP_MINUTES, needed
from autopilot.demo.screen import has_screen

Answer = Mapping[str, Any]
"""The `Prediction` of an answer."""
SAMPLE = Path(__file__).parent / "sample_day.csv"
_FLEET = "demo/shooter"
_LEAST_HELD = 3  # steps: a shorter hold is in the table alone


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/demo"), show_default=True,
              help="Where the chart goes.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Do not open the page, also where there is a screen.")
def demo(out: Path, no_browser: bool) -> None:
    """Replay simulated days through a real server and chart what it decided.

    Needs no AWS account and no Docker: the history is an SQLite file in a temporary directory, the policy is the
    built-in one. On two nights the matchmaking system is out from 01:00 to 03:30, in which demand seems to fall from
    about 86 servers to 32; between them a launch doubles arrivals. What the client would set is played in a simulated
    fleet: growing takes 10 to 15 minutes, shrinking is at once. So is what +20 % and the best rule in hindsight would
    set: all see the demand that was reported, and are judged by what players needed.
    """
    console = Console()
    times, demands = _sample()
    with tempfile.TemporaryDirectory(prefix="autopilot-demo-") as scratch, _server(Path(scratch)) as url:
        console.print(f"The server answers at {url}. {len(times)} observations go through /invocations.")
        answers = list(_replay(url, times, demands, console))
    sizes = client_sizes(times, demands, answers)
    steps = play_sizes(times, demands, answers)
    beside = sides(times, demands, sizes)
    shown = steps[-SHOWN_DAYS * 1440 // STEP_MINUTES :]
    console.print(_table(shown))
    for held in holds(shown):
        if len(held) >= _LEAST_HELD:
            console.print(_outage_line(shown, held))
    console.print(_bill_table(beside))
    out.mkdir(parents=True, exist_ok=True)
    write_chart(shown, beside, out / "demo.png")
    write_page(shown, beside, out / "demo.html")
    console.print(f"Charts: {out / 'demo.png'} and {out / 'demo.html'}", soft_wrap=True)
    if not no_browser and has_screen(os.environ, sys.platform):
        webbrowser.open((out / "demo.html").absolute().as_uri())
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


def _replay(url: str, times: Sequence[datetime], demands: Sequence[int], console: Console) -> Iterator[Answer]:
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        for at, demand in track(list(zip(times, demands, strict=True)), "Replaying", console=console):
            body = {"fleet": _FLEET, "demand": demand, "observed_at": at.isoformat()}
            response = pool.request("POST", f"{url}/invocations", json=body)
            if response.status != 200:
                raise click.ClickException(f"the server answered {response.status}: {response.data[:500]!r}")
            yield json.loads(response.data)["Prediction"]


def client_sizes(times: Sequence[datetime], demands: Sequence[int], answers: Sequence[Answer]) -> Doubles:
    """What the client would set at each observation, in servers."""
    forecasts = np.array([answer["forecast"] for answer in answers], np.float64)
    seconds = np.array([at.timestamp() for at in times])
    return applied(np.array(demands, np.float64), forecasts, seconds, Limits())


def play_sizes(times: Sequence[datetime], demands: Sequence[int], answers: Sequence[Answer]) -> list[Step]:
    """Set each size as the client would, in a simulated fleet that needs what players really needed."""
    sizes = client_sizes(times, demands, answers)
    course = played(sizes)
    reasons = [str(answer["reason"]) for answer in answers]
    rows = zip(times, demands, needed(), sizes.astype(int).tolist(), reasons, course.ready.astype(int).tolist(),
               strict=True)  # fmt: skip
    return [Step(*row) for row in rows]


def cost_rows(day: Sequence[Step]) -> list[tuple[str, int, float, float]]:
    """For each reason, the most frequent first, and for all: decisions, missing and idle server-hours.

    All are rounded, and the most frequent takes what rounding leaves: the table adds up to what the bill says.
    """
    missing, idle = _hours(day)
    first, *others = Counter(step.reason for step in day).most_common()
    rows = [(reason, count, *_hours([step for step in day if step.reason == reason])) for reason, count in others]
    left = round(missing - sum(row[2] for row in rows), 1), round(idle - sum(row[3] for row in rows), 1)
    return [(*first, *left), *rows, ("all", len(day), missing, idle)]


def _hours(steps: Sequence[Step]) -> tuple[float, float]:
    """Missing and idle server-hours, in tenths."""
    missing, idle = (sum(getattr(one, name) for one in steps) * STEP_MINUTES / 60 for name in ("missing", "idle"))
    return round(missing, 1), round(idle, 1)


def _table(day: Sequence[Step]) -> Table:
    table = Table(title="What decided, and what the fleet then cost")
    table.add_column("reason", no_wrap=True)
    table.add_column("meaning", min_width=20)
    for name in ("decisions", "missing\nserver-hours", "idle\nserver-hours"):
        table.add_column(name, justify="right")
    *rows, whole = cost_rows(day)
    for reason, count, missing, idle in rows:
        table.add_row(reason, MEANING[Reason(reason)], str(count), f"{missing:.1f}", f"{idle:.1f}")
    table.add_section()
    table.add_row("all", "", str(whole[1]), f"{whole[2]:.1f}", f"{whole[3]:.1f}")
    return table


def _bill_table(beside: Sequence[Contestant]) -> Table:
    table = Table(title=f"The bill of these days, at {PRICE:.2f} a server-hour")
    table.add_column("who decides", no_wrap=True)
    for name in ("missing\nhours", "idle\nhours", "paid for\nservers", "for\nmissing", "together"):
        table.add_column(name, justify="right")
    for side in beside:
        hours = (side.score.missing_server_hours, side.score.idle_server_hours)
        money = (*side.bill, side.bill.total)
        table.add_row(side.name, *(f"{one:.1f}" for one in hours), *(f"{one:.2f}" for one in money))
    return table


def holds(day: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps of each hold; what is not further apart than an hour is one."""
    held = [step for step in day if step.reason == Reason.OUTAGE_HOLD]
    first = 0
    for at in range(1, len(held) + 1):
        if at == len(held) or held[at].at - held[at - 1].at > timedelta(hours=1):
            yield held[first:at]
            first = at


def _outage_line(day: Sequence[Step], held: Sequence[Step]) -> str:
    first, last = held[0].at, held[-1].at
    sizes, reported = ([getattr(step, name) for step in held] for name in ("size", "demand"))
    back = next((step for step in day if step.at > last), held[-1])
    return (
        f"Outage: {first:%d %B %H:%M} to {last:%H:%M} UTC, held at {min(sizes)} to {max(sizes)} servers while "
        f"{min(reported)} to {max(reported)} were reported; when demand returned at {back.demand}, {back.missing} were "
        "missing."
    )
