"""Requests of few bytes that decode to much: what one of them makes a worker allocate at its worst."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from autopilot.history.cache import RecentHistory
from autopilot.history.none import NoHistory
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.serve.app import create_app
from autopilot.serve.messages import RawRequest
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.fuzz.parsers import NOW

BOUND = 140 * 2**20
"""Bytes that one request may have allocated at a time, with its answer: one in each of two workers fits into 512 MiB.

The heaviest have 25,000 fleets, or 600,000 names that nobody knows; what is larger is refused before it is decoded.
"""

Body = Callable[[Random, int], bytes]
JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"


def _fleets(_: Random, count: int) -> bytes:
    return b'{"instances":[%s]}' % b",".join(b'{"fleet":"f%d","demand":1}' % at for at in range(count))


def _histories(rng: Random, count: int) -> bytes:
    fleets = rng.randint(1, 10)
    pairs = b",".join(b"[%d,1]" % (NOW - 60 * at) for at in range(min(count // fleets, 25_000)))
    return b'{"instances":[%s]}' % b",".join(
        b'{"fleet":"f%d","demand":1,"history":[%s]}' % (at, pairs) for at in range(fleets)
    )


FORMS: dict[str, tuple[str, Body]] = {
    "a vector of zeros": (JSON, lambda _, count: b"[%s]" % b",".join([b"0"] * count)),
    "vectors of one number": (JSON, lambda _, count: b"[%s]" % b",".join([b"[1]"] * count)),
    "empty lists": (JSON, lambda _, count: b'{"instances":[%s]}' % b",".join([b"[]"] * count)),
    "empty objects": (JSON, lambda _, count: b'{"instances":[%s]}' % b",".join([b"{}"] * count)),
    "many fleets": (JSON, _fleets),
    "long histories": (JSON, _histories),
    "unknown names": (JSON, lambda _, count: b'{"fleet":"f","demand":1,%s}' % b",".join(
        b'"%d":1' % at for at in range(count))),
    "a long text": (JSON, lambda _, count: b'{"fleet":"%s","demand":1}' % (b"x" * 8 * count)),
    "escaped text": (JSON, lambda _, count: b'{"fleet":"f","demand":1,"note":"%s"}' % (b"\\u00e9" * count)),
    "lines of fleets": (LINES, lambda _, count: b"\n".join(b'{"fleet":"f%d","demand":1}' % at for at in range(count))),
    "empty lines": (LINES, lambda _, count: b"{}\n" * count),
    "short rows": (CSV, lambda _, count: b"".join(b"f%d,1\n" % at for at in range(count))),
    "wide rows": (CSV, lambda _, count: b"f,1" + b"," * count),
    "empty rows": (CSV, lambda _, count: b"\n," * count),
}  # fmt: skip


@dataclass(frozen=True)
class Weight:
    """What one request weighed: its form, its size, the status of its answer, and bytes allocated at the worst."""

    form: str
    size: int
    status: int
    peak: int


def weights(seed: int, requests: int, most: int) -> list[Weight]:
    """The weights of so many requests, with up to `most` elements each; of each form in turn."""
    settings = Settings.from_env({})
    history, operator = RecentHistory(NoHistory(), off=True), DecisionConfig(max_clock_skew=0)
    pilot = Autopilot(load_policy(BUILT_IN_MODEL), history, operator, None, lambda: NOW)
    invocations, found = create_app(settings, pilot).extensions["invocations"], []
    invocations.answer([RawRequest({}, b'{"fleet":"f","demand":1}')])  # what is loaded once
    for number in range(requests):
        form = list(FORMS)[number % len(FORMS)]
        rng = Random(f"{seed}/inflated/{number}")
        kind, make = FORMS[form]
        body = make(rng, int(most ** rng.uniform(0.5, 1.0)))
        tracemalloc.start()
        (reply,) = invocations.answer([RawRequest({b"content-type": kind.encode()}, body)])
        found.append(Weight(form, len(body), reply.status, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    return found
