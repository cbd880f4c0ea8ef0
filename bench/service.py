#!/usr/bin/env python3
"""The web service: what rules and policies earn on the same episodes, and how fast it is simulated. Judges nothing.

bench/service.py [--model DIR ..]    models: directories of environment=service

Each configuration has its own table: the example as it is, and repaired; `--pending-cost 1` charges starting machines
as active ones, which closes the loophole that they are free. Differences are to the 30-minute peak rule, episode by
episode on the same loads and chances, with 95 % intervals. Models play where their observations fit. Pictures: out/.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "container"))

from autopilot.policy.learned import load_policy
from autopilot.training.service.plots import episode_plot, load_plot, standings_plot
from autopilot.webservice.evaluation import join, play, record, standing
from autopilot.webservice.limits import KnownLoad, informed
from autopilot.webservice.rules import (
    IN_TIME,
    agent,
    best_foresight,
    constant,
    do_nothing,
    foresight,
    peak,
    planned,
)
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "peak of 30 minutes x 1.5"
FRESH_SEED = 900_000_000


def rules(config, models):
    """What plays, by name: rules without learning, models whose observations fit, and what nobody can do."""
    policies = {str(place): load_policy(place) for place in models}
    fitting = {name: policy for name, policy in policies.items() if policy.width == config.width}
    return {
        "do nothing": do_nothing,
        **{f"constant, {machines} machines": constant(machines) for machines in (30, 35, 40, 45, 60)},
        "last minute x 1.5": peak(1, 1.5),
        "peak of 15 minutes x 1.5": peak(15, 1.5),
        REFERENCE: peak(30, 1.5),
        "planned, in time": planned(config, IN_TIME),
        "planned": planned(config),
        **{f"{name} ({policy.name})": learned(policy) for name, policy in fitting.items()},
        "foresight x 1.5": foresight(1.5, config),
        "best foresight": best_foresight(config),
    }


def learned(policy):
    return agent(lambda seen: policy.act(seen).actions)


def standings(config, told, progress):
    """Every player on the same episodes."""
    known = KnownLoad(told.episodes, config)
    environment, sums = ServiceEnvironment(told.episodes, config, known if config.faithful else None), {}
    playing = rules(config, told.model)
    if config.faithful:
        playing["knows all but beginnings of spikes"] = informed(known, config, sees_noise=True)
        playing["knows all that can be known"] = informed(known, config)
    task = progress.add_task(title(config), total=len(playing))
    for name, rule in playing.items():
        progress.update(task, description=f"{title(config)}: {name}")
        sums[name] = join([play(environment, rule, FRESH_SEED + seed) for seed in range(told.seeds)])
        progress.advance(task)
    progress.remove_task(task)
    return [standing(name, played, sums[REFERENCE]) for name, played in sums.items()]


def title(config):
    charged = f", starting machines cost {config.pending_cost:g} of an active one" if config.pending_cost else ""
    return ("as the example is" if config.faithful else "repaired") + charged


def print_standings(found, config, console, episodes):
    table = Table(title=f"{title(config)}: {episodes} episodes of {config.minutes:,} minutes", title_justify="left")
    for name in ("player", "$ an episode", "95 %", "to the peak rule", "95 %", "downtime %", "machines"):
        table.add_column(name, justify="left" if name == "player" else "right", no_wrap=True)
    for one in found:
        table.add_row(
            one.name,
            f"{one.profit.mean:,.0f}",
            f"[{one.profit.low:,.0f}, {one.profit.high:,.0f}]".replace("[", "\\["),
            f"{one.difference.mean:+,.0f}",
            f"[{one.difference.low:+,.0f}, {one.difference.high:+,.0f}]".replace("[", "\\["),
            f"{one.downtime:.3f}",
            f"{one.machines:.1f}",
        )
    console.print(table)


def print_speed(console):
    """Simulated minutes a second: stepping alone, and with drawing the episode's load."""
    for count in (1, 64, 512):
        config = ServiceConfig(minutes=1000)
        environment = ServiceEnvironment(count, config)
        started = time.perf_counter()
        environment.reset(0)
        drawn = time.perf_counter()
        over, nothing = False, np.zeros((count, 2))
        while not over:
            over = environment.step(nothing)[2]
        stepped = time.perf_counter()
        steps = count * config.minutes
        console.print(
            f"{count:4d} services: {steps / (stepped - drawn):12,.0f} steps/s, "
            f"{steps / (stepped - started):12,.0f} with the drawing of load"
        )


def draw(found, config, told, out):
    """The intervals; an episode of the last model, or else of the planned rule; and the load."""
    name = "faithful" if config.faithful else "repaired"
    cheats = ("foresight x 1.5", "best foresight")
    earning = [one for one in found if one.profit.mean > 0]
    standings_plot(earning, REFERENCE).savefig(out / f"service-{name}.png", dpi=110)
    environment, playing = ServiceEnvironment(1, config), rules(config, told.model)
    shown = [one for one in playing if one not in cheats][-1]
    episode, other = (record(environment, playing[one], FRESH_SEED) for one in (shown, REFERENCE))
    episode_plot(episode, (REFERENCE, other)).savefig(out / f"service-{name}-episode.png", dpi=110)
    services = ServiceEnvironment(5, config)
    services.reset(FRESH_SEED)
    load_plot(services.ahead[: 3 * 1440]).savefig(out / f"service-{name}-load.png", dpi=110)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", default=[], help="a model directory; repeatable")
    parser.add_argument("--episodes", type=int, default=64, help="services that are played at once (default 64)")
    parser.add_argument("--seeds", type=int, default=1, help="times that many episodes (default 1)")
    parser.add_argument(
        "--pending-cost", type=float, default=0.0, help="of a starting machine, relative to an active one"
    )
    parser.add_argument("--only", choices=("faithful", "repaired"), help="one configuration instead of both")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="where pictures go")
    return parser.parse_args()


def main():
    told, console = arguments(), Console(width=None if sys.stdout.isatty() else 150)
    told.out.mkdir(parents=True, exist_ok=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True))
    with bar as progress:
        for faithful in (True, False):
            if told.only == ("repaired" if faithful else "faithful"):
                continue
            config = ServiceConfig(faithful=faithful, pending_cost=told.pending_cost)
            found = standings(config, told, progress)
            print_standings(found, config, console, told.episodes * told.seeds)
            for place in told.model:
                if load_policy(place).width != config.width:
                    console.print(f"{place} sees other observations than these: not played here")
            draw(found, config, told, told.out)
    print_speed(console)
    console.print(f"pictures: {told.out}/service-*.png")


if __name__ == "__main__":
    main()
