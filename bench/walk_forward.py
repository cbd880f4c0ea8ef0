"""Retraining by the clock, played forward over public traces: does it gain, and is a worse model ever served for long?

    python bench/walk_forward.py [--fleets 1500] [--out DIR] [TRACE ...]

Each trace is one fleet, on five-minute slots, scaled to a mean of 100 servers; a name with a star (`steam_*`) is a
studio, whose fleets are the traces that match. From the fourteenth day on, once a week, the last fourteen days are
trained on, from what serves then; where the job's own verdict is for it, the result decides in shadow for a week. It
is promoted where it cost less with an interval below 100 %, and taken back where it then cost more than what it
replaced, three days in a row or by a twentieth over a week: the rules of `autopilot learn --auto`, day by day, without
looking ahead. What is printed: the cost to the default's, each fleet weighing the same, the longest run of days in a
row on which a worse one than the default served, and what happened. DIR gets every job with its report, the figures as
JSON, and a picture of all traces. Jobs that are there already are not trained again. A minute and a half of one core
for each.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from autopilot.backtest.earning import daily_costs
from autopilot.backtest.replay import DAY_SECONDS, ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, set_by_client
from autopilot.core.cost import Doubles, regular, scored_steps
from autopilot.core.fleet import DEFAULT_LEAD
from autopilot.core.history import SLOT_SECONDS
from autopilot.demand.csv_file import read_demand_csv
from autopilot.demand.export_file import write_demand_csv
from autopilot.demand.series import DemandSeries
from autopilot.learning.promotion import DailyCosts, case_of, has_lost
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.policy.metadata import read_metadata
from autopilot.wiring import build_policy

TRACES = Path(__file__).resolve().parents[2] / "shared" / "traces"
NAMES = ("osrs_players_5min", "worldcup98_1min", "azure_v2_cpu_5min", "nasa_http_1min", "steam_*")
MEAN, LEARNED_DAYS, WEEK = 100.0, 14, 7
_LONGEST_LINE = 12
"""Slots: values that a source keeps an hour apart, but otherwise closer, are joined by lines."""


@dataclass
class TraceFleet:
    """One trace as a fleet, and what each model costs on its whole days."""

    name: str
    series: DemandSeries
    _costs: dict[Path, Doubles] = field(default_factory=dict)

    @cached_property
    def scenario(self) -> Scenario:
        grid = regular(self.series.times, self.series.demand)
        return Scenario(self.name, self.series, grid, DEFAULT_LEAD, scored_steps(grid, 0.0))

    @cached_property
    def days(self) -> npt.NDArray[np.int64]:
        """UTC days of which enough is known."""
        return daily_costs(self.scenario, self.series.demand[self.scenario.grid.observed])[0]

    def cost(self, model: Path) -> Doubles:
        """What a model costs on each of the days, played once over all of the trace."""
        if model not in self._costs:
            config = ReplayConfig(build_policy(model))
            sizes = set_by_client(self.scenario, decide_again(self.scenario, config), config)
            self._costs[model] = daily_costs(self.scenario, sizes)[1]
        return self._costs[model]

    def beside(self, served: Path, own: Path, days: Sequence[int]) -> DailyCosts:
        """Two models over some of the days."""
        kept = np.isin(self.days, days)
        return DailyCosts(self.name, self.days[kept].tolist(), self.cost(served)[kept], self.cost(own)[kept])

    def before(self, until: float) -> DemandSeries:
        """What is trained on."""
        kept = (self.series.times < until) & (self.series.times >= until - LEARNED_DAYS * DAY_SECONDS)
        return DemandSeries(self.series.times[kept], self.series.demand[kept])


@dataclass
class Walk:
    """Fleets that are learned from together, and what happened to the models that were made of them."""

    name: str
    fleets: Sequence[TraceFleet]
    place: Path
    settings: Mapping[str, str]
    events: list[tuple[int, str]] = field(default_factory=list)

    @cached_property
    def days(self) -> list[int]:
        """UTC days of which enough is known of some fleet."""
        return sorted({int(day) for fleet in self.fleets for day in fleet.days})

    def beside(self, served: Path, own: Path, part: slice) -> list[DailyCosts]:
        """Two models over some of the days, fleet by fleet."""
        return [fleet.beside(served, own, self.days[part]) for fleet in self.fleets]

    def served(self, models: Sequence[Path]) -> tuple[Doubles, Doubles]:
        """What the model of each day costs [D], and the default: each fleet in units of the default's mean there."""
        out = np.zeros((2, len(self.days)))
        for fleet in self.fleets:
            default = fleet.cost(BUILT_IN_MODEL)
            for at, day in enumerate(fleet.days.tolist()):
                place = self.days.index(day)
                out[:, place] += np.array([fleet.cost(models[place])[at], default[at]]) / default.mean()
        return out[0], out[1]

    def train(self, served: Path, at: int) -> Path | None:
        """The model that is trained on the fourteen days before a day; None where the verdict is against it."""
        job = self.place / self.name.strip("_*") / str(at)
        link = job / "input" / "data" / "model"
        if link.resolve() != served.resolve() or not (job / "model" / "metadata.json").exists():
            shutil.rmtree(job, ignore_errors=True)
            (job / "input" / "data" / "training").mkdir(parents=True, exist_ok=True)
            parts = {fleet.name: fleet.before(self.days[at] * DAY_SECONDS) for fleet in self.fleets}
            write_demand_csv(job / "input" / "data" / "training" / "demand.csv", parts, named=True)
            link.symlink_to(served.resolve())
            settings = [word for name, value in self.settings.items() for word in ("-p", f"{name}={value}")]
            subprocess.run(
                [sys.executable, "-m", "autopilot.training", "--root", str(job), "-p", f"name=week{at}", *settings],
                check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1",
                "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
            )  # fmt: skip
        made = read_metadata(job / "model")
        same = made.model_sha256 == read_metadata(served).model_sha256
        return None if same or made.scores.get("chosen") != "trained" else job / "model"

    def play(self) -> Iterator[Path]:
        """The model that serves on each day."""
        served, before, since, candidate = BUILT_IN_MODEL, BUILT_IN_MODEL, 0, None
        trained_at = 0
        for at in range(len(self.days)):
            if served != before and has_lost(self.beside(before, served, slice(since, at))):
                self.events.append((at, "taken back"))
                served, since = before, at
            if at >= LEARNED_DAYS and at % WEEK == 0:
                if candidate is not None:
                    case = case_of(self.beside(served, candidate, slice(trained_at, at)))
                    against = list(case.objections(WEEK))
                    said = "promoted" if not against else f"not promoted ({100 * case.ratio:.1f} %)"
                    self.events.append((at, said))
                    if not against:
                        before, served, since = served, candidate, at
                    candidate = None
                if at + WEEK < len(self.days):  # a trial that ends after the trace decides nothing
                    candidate, trained_at = self.train(served, at), at
                    self.events.append((at, "candidate" if candidate else "nothing better found"))
            yield served


