#!/usr/bin/env python3
"""The fleet environment: how fast it is, and how policies do in it against the calibrated rule on the same episodes.

bench/environment.py                       steps a second, at several sizes
bench/environment.py --model DIR [DIR ..]  cost of policies relative to the calibrated rule, with its 95 % interval
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "container"))

from autopilot.core import calibrated_rule
from autopilot.policy.learned import load_policy
from autopilot.sim.demand import DAY, generate
from autopilot.sim.environment import FleetEnvironment, Plan
from autopilot.sim.evaluation import compare, paired
from autopilot.sim.fleet import FleetConfig
from autopilot.sim.traces import observed, windows_at

DAYS = 10
FRESH_SEED = 900_000_000


def fleets(count):
    return lambda rng: observed(generate(rng, count, DAYS * DAY), rng)


def speed(count):
    """Seconds for drawing demand, for the features of an episode's traces, and for one step of all fleets."""
    drawn = time.perf_counter()
    traces = fleets(count)(np.random.default_rng(0))
    started = time.perf_counter()
    environment = FleetEnvironment(lambda _: traces, FleetConfig(), Plan())
    environment.reset(0)
    ready = time.perf_counter()
    actions, over, steps = np.full((count, 1), 0.1, np.float32), False, 0
    while not over:
        _, _, over = environment.step(actions)
        steps += 1
    return started - drawn, ready - started, (time.perf_counter() - ready) / steps


def print_speed():
    print(f"{'fleets':>7} {'demand s':>9} {'features s':>11} {'us/step':>8} {'env steps/s':>12} {'with features':>14}")
    for count in (1, 16, 256, 512):
        drawn, prepared, step = speed(count)
        episode = 16 * 288
        whole = count * episode / (drawn + prepared + step * episode)
        print(f"{count:7d} {drawn:9.2f} {prepared:11.2f} {1e6 * step:8.0f} {count / step:12,.0f} {whole:14,.0f}")


def calibrated(minutes):
    def play(environment, observations):
        rows = np.arange(len(environment.traces))
        windows = windows_at(environment.traces, rows, np.full(len(rows), environment.column))
        return calibrated_rule.calibrated(windows, minutes)

    return play


def learned(directory):
    policy = load_policy(Path(directory))
    return lambda environment, seen: environment.reference * policy.act(seen).actions[:, 0].astype(np.float64)


def print_policies(directories, count, seeds):
    environment = FleetEnvironment(fleets(count), FleetConfig(), Plan())
    players = {f"calibrated rule, {minutes} min ahead": calibrated(minutes) for minutes in (10, 15)}
    players |= {f"{directory} ({load_policy(Path(directory)).name})": learned(directory) for directory in directories}
    costs = compare(environment, players, [FRESH_SEED + seed for seed in range(seeds)])
    rule = min((name for name in players if name.startswith("calibrated")), key=lambda name: costs[name].sum())
    print(f"{count * seeds} fleets of a day each; cost relative to: {rule}")
    for name, cost in costs.items():
        found = paired(cost, costs[rule])
        print(f"  {found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}] cheaper on {100 * found.wins:3.0f} %  {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="*")
    parser.add_argument("--fleets", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    told = parser.parse_args()
    if told.model:
        print_policies(told.model, told.fleets, told.seeds)
    else:
        print_speed()


if __name__ == "__main__":
    main()
