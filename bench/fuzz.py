#!/usr/bin/env python3
"""Hostile inputs for every parser, in this process and over HTTP: what was taken, refused, and what broke a promise.

bench/fuzz.py --inputs 1000000           that many, shared out among the parsers; ends with 1 if any promise was broken
bench/fuzz.py --only 'request CSV'       parsers whose name holds this
bench/fuzz.py --seed 7 --replay 'request CSV:1234'   one input again, with its traceback
bench/fuzz.py --differential 100000      that many requests batched and single, hot and slow: the answers must agree
bench/fuzz.py --decoded 280              that many small requests that decode to much: the memory of each is bounded
bench/fuzz.py --http 120                 schemathesis against a real server (nginx where installed) for so many seconds
bench/fuzz.py --guided 60                atheris, guided by coverage, so many seconds for each parser (where installed)

An input depends on the seed, the parser and its number alone. Failures are kept in out/fuzz/.
"""

import argparse
import contextlib
import logging
import resource
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "container"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "client"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from testkit.fuzz import trying
from testkit.fuzz.parsers import PARSERS, Parser

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 200
TRACED = 300
"""Inputs of each parser that are tried once more while every allocation is counted."""
MOST_MEMORY = 3 << 30
"""Address space on top of what is there at the start: an input that wants more breaks a promise."""
KEPT = ROOT / "out" / "fuzz"


@dataclass(frozen=True)
class FuzzRow:
    """What became of one parser's inputs."""

    parser: Parser
    outcome: trying.TrialOutcome
    seconds: float
    grown: float
    peak: float


def resident():
    """MiB that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_of(parser, seed):
    """Most MiB that one parser had allocated at a time."""
    outcome = trying.TrialOutcome()
    tracemalloc.start()
    trying.try_many(parser, seed, range(TRACED), outcome)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def tried(parser, seed, count, advance):
    """Try a parser's inputs in chunks; memory is compared after the first tenth, when caches are warm."""
    peak, outcome = peak_of(parser, seed), trying.TrialOutcome()
    started, warm = time.perf_counter(), None
    for first in range(0, count, CHUNK):
        numbers = range(first, min(first + CHUNK, count))
        trying.try_many(parser, seed, numbers, outcome)
        advance(len(numbers))
        if warm is None and numbers.stop * 10 >= count:
            warm = resident()
    return FuzzRow(parser, outcome, time.perf_counter() - started, resident() - warm, peak)


