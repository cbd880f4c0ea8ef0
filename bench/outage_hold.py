"""What the outage hold is worth: outages and honest falls with a known truth, and what it costs games that have none.

    python bench/outage_hold.py [--seeds 1 2 3 4] [--drawn 200] [--traces DIR]

A fleet follows what is believed and its own 5/6 error quantile; its cost (5 for a missing server-hour, 1 for an idle
one) is given relative to the same fleet told the truth. `signs`: the same falls with arrivals and a queue of their own,
leaky outages among them, which let a share of the players through. The cases, the scorer and the traces are not part of
the project; without them there is nothing to print.
"""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from testkit.outages import SHARED, Case, Columns, believe, costs, scorer

DAY = 288
KINDS = ("outage", "again", "honest")
BEFORE = "0.1.0, the same follower    6.3 /  9.7 /  3.8 fixed;  4.8 /  8.3 /  1.1 drawn; holds nothing 16 / 18 / 1.0"
_STAY = 2 ** (-5 / 20)  # of the sessions, five minutes on


def ratios(scoring: ModuleType, seed: int, drawn: int, signs: bool) -> list[float]:
    """Cost to that of the truth by kind, of the fixed cases (none drawn) or of so many drawn ones."""
    cases = list(scoring.all_cases(seed, drawn))
    kinds = np.array([kind for _, kind, *_ in cases])
    given: list[Case] = [tuple(case[3:]) for case in cases]  # type: ignore[misc]
    reported = np.array([case[0] for case in given])
    columns = _columns(kinds, given, np.random.default_rng([seed, 7])) if signs else Columns()
    need = reported if columns.queue is None else reported + columns.queue
    first = max(min(event[0] for *_, event in given) - 4 * DAY, 0)
    believed = believe(need, slice(first, max(event[1] for *_, event in given) + 80), columns=columns).demand
    spent = np.array([costs(scoring, case, mine) for case, mine in zip(given, believed, strict=True)])
    return [float(np.divide(*spent[kinds == kind].sum(axis=0))) for kind in KINDS]


def _columns(kinds: np.ndarray, cases: list[Case], random: np.random.Generator) -> Columns:
    """Arrivals and a queue for each case. In an outage nobody begins, or those who get through do; some wait."""
    arrivals, queues = [], []
    for kind, (reported, truth, _) in zip(kinds, cases, strict=True):
        honest, leaky, waits = kind == "honest", random.random() < 0.3, random.random() < 0.7
        seen = np.nan_to_num(reported, nan=0.0)
        comes = np.maximum(truth[1:] - _STAY * truth[:-1], 0)
        lost = ~np.isclose(seen, truth) & ~np.isnan(reported)
        if not honest:
            through = np.maximum(seen[1:] - _STAY * seen[:-1], 0) if leaky else np.zeros(len(comes))
            comes = np.where(lost[1:], through, comes)
        arrivals.append(np.cumsum(random.poisson(np.append(comes[:1], comes))) + 1000.0)
        waiting = np.where(lost & (leaky or waits), (truth - seen) * random.uniform(0.15, 0.5), 0.0)
        waiting[1:] = np.minimum(waiting[1:], waiting[:-1] + 0.2 * (truth - seen)[1:].clip(0))  # a queue has to grow
        queues.append(np.round(waiting) * (not honest))
    return Columns(np.array(arrivals), np.array(queues))


def false_holds(folder: Path) -> None:
    """What holds cost public traces, which have no outages: cost with the hold to cost without, lead 10-15."""
    sys.path.insert(0, str(SHARED))
    judge, outages = importlib.import_module("fleet_score"), importlib.import_module("outages")
    logs = []
    print(f"\n{'trace':26} {'decisions':>9} {'held':>7} {'deepest fall':>12} {'cost':>6}")
    for path in sorted(folder.glob("*.csv.gz")):
        frame, step = judge.load(path)
        every = max(1, round(5 / step))
        demand = np.where(frame.known, frame.demand, np.nan)
        slots = np.full(-(-len(demand) * step // 5), np.nan)
        at = np.arange(0, len(demand), every) * step // 5
        slots[at] = demand[::every]
        believed = believe(slots[None], slice(None))
        held = np.zeros(len(demand), bool)
        held[::every] = believed.held[0, at]
        mine = frame.demand.to_numpy().copy()
        mine[held] = believed.demand[0, at][held[::every]]
        extra = {"hold": outages.simple(mine), "none": outages.simple(frame.demand.to_numpy())}
        rows = {row["policy"]: row["cost"] for row in judge.evaluate(path, extra=extra)[1]}
        cost, scored = rows["hold"] / rows["none"], frame.scored.to_numpy()
        deepest = min(
            (
                float(demand[i] / np.nanmax(demand[max(i - 60 // step, 0) : i + 1]))
                for i in np.flatnonzero(held & scored)
            ),
            default=1.0,
        )
        print(
            f"{path.name.split('.')[0]:26} {scored.sum():9} {(held & scored).sum():7} {1 - deepest:12.0%} {cost:6.3f}",
            flush=True,
        )
        if not path.name.startswith(("azure", "alibaba", "worldcup", "nasa")):
            logs.append(np.log(cost))
    print(f"games, geometric mean {np.exp(np.mean(logs)):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--drawn", type=int, default=200)
    parser.add_argument("--traces", type=Path, default=SHARED.parent / "traces")
    args = parser.parse_args()
    scoring = scorer()
    if scoring is None:
        raise SystemExit(f"skipped: no cases at {SHARED}")
    print("cost to that of the truth: outage / again / honest\n" + BEFORE)
    for signs in (False, True):
        name = "with signs" if signs else "demand alone"
        print(
            f"{name:12} fixed        " + " / ".join(f"{one:5.2f}" for one in ratios(scoring, 1, 0, signs)), flush=True
        )
        drawn = np.array([ratios(scoring, seed, args.drawn, signs) for seed in args.seeds])
        for seed, row in zip(args.seeds, drawn, strict=True):
            print(f"{name:12} drawn, {seed:<4}  " + " / ".join(f"{one:5.2f}" for one in row))
        print(f"{name:12} drawn, mean  " + " / ".join(f"{one:5.2f}" for one in drawn.mean(axis=0)), flush=True)
    false_holds(args.traces)


if __name__ == "__main__":
    main()
