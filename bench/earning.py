"""What it costs that the policy has to earn its place, on made-up fleets that it is bad at. Prints, and judges nothing.

    python bench/earning.py [--model DIR] [--lead 10-15 30] [--drawn 18] [--seed 1]

Each fleet lives for three weeks. `policy` is the policy's cost to the calibrated rule's, `earned` that of whichever had
earned more until then: over the last 14 days, with a week before them that was judged, and over the first 14, when
nothing was known. `days` on which the rule served, of 21. First those that are written down here, then as many drawn
ones as asked for, of the same kinds: two levels, saws and waves of 15 minutes to two hours; of those that the policy
loses to the rule in the first fortnight, the mean and the worst. The public traces: bench/policy.py, with and
without --earn.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autopilot.backtest.earning import trial_of
from autopilot.backtest.replay import PART_SECONDS, ReplayConfig
from autopilot.backtest.scenario import play_each, scenario_for
from autopilot.core.cost import Doubles
from autopilot.core.fleet import Lead, parse_lead
from autopilot.demand.series import DemandSeries
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.wiring import build_policy

DAYS, JUDGED = 21, 14
SLOT = np.arange(DAYS * 288)
TIMES: Doubles = 1_790_035_200 + 300.0 * SLOT


def made_up() -> dict[str, Doubles]:
    """Fleets that no game has: [T] servers each."""
    hour = SLOT % 12 / 12
    early, late = 80 + 60 * hour, 100 + 50 * np.sin(SLOT / 288 * 2 * np.pi)
    return {
        "saw of an hour": early,
        "two levels, 25 minutes each": np.where(SLOT // 5 % 2 == 0, 100.0, 140.0),
        "days that alternate": 100 + 50 * np.sin(SLOT / 288 * 2 * np.pi) * np.where(SLOT // 288 % 2 == 0, 1, -1),
        "a day's curve, then a saw": np.where(SLOT < 10 * 288, late, early),
        "a saw, then a day's curve": np.where(SLOT < 10 * 288, early, late),
    }


def drawn(count: int, seed: int) -> Iterator[tuple[str, Doubles]]:
    """Fleets of other sizes, periods, heights and beginnings, every second one with noise: [T] servers each."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        slot, size = SLOT + rng.integers(288), np.exp(rng.uniform(np.log(30), np.log(600)))
        kind, period, height = number % 3, rng.integers(3, 25), rng.uniform(0.2, 1.0)
        part = slot % period / period
        shape = (part * 2 // 1, part, 0.5 + 0.5 * np.sin(2 * np.pi * part))[kind]
        demand = size * (1 + height * shape)
        name = f"{('levels', 'saw', 'wave')[kind]} of {5 * period} minutes"
        noisy = number // 3 % 2 == 1
        yield f"{name}, noise" if noisy else name, (rng.poisson(demand) if noisy else demand).astype(np.float64)


def ratios_of(name: str, demand: Doubles, alone: ReplayConfig) -> tuple[list[float], float]:
    """To the rule's cost, policy and earned, over the last 14 days and over the first; and days on which it served."""
    scenario = scenario_for(name, DemandSeries(TIMES, np.round(demand)), alone.lead, warm_up_days=0.0)
    policy, rule = play_each(scenario, [alone, replace(alone, policy=CalibratedPolicy())])
    by_rule = trial_of(scenario, policy, rule).serves_rule((scenario.grid.times // PART_SECONDS).astype(np.int64))
    costs = [scenario.daily(sizes)[1] for sizes in (policy, np.where(by_rule, rule, policy), rule)]
    parts = slice(DAYS - JUDGED, None), slice(0, JUDGED)
    return [one[part].sum() / costs[2][part].sum() for part in parts for one in costs[:2]], DAYS * by_rule.mean()


def _spread(ratios: Doubles) -> str:
    return f"{ratios.mean():.3f} (worst {ratios.max():.3f})"


def summary(first_fortnight: Sequence[tuple[float, float]]) -> str:
    """Of the fleets on which the policy costs more than the rule, and of the others."""
    policy, own = np.array(first_fortnight).T
    kinds = [(words, chosen) for words, chosen in (("loses", policy > 1), ("wins", policy <= 1)) if chosen.any()]
    return "\n".join(
        f"{chosen.sum()} on which the policy {words}, first 14 days: policy {_spread(policy[chosen])}, "
        f"earned {_spread(own[chosen])}"
        for words, chosen in kinds
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUILT_IN_MODEL, help="a model directory (default: the default)")
    parser.add_argument("--lead", type=parse_lead, nargs="+", default=[Lead(), Lead(30, 30)], help="12, or 10-15")
    parser.add_argument("--drawn", type=int, default=18, help="fleets that are drawn, beside those written down")
    parser.add_argument("--seed", type=int, default=1, help="of the drawn ones")
    args = parser.parse_args()
    policy = build_policy(args.model)
    print(f"{policy.name}\n{'':46}{'last 14 days':>18}{'first 14 days':>18}")
    print(f"{'fleet':34}{'lead':>12}{'policy':>9}{'earned':>9}{'policy':>9}{'earned':>9}{'days':>7}")
    for lead in args.lead:
        alone, found = ReplayConfig(policy, lead, earns=True), []
        for name, demand in (*made_up().items(), *drawn(args.drawn, args.seed)):
            ratios, days = ratios_of(name, demand, alone)
            found.append((ratios[2], ratios[3]))
            said = "".join(f"{one:9.3f}" for one in ratios)
            print(f"{name:34}{f'{lead.shortest:g}-{lead.longest:g}':>12}{said}{days:7.2f}", flush=True)
        print(summary(found))


if __name__ == "__main__":
    main()
