#!/usr/bin/env python3
"""The live phase that acts while it learns, beside what it began with. Prints, and judges nothing.

    bench/live.py [--seeds 3] [--days 9] [--start none] [-p NAME=VALUE ...]

A simulated matchmaker over HTTP, servers that boot, a clock that is as fast as the job learns. For each seed, the cost
of the last days (idle server-minutes, and five times the missing ones) as it was paid, exploration and all, and what
the same days would have cost by what it began with: the calibrated rule (`none`), or the built-in model (`default`).
"""

import argparse
import contextlib
import io
import math
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "container"))

from msgspec import structs

from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.training.hyperparameters import Hyperparameters, parse_hyperparameters
from autopilot.training.job import Job, StopSignal
from autopilot.training.run import run_fleet
from testkit.client.standins import serving
from testkit.matchmaker import SimulatedFleet, habitual_demand, matchmaker, paced, played
from testkit.ports import free_port

LAST_DAYS = 3


def live_phase(root: Path, hparams: Hyperparameters, fleet: SimulatedFleet) -> list[str]:
    """Let a job act on a fleet to the end of its demand; which candidate each verdict let serve."""
    said = io.StringIO()
    with serving(matchmaker(fleet)) as url, contextlib.redirect_stdout(said):
        hparams = structs.replace(hparams, gs_inventory_url=url, live_port=free_port())
        run_fleet(Job(root), hparams, StopSignal(), opens=paced(fleet))
    return [line.split()[1].strip(".") for line in said.getvalue().splitlines() if line.startswith("Served: ")]


def ratio_of(seed: int, hparams: Hyperparameters, options: argparse.Namespace) -> float:
    """The cost of the last days to what they would have cost by what it began with."""
    demand = habitual_demand(seed, options.days)
    begun = CalibratedPolicy() if options.start == "none" else load_policy(BUILT_IN_MODEL)
    with tempfile.TemporaryDirectory() as place:
        before = played(SimulatedFleet(demand), begun, structs.replace(hparams, live_exploration=0.0), Path(place))
        acted = SimulatedFleet(demand)
        served = live_phase(Path(place), hparams, acted)
    costs = acted.cost(LAST_DAYS), before.cost(LAST_DAYS)
    print(f"seed {seed}: {costs[0]:9.0f} {costs[1]:9.0f} {costs[0] / costs[1]:6.3f}  {', '.join(served)}", flush=True)
    return costs[0] / costs[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--days", type=int, default=9)
    parser.add_argument("--start", choices=("none", "default"), default="none")
    parser.add_argument("-p", dest="overrides", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    given = dict(one.split("=", 1) for one in options.overrides)
    print(f"start={options.start}, {options.days} days {given}\n            paid    before  ratio  verdicts")
    always = {"warm_start": options.start, "live_act": "true", "gs_inventory_url": "http://127.0.0.1:9/"}
    logs = [
        math.log(ratio_of(seed, parse_hyperparameters({**always, "seed": str(seed), **given}), options))
        for seed in range(1, options.seeds + 1)
    ]
    print(f"geometric mean {math.exp(sum(logs) / len(logs)):.3f}")


if __name__ == "__main__":
    main()