def fleet(path: Path) -> DemandSeries:
    """A trace as the history has it: the last report of each slot, scaled to the mean."""
    read = read_demand_csv(path)
    slots, last = np.unique((read.times // SLOT_SECONDS)[::-1], return_index=True)
    demand = read.demand[::-1][last]
    if (step := round(float(np.median(np.diff(slots))))) > 1:
        slots, demand = joined(slots, demand, step)
    return DemandSeries(slots * SLOT_SECONDS, np.round(demand * MEAN / demand.mean()))


def joined(slots: Doubles, demand: Doubles, step: int) -> tuple[Doubles, Doubles]:
    """The same at every `step` slots, along lines; longer gaps than an hour stay."""
    at = np.arange(slots[0], slots[-1] + 1, step)
    gap = np.diff(slots)[np.clip(np.searchsorted(slots, at, "right") - 1, 0, len(slots) - 2)]
    kept = at[gap <= _LONGEST_LINE]
    return kept, np.interp(kept, slots, demand)


def fleets_of(name: str) -> list[TraceFleet]:
    """The fleets of a trace, or of a studio."""
    return [TraceFleet(path.name.partition(".")[0], fleet(path)) for path in sorted(TRACES.glob(f"{name}.csv.gz"))]


def longest_worse(served: Doubles, default: Doubles) -> int:
    """The longest run of days on which what served cost more than the default."""
    longest = run = 0
    for worse in served > default * (1 + 1e-9):
        run = run + 1 if worse else 0
        longest = max(longest, run)
    return longest


def picture(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Each trace: what served to the default, day by day and over three days, and what happened when."""
    figure, axes = plt.subplots(len(results), 1, figsize=(9, 2.6 * len(results)), squeeze=False, layout="constrained")
    for axis, one in zip(axes[:, 0], results, strict=True):
        served, default = np.array(one["served"]), np.array(one["default"])
        three = [np.convolve(cost, np.ones(3), "valid") for cost in (served, default)]
        axis.axhline(100, color="0.6", linewidth=0.8)
        axis.bar(np.arange(len(served)), 100 * served / default - 100, bottom=100, color="#9ecae1", label="a day")
        axis.plot(np.arange(2, len(served)), 100 * three[0] / three[1], color="#08519c", label="three days")
        top = axis.get_ylim()[1]
        for at in sorted({day for day, _ in one["events"]}):
            said = "\n".join(words for day, words in one["events"] if day == at)
            axis.axvline(at, color="0.8", linewidth=0.8, zorder=0)
            axis.text(at + 0.2, top, said, rotation=90, va="top", fontsize=7, color="0.3")
        axis.set(title=f"{one['trace']}: {100 * one['ratio']:.1f} % of the default's cost", xlabel="day",
                 ylabel="cost, default = 100 %", xlim=(-0.5, len(served)))  # fmt: skip
    axes[0, 0].legend(loc="lower left", fontsize=7)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "traces", nargs="*", default=NAMES, help="names without .csv.gz (default: all of 20 days or more)"
    )
    parser.add_argument("--fleets", default="1500", help="simulated fleets that are trained on beside (train: 6000)")
    parser.add_argument("--out", type=Path, default=Path("build/walk_forward"), help="jobs, results and the report")
    args = parser.parse_args()
    results = []
    for name in args.traces:
        walk = Walk(name, fleets_of(name), args.out, {"fleets": args.fleets})
        served, default = walk.served(list(walk.play()))
        counted = slice(LEARNED_DAYS, None)
        ratio, worse = served[counted].sum() / default[counted].sum(), longest_worse(served, default)
        said = f"{100 * ratio:6.1f} % of the default's cost, worse for {worse} days in a row"
        print(f"{name:22} {len(default)} days  {said}", flush=True)
        for at, said in walk.events:
            print(f"    day {at:3}  {said}")
        results.append({"trace": name, "ratio": ratio, "worse": worse, "events": walk.events,
                        "served": served.tolist(), "default": default.tolist()})  # fmt: skip
        (args.out / "results.json").write_text(json.dumps(results, indent=1))
        picture(results, args.out / "walk_forward.png")


if __name__ == "__main__":
    main()
