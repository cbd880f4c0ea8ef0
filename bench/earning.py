"""What it costs that the policy has to earn its place, on made-up fleets that it is bad at. Prints, and judges nothing.

    python bench/earning.py [--model DIR] [--lead 10-15 30]

Each fleet lives for three weeks. `policy` is the policy's cost to the calibrated rule's, `earned` that of whichever had
earned more until then: over the last 14 days, with a week before them that was judged, and over the first 14, when
nothing was known. `days` on which the rule served, of 21. The public traces: bench/policy.py, with and without --earn.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from autopilot.backtest.earning import earned
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, scenario_for, set_by_client
from autopilot.core.cost import Doubles
from autopilot.core.fleet import Lead, parse_lead
from autopilot.demand.series import DemandSeries
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.wiring import build_policy

DAYS, JUDGED = 21, 14
SLOT = np.arange(DAYS * 288)
TIMES = 1_790_035_200 + 300.0 * SLOT


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


def cost(scenario: Scenario, config: ReplayConfig) -> Doubles:
    """The cost of each day, in idle server-hours: [21]."""
    return scenario.daily(set_by_client(scenario, decide_again(scenario, config), config))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUILT_IN_MODEL, help="a model directory (default: the default)")
    parser.add_argument("--lead", type=parse_lead, nargs="+", default=[Lead(), Lead(30, 30)], help="12, or 10-15")
    args = parser.parse_args()
    policy = build_policy(args.model)
    print(f"{policy.name}\n{'':42}{'last 14 days':>18}{'first 14 days':>18}")
    print(f"{'fleet':30}{'lead':>12}{'policy':>9}{'earned':>9}{'policy':>9}{'earned':>9}{'days':>6}")
    for lead in args.lead:
        for name, demand in made_up().items():
            scenario = scenario_for(name, DemandSeries(TIMES, np.round(demand)), lead, warm_up_days=0.0)
            alone = ReplayConfig(policy, lead, earns=True)
            judged = earned(scenario, alone)
            rule = cost(scenario, replace(alone, policy=CalibratedPolicy()))
            both = [cost(scenario, config) for config in (alone, judged)]
            parts = slice(DAYS - JUDGED, None), slice(0, JUDGED)
            ratios = "".join(f"{one[part].sum() / rule[part].sum():9.3f}" for part in parts for one in both)
            print(f"{name:30}{f'{lead.shortest:g}-{lead.longest:g}':>12}{ratios}{len(judged.rule_days):6}")


if __name__ == "__main__":
    main()
