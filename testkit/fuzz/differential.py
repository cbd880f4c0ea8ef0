"""The same requests two ways: the hot one, many at once and batched, and the slow one, one after the other.

Both endpoints begin alike, with a history of their own in memory, and see the same requests in the same order. Fleets
come from a small pool, so that requests of one moment concern the same fleet again and again.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from flask import Flask

from autopilot.history.cache import RecentHistory
from autopilot.history.memory import MemoryHistory
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.serve.app import create_app
from autopilot.serve.batching import LARGEST_BATCH
from autopilot.serve.decisions import DecisionApp
from autopilot.serve.memory import SMALL_BODY
from autopilot.serve.messages import RawReply, RawRequest
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.fuzz.parsers import ACCEPTS, KINDS, NOW, fleets_csv, fleets_json, fleets_lines

POOL = [f"eu/{number}" for number in range(6)]
SETTINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "with sizes remembered": {"AUTOPILOT_MAX_STEP_DOWN": "0.2", "AUTOPILOT_STABILIZATION_MINUTES": "15"},
}


class Asked(NamedTuple):
    """A request to /invocations."""

    kind: str
    accept: str
    body: bytes


class DecidedAnswers(NamedTuple):
    """What came back."""

    status: int
    kind: str
    body: bytes


Way = Callable[[Sequence[Asked]], list[DecidedAnswers]]


@dataclass(frozen=True)
class Difference:
    """A request that was answered otherwise, and both answers."""

    asked: Asked
    hot: DecidedAnswers
    slow: DecidedAnswers


def differences(environ: dict[str, str], seed: int, requests: int) -> list[Difference]:
    """What the two ways answer otherwise, of so many requests that come in batches of any size."""
    rng, hot, slow = Random(f"{seed}/differential"), hot_way(application(environ)), slow_way(application(environ))
    found: list[Difference] = []
    while requests > 0:
        batch = [asked(rng) for _ in range(min(requests, rng.randint(1, LARGEST_BATCH)))]
        requests -= len(batch)
        answers = zip(batch, hot(batch), slow(batch), strict=True)
        found += [Difference(*one) for one in answers if one[1] != one[2]]
    return found


def application(environ: dict[str, str]) -> Flask:
    """The endpoint over the built-in policy and an empty history."""
    settings = Settings.from_env(environ)
    operator = DecisionConfig(settings.guardrail_rules(), settings.events(), 0.0)
    pilot = Autopilot(load_policy(BUILT_IN_MODEL), RecentHistory(MemoryHistory()), operator, None, lambda: NOW)
    return create_app(settings, pilot)


def hot_way(app: Flask) -> Way:
    """All at once, as connections hand on what nginx sends."""

    async def all_at_once(batch: Sequence[Asked]) -> list[DecidedAnswers]:
        decisions = DecisionApp(app.extensions["invocations"], threads=1)
        return list(await asyncio.gather(*(_through(decisions, one) for one in batch)))

    return lambda batch: asyncio.run(all_at_once(batch))


async def _through(decisions: DecisionApp, one: Asked) -> DecidedAnswers:
    headers = {b"content-type": one.kind.encode("latin-1"), b"accept": one.accept.encode("latin-1")}
    answered: asyncio.Future[RawReply | BaseException] = asyncio.get_running_loop().create_future()
    decisions.answer(RawRequest(headers, one.body), answered.set_result)
    reply = await answered
    assert isinstance(reply, RawReply), reply
    return DecidedAnswers(reply.status, reply.content_type, reply.body)


def slow_way(app: Flask) -> Way:
    """One after the other through Flask, which serves where nginx is not installed."""
    client = app.test_client()

    def each(batch: Sequence[Asked]) -> list[DecidedAnswers]:
        replies = [
            client.post("/invocations", data=one.body, content_type=one.kind, headers={"Accept": one.accept})
            for one in batch
        ]
        return [DecidedAnswers(one.status_code, one.headers["Content-Type"], one.data) for one in replies]

    return each


def asked(rng: Random) -> Asked:
    """A request: mostly a right one about a fleet of the pool, else anything that is small enough to be batched."""
    if rng.random() < 0.7:
        kind, body = rng.choice((_single, _several, _rows))(rng)
    else:
        form = rng.randrange(3)
        kind, body = (KINDS[0], KINDS[1], KINDS[3])[form], (fleets_json, fleets_lines, fleets_csv)[form](rng)
    kind = kind if rng.random() < 0.95 else rng.choice(KINDS)
    accept = rng.choice(ACCEPTS) if rng.random() < 0.3 else ""
    return Asked(kind, accept, body[:SMALL_BODY])


def _fleet(rng: Random) -> dict[str, object]:
    fields: dict[str, object] = {"fleet": rng.choice(POOL), "demand": rng.choice((0, 3, 86, 86.5, 1e4))}
    if rng.random() < 0.6:
        fields["observed_at"] = NOW + 60 * rng.randrange(-600, 60)
    optional = {"sessions": 80, "queue": 6.5, "replicas": 95, "limits": {"min": 2, "max": 100}, "sesions": 1, "note": 1}
    return fields | {name: given for name, given in optional.items() if rng.random() < 0.15}


def _single(rng: Random) -> tuple[str, bytes]:
    return KINDS[0], json.dumps(_fleet(rng)).encode()


def _several(rng: Random) -> tuple[str, bytes]:
    return KINDS[0], json.dumps({"instances": [_fleet(rng) for _ in range(rng.randrange(1, 5))]}).encode()


def _rows(rng: Random) -> tuple[str, bytes]:
    rows = (_fleet(rng) for _ in range(rng.randrange(1, 5)))
    return KINDS[3], "".join(f"{row['fleet']},{row['demand']},{row.get('observed_at', '')}\n" for row in rows).encode()