def counts(parsers, inputs):
    """How many inputs each parser gets: its share, rounded up."""
    whole = sum(parser.share for parser in parsers)
    return [-(-inputs * parser.share // whole) for parser in parsers]


def kept(failure, seed):
    """The file that a failure's input and traceback are kept in."""
    KEPT.mkdir(parents=True, exist_ok=True)
    name = "".join(one if one.isalnum() else "-" for one in failure.parser)
    path = KEPT / f"{name}-{seed}-{failure.number}"
    path.with_suffix(".bin").write_bytes(failure.data)
    path.with_suffix(".txt").write_text(failure.detail)
    return path.with_suffix(".bin").relative_to(ROOT)


def show(rows, console, seed):
    table = Table("parser", "inputs", "taken", "refused", "broken", "us each", "MiB grown", "peak MiB")
    for row in rows:
        ends = row.outcome.ends
        total, taken, failed = sum(ends.values()), ends["ok"], ends["failed"]
        numbers = [f"{n:,}" for n in (total, taken, total - taken - failed, failed)]
        table.add_row(row.parser.name, *numbers, f"{1e6 * row.seconds / total:.0f}", f"{row.grown:.1f}",
                      f"{row.peak:.1f}")  # fmt: skip
    console.print(table)
    total = sum(sum(row.outcome.ends.values()) for row in rows)
    broken = [failure for row in rows for failure in row.outcome.failures.values()]
    console.print(f"{total:,} inputs, seed {seed}, {sum(row.seconds for row in rows):.0f} s, "
                  f"{sum(row.outcome.ends['failed'] for row in rows)} broke a promise")  # fmt: skip
    for failure in broken:
        console.print(f"  {failure.where}; again: --seed {seed} --replay '{failure.parser}:{failure.number}'; "
                      f"kept: {kept(failure, seed)}")  # fmt: skip
    return len(broken)


def run(parsers, inputs, seed):
    """Try them all, in this process. Returns how many kinds of failure there were."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    bound = resource.getrlimit(resource.RLIMIT_AS)[1]
    for parser in parsers:  # what is loaded once, before memory is bounded
        trying.try_many(parser, seed, range(20), trying.TrialOutcome())
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, bound))
    columns = TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    wanted = counts(parsers, inputs)
    with trying.watchdog(), Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(wanted))
        rows = []
        for parser, count in zip(parsers, wanted, strict=True):
            progress.update(task, description=parser.name)
            rows.append(tried(parser, seed, count, lambda done: progress.advance(task, done)))
    return show(rows, console, seed)


def replay(what, seed):
    """Try one input again, and show it."""
    name, _, number = what.rpartition(":")
    parser = next(one for one in PARSERS if one.name == name)
    data = trying.made(parser, seed, int(number))
    print(f"{len(data)} bytes: {data[:2000]!r}")
    with trying.watchdog():
        end = trying.attempt(parser, seed, int(number))
    print(end.detail if isinstance(end, trying.Failure) else end)
    return isinstance(end, trying.Failure)


def guided(parsers, seconds):
    """Let atheris look for new ways through each parser, a process for each. Returns how many found a failure."""
    script = (
        "import sys, logging; sys.path[:0] = sys.argv.pop().split(':'); logging.disable(logging.CRITICAL)\n"
        "name = sys.argv.pop()\n"
        "import atheris\n"
        "with atheris.instrument_imports(include=['autopilot', 'autopilot_client', 'autopilot_deploy']):\n"
        "    from testkit.fuzz.parsers import PARSERS\n"
        "parser = next(one for one in PARSERS if one.name == name)\n"
        "atheris.Setup(sys.argv, lambda data: parser.read(data) and None)\n"
        "atheris.Fuzz()\n"
    )
    found = 0
    for parser in parsers:
        corpus = KEPT / "corpus" / "".join(one if one.isalnum() else "-" for one in parser.name)
        corpus.mkdir(parents=True, exist_ok=True)
        for number in range(100):
            (corpus / f"seed-{number}").write_bytes(trying.made(parser, 0, number))
        options = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=8192", "-seed=1"]
        places = [f"-artifact_prefix={KEPT}/", str(corpus)]
        command = [sys.executable, "-c", script, *options, *places, parser.name, ":".join(sys.path[:4])]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        told = [
            line for line in ended.stderr.splitlines() if line.startswith(("Done", "SUMMARY", "==")) or "Error" in line
        ]
        print(f"{parser.name}: {'; '.join(told[-3:]) or ended.stderr[-300:]}", flush=True)
        found += ended.returncode != 0
    return found


def differential(requests, seed):
    """Ask the same two ways, under each of the settings; show what differs. Returns how many answers did."""
    from testkit.fuzz.differential import SETTINGS, differences

    found = 0
    for name, environ in SETTINGS.items():
        started, wrong = time.process_time(), differences(environ, seed, requests // len(SETTINGS))
        print(f"{requests // len(SETTINGS):,} requests, {name}: {len(wrong)} answered otherwise, "
              f"{time.process_time() - started:.0f} s CPU", flush=True)  # fmt: skip
        for one in wrong[:3]:
            print(f"  {one.asked}\n    hot:  {one.hot}\n    slow: {one.slow}")
        found += len(wrong)
    return found


def decoded(requests, seed):
    """Ask with few bytes that decode to much; show the worst of each form. Returns how many were too heavy."""
    from testkit.fuzz.inflated import BOUND, weights

    found = weights(seed, requests, 2_000_000)
    table = Table(
        "form", "worst MiB", "of MB", "status", title=f"{requests:,} requests, at most {BOUND >> 20} MiB each"
    )
    for form in dict.fromkeys(one.form for one in found):
        worst = max((one for one in found if one.form == form), key=lambda one: one.peak)
        table.add_row(form, f"{worst.peak / 2**20:.1f}", f"{worst.size / 1e6:.2f}", str(worst.status))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return sum(one.peak > BOUND for one in found)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--inputs", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--replay")
    arguments.add_argument("--http", type=int, metavar="SECONDS", default=0)
    arguments.add_argument("--differential", type=int, metavar="REQUESTS", default=0)
    arguments.add_argument("--decoded", type=int, metavar="REQUESTS", default=0)
    arguments.add_argument("--guided", type=int, metavar="SECONDS", default=0)
    given = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    parsers = [parser for parser in PARSERS if given.only in parser.name]
    if given.replay:
        return replay(given.replay, given.seed)
    if given.guided:
        return guided(parsers, given.guided)
    if given.differential:
        return differential(given.differential, given.seed)
    if given.decoded:
        return decoded(given.decoded, given.seed)
    if given.http:
        from testkit.fuzz.over_http import fuzz_for

        return fuzz_for(given.http, given.seed)
    return run(parsers, given.inputs, given.seed)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(1 if main() else 0)
