"""What fleets would have cost under a policy, beside the rules that it has to beat. Prints, and judges nothing.

    python bench/policy.py [--lead 10-15 30] [--mean 100] [DEMAND.csv ...]

Without files, the traces beside the project are played, as their scorer puts them on a grid and scales them to a mean
of so many servers. Every trace is decided again at each observation by what serves (hold, policy, guardrail), and the
sizes that the client would set are played in the simulated fleet: growth takes the lead, shrinking is at once. `ratio`
is the cost relative to the cheapest rule or buffer in hindsight, `with boot` the same where servers that boot, which
are paid too, are counted for both, `to buffer` relative to the cheapest buffer; `starts` and `cancels` are a day, in
per cent of the fleet. Beside it: that rule, Agones' buffers, HPA, and the same policy as 0.1.0 applied it (it looked
ten minutes ahead, and the highest size of fifteen minutes stood, what was in use included).
"""

import argparse
import importlib.util
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from autopilot.backtest.benchmark_rules import HPA, LINEAR, LINEAR_MARGIN
from autopilot.backtest.comparison import AUTOPILOT, compare
from autopilot.backtest.earning import earned
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, scenario_for
from autopilot.core.cost import MISSING_PRICE, Score, regular
from autopilot.core.fleet import Lead, parse_lead
from autopilot.core.guardrail import GuardrailRules
from autopilot.core.hold_rules import HoldRules
from autopilot.demand.csv_file import read_demand_csv
from autopilot.demand.series import DemandSeries
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.wiring import build_policy

SHARED = Path(__file__).resolve().parents[2] / "shared"
GAMES = ("osrs", "dota2", "steam", "hypixel")
MEASURES = ("under", "over", "cost", "boot", "short", "worst", "starts", "cancels")
BESIDE = ("Agones buffer 5", "Agones buffer 10 %", "Agones buffer 20 %", HPA, LINEAR, LINEAR_MARGIN)
RULE, BUFFER, AS_0_1_0 = "best rule", "best buffer", "as 0.1.0 applied it"
OLD_WINDOW_MINUTES = 15


def main() -> None:
    args = arguments()
    model = build_policy(args.model)
    for lead in args.lead:
        config = ReplayConfig(
            model, lead, args.missing_price, GuardrailRules(HoldRules(args.hold_minutes)), earns=args.earn
        )
        print(f"\n{model.name}, lead {lead.shortest:g} to {lead.longest:g} minutes\n{heading()}")
        played = []
        for scenario in scenarios(args, lead):
            played.append((scenario.fleet, scores(scenario, config)))
            print(as_json(*played[-1]) if args.json else lines(*played[-1]), flush=True)
        for kind, chosen in groups(played).items():
            print(summary(kind, chosen))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="your own demand; none: the traces")
    parser.add_argument("--model", type=Path, default=BUILT_IN_MODEL, help="a model directory (default: the default)")
    parser.add_argument("--traces", type=Path, default=SHARED / "traces", help="a directory of traces")
    parser.add_argument("--scorer", type=Path, default=SHARED / "bench" / "fleet_score.py", help="knows their grids")
    parser.add_argument("--lead", type=parse_lead, nargs="+", default=[Lead()], help="minutes: 12, or 10-15")
    parser.add_argument("--mean", type=float, default=100.0, help="servers that a trace is scaled to")
    parser.add_argument("--missing-price", type=float, default=MISSING_PRICE, help="of a server, in idle ones")
    parser.add_argument("--hold-minutes", type=float, default=HoldRules().hold_minutes, help="outage hold; 0: off")
    parser.add_argument("--earn", action="store_true", help="the policy has to earn its place, as it serves")
    parser.add_argument("--json", action="store_true", help="one JSON object a trace")
    return parser.parse_args()


