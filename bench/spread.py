"""What it costs to spread backtests over processes, or over Ray, beside one after the other (the baseline), in CPU.

CPU seconds of this process and of all that it began (Ray's own servers too), for the same fleets; the start of workers
is told apart, as it is paid once, for 24 fleets here and for thousands elsewhere.
"""

import argparse
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from autopilot.backtest.fleet_job import CompareFleet, FleetToCompare
from autopilot.backtest.replay import ReplayConfig
from autopilot.demand.series import DemandSeries
from autopilot.engines.choose import EngineChoice, EngineName, open_engine
from autopilot.wiring import PLATFORM_MODEL, build_policy

TICKS = os.sysconf("SC_CLK_TCK")


def fleets(count: int, days: float) -> Iterator[FleetToCompare]:
    """Fleets with a daily pattern, every five minutes."""
    at = np.arange(0, days * 86400, 300)
    for number in range(count):
        demand = np.random.default_rng(number).poisson(60 + 30 * np.sin(2 * np.pi * at / 86400 + number))
        series = DemandSeries(1_790_000_000 + at, demand.astype(np.float64))
        yield FleetToCompare(Path("made.csv"), f"fleet {number}", series, 1, 1, number + 1, count)


def cpu_seconds() -> float:
    """Of this process, of all its descendants that run, and of those that have ended."""
    parents: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents.setdefault(int(fields[1]), []).append(int(place.name))
        spent[int(place.name)] = sum(map(int, fields[11:15]))
    family, todo = 0, [os.getpid()]
    while todo:
        one = todo.pop()
        family += spent.get(one, 0)
        todo += parents.get(one, [])
    return family / TICKS


def measured(name: EngineName, workers: int, work: list[FleetToCompare]) -> tuple[float, float]:
    """CPU seconds of the start (with one small fleet a worker), and of the work."""
    function = CompareFleet(ReplayConfig(build_policy(PLATFORM_MODEL)))
    before = cpu_seconds()
    with open_engine(EngineChoice(name, workers)) as engine:
        list(engine.map(function, fleets(2 * workers, 1.5)))
        begun = cpu_seconds()
        for _, outcome in engine.map(function, work):
            assert hasattr(outcome, "result"), outcome
        return begun - before, cpu_seconds() - begun


def main() -> None:
    """Print a line an engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", type=int, default=24)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    work = list(fleets(given.fleets, given.days))
    names: list[EngineName] = ["serial", "processes", *(["ray"] if find_spec("ray") else [])]
    baseline = 0.0
    for name in names:
        started, worked = measured(name, given.workers, work)
        baseline = baseline or worked
        print(f"{name:10} start {started:6.1f} s, work {worked:7.1f} s CPU: {worked / baseline - 1:+.1%} beside serial")
    if "ray" not in names:
        print("ray        not measured: it is not installed here")


if __name__ == "__main__":
    main()
