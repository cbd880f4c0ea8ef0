#!/usr/bin/env python3
"""Write into a model's metadata.json what its training fleets were like: `trained_on`, which drift is held against.

PYTHONPATH=container python scripts/trained_on.py [--model DIR] [--fleets 240] [--seed 11]

Simulated fleets are drawn as training draws them, and the model is played on their last days, a week behind
them, for each of several leads. Of each feature the range is written in which all but one in a hundred days lie on
either side; of the error, what all but one in a hundred days stay below.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import scenario_for, sizes_decided
from autopilot.core.cost import Doubles
from autopilot.core.fleet import Lead
from autopilot.core.trained_on import FEATURES
from autopilot.demand.series import DemandSeries
from autopilot.learning.drift import errors_and_features
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.policy.metadata import METADATA_FILE, read_metadata
from autopilot.sim.mixture import generate_mixture

LEADS = (Lead(), Lead(30, 30), Lead(60, 60))
COVERED = (5.0, 60.0)
"""Minutes to the end of a lead: what training draws."""
DAYS, JUDGED, STEP = 10, 3, 5
UNUSUAL = 0.01
MIDNIGHT = 1_790_035_200 // 86400 * 86400


def days_of(demand: Doubles, config: ReplayConfig) -> tuple[Doubles, Doubles]:
    """The errors of a fleet's last days but one [D], and their features [D, F], of demand [T] every five minutes."""
    series = DemandSeries(MIDNIGHT + np.arange(len(demand), dtype=np.float64) * 60 * STEP, demand)
    scenario = replace(scenario_for("fleet", series, config.lead, warm_up_days=DAYS - JUDGED), run_up_days=0.1)
    errors, features = errors_and_features(scenario, sizes_decided(scenario, config))
    return errors[1:], features[1:]  # whose days before are known


def main() -> None:
    """Play, say and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUILT_IN_MODEL, help="a model directory (default: the default)")
    parser.add_argument("--fleets", type=int, default=240)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    policy = load_policy(args.model)
    minutes = generate_mixture(np.random.default_rng(args.seed), args.fleets, DAYS * 1440)
    fleets = [one[::STEP].astype(np.float64) for one in minutes if one[-JUDGED * 1440 :].any()]
    said = []
    for lead in LEADS:
        parts = [days_of(one, ReplayConfig(policy, lead)) for one in fleets]
        errors, features = (np.concatenate(one) for one in zip(*parts, strict=True))
        low, high = np.quantile(features, (UNUSUAL, 1 - UNUSUAL), axis=0)
        ranges = {name: [_short(low[at]), _short(high[at])] for at, name in enumerate(FEATURES)}
        said.append({"lead": lead.end, "error": _short(np.quantile(errors, 1 - UNUSUAL)), "features": ranges})
        print(f"lead {lead.end}: {len(errors)} days of {len(fleets)} fleets, {said[-1]}", flush=True)
    metadata = replace(read_metadata(args.model), trained_on={"lead_minutes": COVERED, "days": said})
    (args.model / METADATA_FILE).write_text(metadata.to_json(), "utf-8")


def _short(value: float) -> float:
    return float(f"{value:.3g}")


if __name__ == "__main__":
    main()