def scenarios(args: argparse.Namespace, lead: Lead) -> Iterator[Scenario]:
    for path in args.files:
        yield scenario_for(path.name.partition(".")[0], read_demand_csv(path), lead, args.missing_price)
    if args.files:
        return
    scorer, paths = load_scorer(args.scorer), sorted(args.traces.glob("*.csv.gz"))
    if not paths:
        sys.exit(f"no *.csv.gz in {args.traces}")
    for path in paths:
        frame, _ = scorer.load(path, args.mean)
        seen = frame[frame.known]
        times = seen.index.values.astype("datetime64[s]").astype(np.float64)
        series = DemandSeries(times, seen.demand.to_numpy(np.float64))
        grid = regular(series.times, series.demand)
        first, last = (int(frame.index.get_loc(seen.index[at])) for at in (0, -1))
        scored = frame.scored.to_numpy()[first : last + 1]
        yield Scenario(path.name.partition(".")[0], series, grid, lead, scored, args.missing_price)


def load_scorer(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fleet_score", path)
    if spec is None or spec.loader is None or not path.exists():
        sys.exit(f"no scorer at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores(scenario: Scenario, config: ReplayConfig) -> dict[str, Score]:
    """The autopilot, the same as 0.1.0 applied it, the best rule and buffer in hindsight, and what platforms do."""
    result = compare(scenario, decide_again(scenario, earned(scenario, config)), config)
    rule, best = result.best
    percent, buffered = result.buffer
    found = {AUTOPILOT: result.autopilot, AS_0_1_0: as_0_1_0(scenario, config), f"{RULE}: {rule}": best}
    return found | {f"{BUFFER}: {percent} %": buffered} | {name: result.scores[name] for name in BESIDE}


def as_0_1_0(scenario: Scenario, config: ReplayConfig) -> Score:
    """The same policy, looking ten minutes ahead; the highest size of the last quarter of an hour stands."""
    grid = scenario.grid
    decided = np.full(len(grid), np.nan)
    decided[grid.known] = decide_again(scenario, replace(config, lead=Lead(10.0, 10.0))).allocation
    width = math.ceil(OLD_WINDOW_MINUTES / grid.step_minutes) + 1
    padded = np.concatenate([np.full(width - 1, np.nan), decided])
    standing = np.fmax.reduce(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return scenario.score(np.where(grid.known, standing, np.nan))


def ratios(found: dict[str, Score]) -> dict[str, float]:
    """The autopilot's cost and starts, and the cost of 0.1.0, relative to the best rule and the best buffer."""
    best, buffer = (
        next(score for name, score in found.items() if name.startswith(kind)) for kind in (RULE, "best buf")
    )
    own = found[AUTOPILOT]
    return {
        "ratio": own.cost / best.cost,
        "with boot": (own.cost + own.boot) / (best.cost + best.boot),
        "to buffer": own.cost / buffer.cost,
        "as 0.1.0": found[AS_0_1_0].cost / best.cost,
        "starts": own.starts / max(best.starts, 1e-9),
    }


def heading() -> str:
    return f"{'trace':22}{'':32}" + "".join(f"{name:>9}" for name in (*MEASURES, "ratio"))


def lines(trace: str, found: dict[str, Score]) -> str:
    best = next(score for name, score in found.items() if name.startswith(RULE))
    rows = []
    for name, score in found.items():
        figures = [getattr(score, measure) for measure in MEASURES] + [score.cost / best.cost]
        rows.append(f"{trace:22}{name[:31]:32}" + "".join(f"{figure:9.3f}" for figure in figures))
        trace = ""
    return "\n".join(rows)


def as_json(trace: str, found: dict[str, Score]) -> str:
    table = {name: {measure: getattr(score, measure) for measure in MEASURES} for name, score in found.items()}
    return json.dumps({"trace": trace, "scores": table, "ratios": ratios(found)})


def groups(played: Sequence[tuple[str, dict[str, Score]]]) -> dict[str, list[dict[str, float]]]:
    games = [ratios(found) for trace, found in played if trace.startswith(GAMES)]
    others = [ratios(found) for trace, found in played if not trace.startswith(GAMES)]
    return {kind: chosen for kind, chosen in (("games", games), ("others", others)) if chosen}


def summary(kind: str, rows: Sequence[dict[str, float]]) -> str:
    means = {name: math.exp(sum(math.log(row[name]) for row in rows) / len(rows)) for name in rows[0]}
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return f"{kind} ({len(rows)}), geometric means: {told}; worst ratio {max(row['ratio'] for row in rows):.3f}"


if __name__ == "__main__":
    main()
