"""How long a promoted model that is worse serves, and what a better one still gains: the take-back rule, day by day.

    python bench/taking_back.py MODEL [TRACE ...]

On each public trace MODEL (an older default: `git archive 5d30b51 container/autopilot/models/default | tar x -C DIR`)
is promoted over the built-in one, and the built-in one over MODEL, once on every day but the last week; from then on
`learning.promotion.has_lost` is asked every midnight, as `autopilot learn --auto` asks it, and what it takes back stays
so. Prints, of all these beginnings: what the promoted model costs to what it replaced on all of the trace, and what was
paid in the end, in per cent; the share that was taken back; and the longest run of days in a row on which what served
cost more. A minute of one core.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from autopilot.core.cost import Doubles
from autopilot.learning.promotion import DailyCosts, has_lost
from autopilot.policy.learned import BUILT_IN_MODEL
from bench.walk_forward import NAMES, WEEK, fleets_of, longest_worse


def promoted(before: Doubles, own: Doubles) -> Iterator[tuple[Doubles, Doubles]]:
    """What is paid from each day of promotion on, with the day on which it is taken back, and what was before: [D]."""
    for since in range(len(own) - WEEK):
        paid = own[since:].copy()
        for day in range(1, len(paid) + 1):
            if has_lost([DailyCosts("fleet", range(day), before[since : since + day], paid[:day])]):
                paid[day:] = before[since + day :]
                break
        yield paid, before[since:]


@dataclass(frozen=True, slots=True)
class PromotionOutcome:
    """One trace and direction, over all beginnings: costs to those of what served before.

    promoted     of the promoted model, had nobody taken it back, on all of the trace
    paid, worst  in the end: the mean, and the dearest beginning
    back         share of the beginnings in which it was taken back
    worse        longest run of days in a row on which what served cost more
    """

    name: str
    beginnings: int
    promoted: float
    paid: float
    worst: float
    back: float
    worse: int

    def __str__(self) -> str:
        percent = "".join(f"{100 * one:9.1f}" for one in (self.promoted, self.paid, self.worst))
        return f"{self.name:44}{self.beginnings:5}{percent}{100 * self.back:8.0f}{self.worse:7}"


def outcome(name: str, before: Doubles, own: Doubles) -> PromotionOutcome:
    """What comes of a model that is promoted on each of the days [D], by the costs of both."""
    found = list(promoted(before, own))
    paid = [float(one.sum() / other.sum()) for one, other in found]
    back = float(np.mean([one[-1] == other[-1] for one, other in found]))
    worse = max(longest_worse(one, other) for one, other in found)
    stayed = float(own.sum() / before.sum())
    return PromotionOutcome(name, len(found), stayed, float(np.mean(paid)), max(paid), back, worse)


def picture(outcomes: Sequence[PromotionOutcome], path: Path) -> None:
    """Each trace and direction, the dearest model first: what was promoted, and what was paid."""
    ordered = sorted(outcomes, key=lambda one: one.promoted)
    figure, axis = plt.subplots(figsize=(9, 0.28 * len(ordered) + 1.2), layout="constrained")
    at = np.arange(len(ordered))
    costs = 100 * np.array([(one.promoted, one.paid, one.worst) for one in ordered])
    never, paid, worst = costs.T
    axis.axvline(100, color="0.6", linewidth=0.8)
    axis.hlines(at, paid, worst, color="#9ecae1", linewidth=3, label="paid: mean to the dearest beginning")
    axis.plot(paid, at, "o", color="#08519c", label="paid, mean of all beginnings")
    axis.plot(never, at, "x", color="#d94801", label="had it never been taken back")
    axis.set(yticks=at, yticklabels=[one.name for one in ordered], xlabel="cost, what served before = 100 %")
    axis.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="another model for fleets")
    parser.add_argument("traces", nargs="*", default=NAMES, help="names without .csv.gz")
    parser.add_argument("--picture", type=Path, default=Path("build/taking_back.png"))
    args = parser.parse_args()
    print(f"{'':44}{'from':>5}{'promoted':>9}{'paid':>9}{'worst':>9}{'back %':>8}{'worse':>7}")
    outcomes = []
    for fleet in (one for name in args.traces for one in fleets_of(name)):
        built_in, other = (fleet.cost(model) for model in (BUILT_IN_MODEL, args.model))
        outcomes.append(outcome(f"{fleet.name}, the other", built_in, other))
        outcomes.append(outcome(f"{fleet.name}, the built-in", other, built_in))
        print(*outcomes[-2:], sep="\n", flush=True)
    picture(outcomes, args.picture)


if __name__ == "__main__":
    main()
