#!/usr/bin/env python3
"""Soak: days of many fleets through the real stack, with faults drawn by a seed. Ends with 1 where a promise broke.

    python -m bench.soak                                      7 days, 200 fleets, in lockstep, 5-minute passes
    python -m bench.soak --days 7 --fleets 200 --speed 60     the same at 60 times speed, 1-minute passes: 168 minutes
    python -m bench.soak --days 0.1 --fleets 10 --minutes 5   a quick look

Real: nginx, gunicorn and SQLite with the built-in policy; a genuine Kubernetes API server (built once, 6 minutes) with
the client's shipped rights; two replicas of the client as processes, elected by a Lease. Played: players, game servers
that come up 10 to 15 minutes late, and the controllers that would start and stop them.

The clock of the client's passes is simulated; every observation carries simulated time (AUTOPILOT_MAX_CLOCK_SKEW=0).
With --speed N it goes N times as fast as the wall's. With --speed 0 each pass begins when the one before is done.
Not scaled, so longer in simulated time than in life: time-outs (1 to 2 s), the lease (2 s), restarts, the history
breaker's rest (5 s).

The twin is the same run without faults. Faults come in every kind before one comes twice: see bench/soak/faults.py.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "client"), str(ROOT / "container")]

from bench.soak.options import Options  # noqa: E402  the path above is needed first
from bench.soak.report import report, save_columns  # noqa: E402
from bench.soak.runner import Run, Soak  # noqa: E402
from bench.soak.stage import UnsuitableError  # noqa: E402

SPEED = "Times real time; 0: as fast as passes complete."
EVERY = "Simulated seconds between passes.  [default: 60 with --speed, else 300]"
TWIN = "Run the twin without faults at the same time in a process of its own, or not at all."
AHEAD = 20
"""Passes that a twin may be ahead: enough to use the time in which the other waits for what is broken."""
ONLY = "Only kinds of fault with this text in their name; may be given several times."
OFTEN = "Faults that begin in a simulated day; 0: none."


@click.command(
    help=(__doc__ or "").replace("\n\n    ", "\n\n\b\n    "),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True},
)
@click.option("--days", type=click.FloatRange(0.02, 60), default=7.0, help="Simulated days.")
@click.option("--fleets", type=click.IntRange(4, 999), default=200, help="How many fleets.")
@click.option("--speed", type=click.FloatRange(0, 600), default=0.0, help=SPEED)
@click.option("--seed", type=click.IntRange(0), default=1, help="Of demand, lead times and faults.")
@click.option("--pass-seconds", type=click.IntRange(30, 600), help=EVERY)
@click.option("--faults-per-day", type=click.FloatRange(0, 500), default=14.0, help=OFTEN)
@click.option("--only", multiple=True, help=ONLY)
@click.option("--minutes", type=click.FloatRange(0.5, 400), default=200.0, help="Wall-clock limit of the passes.")
@click.option("--twin", type=click.Choice(["beside", "no"]), default="beside", help=TWIN)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/soak"), help="Where the report goes."
)
@click.option("--follow", type=click.Path(path_type=Path), hidden=True)
def main(pass_seconds: int | None, twin: str, follow: Path | None, **given: object) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    console = Console()
    options = Options(pass_seconds=pass_seconds or (60 if given["speed"] else 300), **given)
    beside = _start_twin(options) if twin == "beside" and options.faults_per_day else None
    try:
        run, demand = _run(options, console, Pace(options.out / "progress", follow))
        columns = _await_twin(beside, options, console)
    except (UnsuitableError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    finally:
        if beside and beside.poll() is None:
            beside.terminate()
            beside.wait(120)
    report(run, demand, columns, console)
    sys.exit(int(bool(run.ledger.broken or run.failed_passes or (beside and beside.returncode))))


def _run(options: Options, console: Console, pace: "Pace") -> tuple[Run, np.ndarray]:
    share, text = TextColumn("{task.percentage:>5.1f} %"), TextColumn("{task.description}")
    with Progress(share, BarColumn(), TimeRemainingColumn(), text, console=console) as bar:
        task = bar.add_task("starting", total=options.steps)

        def progress(step: int, faults: str) -> bool:
            bar.update(task, completed=step, description=faults or "no fault")
            return pace.goes_on(step)

        soak = Soak(options, progress)
        run = soak.go()
    save_columns(run)
    pace.end(run.ledger.passes)
    return run, soak.demand


@dataclass(slots=True)
class Pace:
    """Keeps a twin from running far ahead of the run that it is compared with, and ends it with that.

    Both write how far they are into a file of their own; a twin also reads the other's.
    """

    mine: Path
    other: Path | None = None

    def goes_on(self, step: int) -> bool:
        """Note the step; wait while it is too far ahead. False when the other has ended and no more is needed."""
        self.mine.write_text(str(step), encoding="utf-8")
        if self.other is None:
            return True
        while True:
            done, _, end = (self.other.read_text(encoding="utf-8") or "0").partition(" ")
            if end or step <= int(done) + AHEAD:
                return not end or step < int(done)
            time.sleep(0.1)

    def end(self, step: int) -> None:
        """There is no more to come."""
        self.mine.write_text(f"{step} end", encoding="utf-8")


def _start_twin(options: Options) -> "subprocess.Popen[bytes]":
    """The same without faults, with a stack of its own."""
    same = {"days": options.days, "fleets": options.fleets, "speed": options.speed, "seed": options.seed}
    same |= {"pass-seconds": options.pass_seconds, "minutes": options.minutes, "faults-per-day": 0}
    arguments = [f"--{name}={value}" for name, value in same.items()]
    (options.out / "twin").mkdir(parents=True, exist_ok=True)
    (options.out / "progress").write_text("0", encoding="utf-8")
    places = [f"--out={options.out / 'twin'}", f"--follow={options.out / 'progress'}"]
    command = [sys.executable, __file__, *arguments, "--twin=no", *places]
    with (options.out / "twin" / "output.txt").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=os.environ)


def _await_twin(
    twin: "subprocess.Popen[bytes] | None", options: Options, console: Console
) -> dict[str, np.ndarray] | None:
    if twin is None:
        return None
    console.print("Waiting for the twin.")
    if twin.wait() != 0:
        console.print(f"The twin did not end well: see {options.out / 'twin' / 'output.txt'}", style="red")
    saved = options.out / "twin" / "run.npz"
    return dict(np.load(saved)) if saved.exists() else None


if __name__ == "__main__":
    main()
