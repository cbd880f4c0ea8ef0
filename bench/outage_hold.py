"""How many scored steps of real traces the outage hold disbelieves, and what that costs in idle servers.

    python bench/outage_hold.py [--traces DIR] [--scorer score.py]

The traces and the reference scorer are not part of the project; without them there is nothing to count.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np

from autopilot.core.history import SLOT_SECONDS, WINDOW_SLOTS
from autopilot.core.hold_rules import HoldRules
from autopilot.core.outage import held_level, suspicious

SHARED = Path(__file__).parent.parent.parent / "shared"


def slotted(frame):
    """Demand by slot [S] with NaN for gaps, and which slots are scored [S]."""
    slots = frame.index.values.astype("datetime64[s]").astype(np.int64) // SLOT_SECONDS
    slots -= slots[0]
    demand, scored = np.full(slots[-1] + 1, np.nan, np.float32), np.zeros(slots[-1] + 1, bool)
    known = frame.known.to_numpy()
    demand[slots[known]] = frame.demand.to_numpy()[known]
    scored[slots[frame.scored.to_numpy()]] = True
    return demand, scored & ~np.isnan(demand)


def holds(demand, scored, rules):
    """Scored steps, held steps among them, separate holds, and idle servers in them as a share of demand."""
    padded = np.concatenate([np.full(WINDOW_SLOTS - 1, np.nan, np.float32), demand])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SLOTS)
    steps = np.flatnonzero(scored)
    doubted = np.concatenate(
        [suspicious(windows[part], rules) for part in np.array_split(steps, len(steps) // 4000 + 1)]
    )
    levels = {at: level for at in steps[doubted] if (level := held_level(windows[at], rules)) is not None}
    held = np.array(sorted(levels))
    episodes = int(np.count_nonzero(np.diff(held) > 3)) + bool(len(held))
    idle = sum(max(level - demand[at], 0) for at, level in levels.items()) / demand[steps].sum()
    return len(steps), len(held), episodes, idle


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=SHARED / "traces")
    parser.add_argument("--scorer", type=Path, default=SHARED / "bench" / "score.py")
    args = parser.parse_args()
    if not args.scorer.exists():
        raise SystemExit(f"skipped: no scorer at {args.scorer}")
    spec = importlib.util.spec_from_file_location("score", args.scorer)
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    print(f"{'trace':26} {'scored steps':>12} {'in hold':>8} {'share':>7} {'holds':>6} {'idle':>7}")
    for path in sorted(args.traces.glob("*.csv.gz")):
        frame, _ = score.load(path)
        steps, held, episodes, idle = holds(*slotted(frame), HoldRules())
        print(f"{path.name.split('.')[0]:26} {steps:12} {held:8} {held / steps:7.2%} {episodes:6} {idle:7.3%}")


if __name__ == "__main__":
    main()
