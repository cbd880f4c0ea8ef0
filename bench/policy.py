"""What a policy costs on demand traces, beside the rules that it has to beat. Prints, and judges nothing.

PYTHONPATH=container python bench/policy.py --traces ../shared/traces --scorer ../shared/bench/score.py

Every trace is replayed as the service would have seen it: features, network and guardrail (no limits), a decision at
each observation. The scorer's protocol does the rest: demand is scaled to 100 servers on average and rounded, and what
is decided at t is in force at t + lead. `ratio` is the cost relative to the best rule in hindsight, `to buffer` to the
best fixed buffer in hindsight, `to +20%` to a buffer of 20 %.
"""

import argparse
import csv
import importlib.util
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np

from autopilot.backtest.replay import Operator, replay
from autopilot.core.guardrail import GuardrailRules
from autopilot.core.hold_rules import HoldRules
from autopilot.demand.csv_file import DemandSeries
from autopilot.policy.learned import LearnedPolicy
from autopilot.policy.litert import Network
from autopilot.policy.metadata import read_metadata, read_model
from autopilot.ports import Policy

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODEL = Path(__file__).resolve().parents[1] / "container" / "model"
GAMES = ("osrs", "dota2", "steam", "hypixel")
MEASURES = ("under", "over", "cost", "short", "worst")
RATIOS = ("ratio", "to buffer", "to +20%")


def main() -> None:
    args = arguments()
    scorer = load_scorer(args.scorer)
    paths = sorted(args.traces.glob("*.csv.gz"))
    if not paths:
        sys.exit(f"no *.csv.gz in {args.traces}")
    for lead in args.lead:
        operator = Operator(policy(args.model, lead), lead, GuardrailRules(HoldRules(args.hold_minutes)))
        rows = []
        print(f"\n{operator.policy.name}, lead {lead} minutes\n{heading()}")
        for path in paths:
            rows.append(row(scorer, path, operator))
            print(json.dumps(rows[-1]) if args.json else line(rows[-1]), flush=True)
        for kind, chosen in groups(rows).items():
            print(summary(kind, chosen))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a model directory (default: the default policy)")
    parser.add_argument("--traces", type=Path, default=SHARED / "traces", help="a directory of traces")
    parser.add_argument("--scorer", type=Path, default=SHARED / "bench" / "score.py", help="the reference scorer")
    parser.add_argument("--lead", type=int, nargs="+", default=[10], choices=(10, 20, 30), help="minutes")
    parser.add_argument("--hold-minutes", type=float, default=HoldRules().hold_minutes, help="outage hold; 0: off")
    parser.add_argument("--json", action="store_true", help="one JSON object a trace")
    return parser.parse_args()


def load_scorer(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", path)
    if spec is None or spec.loader is None:
        sys.exit(f"no scorer at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def policy(directory: Path, lead: int) -> Policy:
    """The network of a model directory, looking `lead` minutes ahead."""
    metadata = replace(read_metadata(directory), horizon_minutes=lead)
    return LearnedPolicy(metadata, Network(read_model(directory, metadata), metadata.width, metadata.outputs))


def row(scorer: ModuleType, path: Path, operator: Operator) -> dict[str, float | str]:
    """The measures of one trace: the policy's own, and its cost relative to the others'."""
    frame, _ = scorer.load(path)
    seen = frame[frame.known]
    times = seen.index.values.astype("datetime64[s]").astype(np.float64)
    series = DemandSeries(times, seen.demand.to_numpy(np.float64))
    decided = replay(path.name, series, np.arange(len(times)), operator)
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "allocations.csv"
        write_allocations(table, times, decided.allocation)
        name, rows = scorer.evaluate(path, operator.lead_minutes, table)
    found = {r["policy"].partition(" (hindsight)")[0]: r for r in rows}
    mine = found["mine"]
    others = found["best rule"], found["best fixed buffer"], found["reactive +20%"]
    ratios = dict(zip(RATIOS, (mine["cost"] / other["cost"] for other in others), strict=True))
    rule = next(r["policy"] for r in rows if r["policy"].startswith("best rule"))
    return {"trace": name, **{m: float(mine[m]) for m in MEASURES}, **ratios, "best rule": rule.partition(": ")[2]}


def write_allocations(path: Path, times: np.ndarray, allocation: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "allocation"])
        for at, servers in zip(times.tolist(), allocation.tolist(), strict=True):
            writer.writerow([datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), servers])


def groups(rows: Sequence[dict]) -> dict[str, list[dict]]:
    games = [r for r in rows if r["trace"].startswith(GAMES)]
    return {"games": games, "services": [r for r in rows if r not in games]}


def heading() -> str:
    return f"{'trace':24}" + "".join(f"{name:>10}" for name in (*MEASURES, *RATIOS)) + "  best rule in hindsight"


def line(found: dict) -> str:
    return (
        f"{found['trace']:24}" + "".join(f"{found[n]:10.3f}" for n in (*MEASURES, *RATIOS)) + f"  {found['best rule']}"
    )


def summary(kind: str, rows: Sequence[dict]) -> str:
    if not rows:
        return f"{kind}: no trace"
    means = {name: math.exp(sum(math.log(r[name]) for r in rows) / len(rows)) for name in RATIOS}
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return f"{kind}, geometric means: {told}; worst ratio {max(r['ratio'] for r in rows):.3f}"


if __name__ == "__main__":
    main()
