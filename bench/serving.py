"""The endpoint beside a stand-in of the classic sample, a bare WSGI application and nginx's static 200, in one run.

    PYTHONPATH=container:client:. python bench/serving.py [--seconds 1] [--rounds 5] [--workers 2] [--model DIR]

Prints requests/s and latencies at 1, 16 and 64 connections, memory of the workers, and the time from start to the
first 200 on /ping; then what one decision costs inside the process. Needs nginx and wrk (both Debian packages), and
TensorFlow for the classic stack. With `--beside CHECKOUT` another version of this project is measured beside this one,
in the place of the other stacks. All stacks run at the same time and are loaded in turn; what is printed are medians
of the rounds. Machines differ and are noisy: compare the rows of one run.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.running import (
    AUTOPILOT,
    BARE,
    CLASSIC,
    ROOT,
    SAVED_MODEL,
    STATIC_200,
    Load,
    largest_worker,
    load,
    missing_tools,
    remember,
    running,
)

CONNECTIONS = (1, 16, 64)


@dataclass
class Stack:
    """A running stack and what was measured of it: results by number of connections, a round after another."""

    name: str
    port: int
    scratch: Path
    started: list
    ready: float
    memory: float = 0.0
    runs: dict[int, list] = field(default_factory=dict)

    def median(self, connections, what):
        return statistics.median(getattr(run, what) for run in self.runs[connections])

    def best(self, connections):
        return max(run.rate for run in self.runs[connections])


@contextlib.contextmanager
def stack(name, args):
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        scratch = Path(folder)
        if name == AUTOPILOT or isinstance(name, Path):
            remember(scratch / "history.sqlite3", 50)
        with running(name, scratch, args.workers, CLASSIC_MODEL=str(args.model)) as (port, started, ready):
            load(port, Load(4, 1), scratch)
            yield Stack(f"autopilot of {name}" if isinstance(name, Path) else name, port, scratch, started, ready)


def measure(stacks, args):
    """Each stack for a moment, round after round, so that what else the machine does meets all of them alike."""
    for connections in CONNECTIONS:
        for _ in range(args.rounds):
            for one in stacks:
                result = load(one.port, Load(connections, args.seconds), one.scratch)
                one.runs.setdefault(connections, []).append(result)


def print_stacks(args):
    names = [args.beside, AUTOPILOT] if args.beside else [STATIC_200, BARE, CLASSIC, AUTOPILOT]
    if CLASSIC in names and not args.model.exists():
        print(f"no SavedModel at {args.model}: the classic stack is left out")
        names.remove(CLASSIC)
    with contextlib.ExitStack() as opened:
        stacks = [opened.enter_context(stack(name, args)) for name in names]
        measure(stacks, args)
        for one in stacks:
            one.memory = largest_worker(one.started)
    print_table(stacks)
    ours = stacks[-1]
    for other in stacks[:-1]:
        if other.name != STATIC_200:
            medians = ", ".join(f"c{c}: {ratio(ours, other, c):.2f}" for c in CONNECTIONS)
            best = ", ".join(f"c{c}: {ours.best(c) / other.best(c):.2f}" for c in CONNECTIONS)
            print(
                f"requests/s, autopilot over {other.name}: median of the rounds' ratios {medians}; of the best {best}"
            )


def print_table(stacks):
    heads = "".join(f"{f'c{c} req/s':>11}{'p50 ms':>8}{'p99 ms':>8}" for c in CONNECTIONS)
    print(f"{'stack':36}{heads}{'start s':>9}{'worker MiB':>12}{'errors':>8}")
    for one in stacks:
        cells = "".join(
            f"{one.median(c, 'rate'):11.0f}{one.median(c, 'p50'):8.2f}{one.median(c, 'p99'):8.2f}" for c in CONNECTIONS
        )
        errors = sum(run.errors for runs in one.runs.values() for run in runs)
        print(f"{one.name:36}{cells}{one.ready:9.2f}{one.memory:12.0f}{errors:8}")


def ratio(ours, other, connections):
    pairs = zip(ours.runs[connections], other.runs[connections], strict=True)
    return statistics.median(mine.rate / max(theirs.rate, 1e-9) for mine, theirs in pairs)


def median_us(call, runs):
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def print_decisions():
    """Features, policy and guardrail in process: one fleet, and 10,000 in one call."""
    sys.path.insert(0, str(ROOT / "container"))
    from autopilot.core.decide import FleetContext, Reports, decide
    from autopilot.core.fleet import FleetNow
    from autopilot.core.guardrail import GuardrailRules
    from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
    from autopilot.policy.learned import BUILT_IN_MODEL
    from autopilot.wiring import build_policy

    policy = build_policy(BUILT_IN_MODEL)
    random = np.random.default_rng(0)

    def fleets(count):
        phase = random.uniform(0, 6.28, (count, 1))
        shape = 100 + 30 * np.sin(np.arange(WINDOW_SLOTS) / 45.8 + phase) + random.normal(0, 3, (count, WINDOW_SLOTS))
        demand = np.round(shape).astype(np.float32)
        windows = Windows(demand, demand[:, :WEEK_SLOTS].copy(), np.full(count, 5_877_000))
        return windows, [FleetContext(FleetNow(f"f{n}", 0.0, float(d))) for n, d in enumerate(demand[:, -1])]

    for count, runs in ((1, 2000), (10_000, 5)):
        windows, contexts = fleets(count)

        def decided(windows=windows, contexts=contexts):
            return decide(contexts, Reports(windows), [], policy.predict, GuardrailRules())

        whole = median_us(decided, runs)
        print(f"one call for {count:6} fleets (features, policy {policy.name}, guardrail): {whole:10.0f} µs")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=1, help="of each load (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="in which each stack has its turn (default 5)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another version of this project")
    parser.add_argument("--model", type=Path, default=SAVED_MODEL, help="SavedModel for the classic stack")
    args = parser.parse_args()
    if not args.beside:
        print_decisions()
    if missing := missing_tools():
        raise SystemExit(f"skipped the stacks: {missing}")
    print_stacks(args)


if __name__ == "__main__":
    main()
