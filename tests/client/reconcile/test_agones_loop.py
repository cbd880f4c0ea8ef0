"""The client in front of a stand-in of Agones' autoscaler: rollouts, creation, re-creation, faults, and a dry run."""

import io
import itertools
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from autopilot_client.config.parse import parse
from autopilot_client.kube.api import Kube
from autopilot_client.kube.lease import Alone
from autopilot_client.kube.live import LiveSpecs
from autopilot_client.ports import EndpointUnavailableError
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import StatusStore
from autopilot_client.status.web import Application
from testkit.client import agones
from testkit.client.api_server import ROOT
from testkit.client.standins import connection, prediction, serving

T0 = 1_790_000_000.0
MAXIMUM = 40
STEP = 30
"""Seconds between two reviews; a pass follows every second one."""


@dataclass
class Endpoint:
    """The endpoint as the client's port has it: a quarter above demand, or what a test wants of it."""

    mode: str = "well"
    forecasts: list[int | None] = field(default_factory=list)

    def ask(self, instances):
        if self.mode == "away":
            raise EndpointUnavailableError("away")
        (one,) = instances
        ahead = {"zero": 0, "wild": 10_000}.get(self.mode, one["demand"] * 5 // 4)
        size = max(ahead, one["limits"]["min"], min(one["demand"], MAXIMUM))
        return [prediction(one["fleet"], size, forecast=ahead)]


class Games:
    """One Fleet, Agones, the endpoint and one replica of the client. The client's clock may leap."""

    def __init__(self, address, api, apply="webhook", source="agones", dry_run=False, chained=False, replicas=20):
        self.api, self.endpoint, self.leap, self.now = api, Endpoint(), 0.0, T0
        fleet = {"name": "eu/x", "target": "fleet/x", "demand": {"source": source}, "apply": apply, "maximum": MAXIMUM}
        document = {"endpoint": {"url": "http://unused"}, "fleets": [fleet], "events": "off"}
        self.config, self.address, self.dry_run = parse(yaml.safe_dump(document), "test"), address, dry_run
        self.fleet = self.create(replicas)
        own = agones.buffer(20, 2, MAXIMUM)
        self.policy = agones.chain(self._webhook, own) if chained else self._webhook
        self.webhook_said: list[int] = []
        self.statuses: list[int] = []
        self.past: deque[dict[str, int]] = deque([{}], maxlen=8)
        self.steps = 0
        self.restart()
        for _ in range(3):
            self.fleet.tick()

    def create(self, replicas):
        self.fleet = agones.AgonesFleet("x", replicas)
        self.api.fleets["x"] = self.fleet
        return self.fleet

    def delete(self):
        self.api.fleets.pop("x", None)

    def clock(self):
        return self.now + self.leap

    def restart(self):
        kube = Kube(connection(self.address), "games")
        self.store = StatusStore(self.config, "games", self.dry_run)
        self.loop = Loop(Outside(kube, self.endpoint, self.store), Alone(), clock=self.clock)
        look = LiveSpecs(kube, clock=self.clock)
        self.port = Application(self.store, Alone(), {}, self.clock, look)
        self.agreed: list[tuple[float, int | None]] = []

    def post(self, body):
        environ = {"PATH_INFO": "/v1/review", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}
        seen = []
        reply = self.port(environ | {"wsgi.input": io.BytesIO(body)}, lambda status, _: seen.append(int(status[:3])))
        self.statuses.append(seen[0])
        return seen[0], b"".join(reply)

    def stray(self, status):
        """A review that is not Agones' own, or late: with other counts, and nobody obeys the reply."""
        self.post(json.dumps({"request": {"uid": "stray", "name": "x", "status": status}}).encode())

    def _webhook(self, fleet):
        self.past.append(fleet.status)
        size = agones.webhook(self.post)(fleet)
        self.webhook_said.append(size)
        return size

    def review(self):
        """One turn of the autoscaler: what the webhook said, or None."""
        before = len(self.webhook_said)
        if "x" in self.api.fleets:
            agones.autoscale(self.fleet, self.policy)
        return self.webhook_said[-1] if len(self.webhook_said) > before else None

    def run_pass(self):
        (view,) = self.loop.run_pass()
        return view

    def step(self, reviewed=True):
        """Half a minute: Agones' controllers, a review, and every other time a pass."""
        self.now += STEP
        self.steps += 1
        if self.steps % 2:
            self.run_pass()
        self.fleet.tick()
        return self.review() if reviewed else None

    def minutes(self, number):
        for _ in range(2 * number):
            self.step()
        return self.fleet.replicas


@pytest.fixture(scope="module")
def address_and_api():
    with games_api() as found:
        yield found


@contextmanager
def games_api() -> Iterator[tuple[str, list[agones.Api]]]:
    current = [agones.Api()]

    def latest(method, path, body):
        return current[-1](method, path, body)

    with serving(latest) as address:
        yield address, current


@pytest.fixture
def play(address_and_api):
    address, current = address_and_api

    def begin(**options):
        current.append(agones.Api())
        return Games(address, current[-1], **options)

    return begin


def always_false(body):
    """What many webhooks answer when they do not know: `scale: false`."""
    return 200, json.dumps({"response": {"uid": "", "scale": False, "replicas": 0}}).encode()


def test_the_stand_in_grows_a_rolling_fleet_without_end_after_scale_false():
    """As seen on the genuine one: 20, 25, 32, 40, 50, 63, 77 within a minute."""
    fleet = agones.AgonesFleet("x", 20)
    for _ in range(3):
        fleet.tick()
    fleet.allocate(10)
    fleet.roll_out()
    sizes = []
    for _ in range(12):
        fleet.tick()
        agones.autoscale(fleet, agones.webhook(always_false))
        sizes.append(fleet.replicas)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 30


def test_the_stand_in_rolls_out_without_taking_allocated_servers_and_ends_at_its_size():
    fleet = agones.AgonesFleet("x", 20)
    for _ in range(3):
        fleet.tick()
    fleet.allocate(8)
    fleet.roll_out()
    for _ in range(40):
        fleet.tick()
        assert fleet.allocated == 8
        assert fleet.status["replicas"] <= 25
    assert fleet.status["replicas"] == 20
    fleet.end_sessions(8)
    for _ in range(5):
        fleet.tick()
    assert [one.version for one in fleet.sets] == [2]


def rolling(games):
    games.fleet.allocate(10)
    games.endpoint.mode = "away"
    games.minutes(3)
    games.fleet.roll_out()
    games.minutes(10)


def being_created(games):
    games.delete()
    games.create(20).can_start = False
    games.endpoint.mode = "away"
    games.minutes(5)


def all_allocated(games):
    games.fleet.allocate(20)
    games.fleet.tick()
    games.review()


def silence(games):
    """No review for an hour, in which the Fleet went from 40 in use to 10, and somebody made it smaller."""
    games.fleet.allocate(20)
    games.minutes(8)
    for _ in range(2 * 60):
        games.step(reviewed=False)
    games.fleet.end_sessions(games.fleet.allocated - 10)
    games.fleet.scale(20)
    games.minutes(1)


def made_anew(games):
    games.minutes(5)  # of the Fleet before, nothing is in use: it has become small
    games.delete()
    games.create(20)
    games.fleet.tick()
    games.review()


def well_and_then(mode):
    def fault(games):
        games.fleet.allocate(16)
        games.minutes(6)
        games.fleet.end_sessions(8)
        mode(games)

    return fault


def api_away(games):
    games.api.away = True
    games.minutes(20)
    games.api.away = False
    games.minutes(2)


def clock(seconds):
    def leap(games):
        games.leap += seconds
        games.minutes(2)

    return leap


def restarts(games):
    for _ in range(10):
        games.restart()
        games.minutes(1)


def one_wrong_zero(games):
    games.fleet.allocate(8)
    games.fleet.tick()
    games.endpoint.mode = "zero"
    games.run_pass()
    games.endpoint.mode = "well"
    games.minutes(1)


REVIEWS = {"source": "review"}
ROWS = {
    "rolling update, endpoint 503, 10 min": ({}, rolling, 20),
    "rolling update, endpoint 503, `apply: observe`": ({"apply": "observe"}, rolling, 20),
    "rolling update, endpoint 503, `--dry-run`": ({"dry_run": True}, rolling, 20),
    "rolling update, endpoint 503, `source: review`": (REVIEWS, rolling, 20),
    "Fleet being created, no server can start": ({}, being_created, 20),
    "Fleet being created, `apply: observe`": ({"apply": "observe"}, being_created, 20),
    "Fleet being created, `source: review`": (REVIEWS, being_created, 20),
    "just started, shipped chain, all 20 allocated": ({"chained": True}, all_allocated, 25),
    "dry run, shipped chain, all 20 allocated": ({"chained": True, "dry_run": True}, all_allocated, 25),
    "no review for an hour, then another size": (REVIEWS, silence, 20),
    "Fleet deleted and made anew under its name": ({}, made_anew, 20),
    "API server away from the client, 20 min": ({}, well_and_then(api_away), 20),
    "clock of the client set back by an hour": ({}, well_and_then(clock(-3600)), 20),
    "clock of the client leaps by an hour": ({}, well_and_then(clock(3600)), 20),
    "client restarted every minute, 10 min": ({}, well_and_then(restarts), 20),
    "endpoint answers 0, once": ({}, well_and_then(one_wrong_zero), 20),
}
"""Fault: with which configuration, what happens to a Fleet of 20, and its size after it."""


@pytest.mark.parametrize("name", ROWS)
def test_in_front_of_agones_no_fault_removes_a_server(play, name):
    options, fault, size = ROWS[name]
    games = play(**options)
    fault(games)
    assert games.fleet.replicas == size
    assert f"| {name} | 20 > {size} | 0 |" in (ROOT / "client" / "README.md").read_text()


def test_the_autopilot_sizes_a_fleet_through_agones(play):
    games = play()
    games.fleet.allocate(16)
    assert games.minutes(6) == 20
    games.fleet.end_sessions(8)
    assert games.minutes(6) == 10
    games.fleet.allocate(2)
    games.fleet.roll_out()
    assert games.minutes(10) == 12


@pytest.mark.parametrize("apply", ["scale", "webhook", "observe"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_observing_is_without_effect_in_every_mode(play, apply, dry_run):
    games = play(apply=apply, dry_run=dry_run)
    games.fleet.allocate(4)
    size = games.minutes(10)
    acts = not dry_run and apply != "observe"
    assert (size != 20) == acts
    assert bool(games.api.patched) == bool(games.api.writes) == (acts and apply == "scale")
    assert acts == (200 in games.statuses) or apply == "scale"


def test_a_size_that_agones_is_told_and_somebody_else_sets_back_is_seen_and_not_fought_for_ever(play):
    games = play()
    games.fleet.allocate(8)
    assert games.minutes(6) == 10
    sizes = []
    for _ in range(12):
        games.step()
        games.fleet.scale(20)  # Argo CD's self-heal
        games.step()
        sizes.append(games.fleet.replicas)
    (view,) = games.store.views.values()
    assert view.rivalry.held_since is not None
    assert sizes[-5:] == [20] * 5


@pytest.mark.parametrize("chained", [False, True])
def test_a_paused_fleet_stays_as_it_is_also_where_the_next_policy_of_the_chain_would_not_keep_it(play, chained):
    games = play(chained=chained)
    games.fleet.allocate(8)
    games.fleet.annotations["gameserver-autopilot/paused"] = "true"
    games.run_pass()
    assert games.minutes(6) == 20
    games.fleet.scale(23)  # by hand
    games.fleet.roll_out()
    assert games.minutes(6) == 23
    games.fleet.annotations.clear()
    assert games.minutes(12) == 10


def test_a_fleet_that_is_left_to_somebody_else_is_left_to_the_chain_no_more_than_to_the_client(play):
    games = play(chained=True)
    games.fleet.allocate(8)
    games.minutes(6)
    for _ in range(12):
        games.step()
        games.fleet.scale(25)
        games.step()
    assert games.store.views["eu/x"].left_alone
    games.fleet.scale(25)
    assert games.minutes(5) == 25


def test_two_replicas_that_are_asked_in_turn_agree_and_see_no_rival(play):
    """Each makes its own passes, half a minute apart, and receives every second review."""
    games = play(chained=True)
    first = games.loop, games.port, games.store
    games.restart()
    turns = itertools.cycle([first, (games.loop, games.port, games.store)])
    games.fleet.allocate(10)
    for step in range(120):
        games.now += STEP
        games.loop, games.port, games.store = next(turns)
        games.run_pass()
        games.fleet.tick()
        if step % 20 == 10:
            games.fleet.allocate(6)
        if step % 20 == 0:
            games.fleet.end_sessions(5)
        _, games.port, games.store = next(turns)  # a review goes to the other one
        games.review()
        next(turns)
        assert games.fleet.replicas >= games.fleet.status["allocatedReplicas"]
    refused = games.statuses[10:].count(503)
    assert refused == 0
    assert all(view.rivalry.reversals == () for store in (first[2], games.store) for view in store.views.values())


OPERATIONS = {
    "step": lambda games: None,
    "more players": lambda games: games.fleet.allocate(7),
    "a session each ends": lambda games: games.fleet.end_sessions(6),
    "all sessions end": lambda games: games.fleet.end_sessions(100),
    "rollout": lambda games: games.fleet.roll_out(),
    "endpoint away": lambda games: setattr(games.endpoint, "mode", "away"),
    "endpoint well": lambda games: setattr(games.endpoint, "mode", "well"),
    "endpoint says 0": lambda games: setattr(games.endpoint, "mode", "zero"),
    "endpoint says 10,000": lambda games: setattr(games.endpoint, "mode", "wild"),
    "API server away": lambda games: setattr(games.api, "away", True),
    "API server well": lambda games: setattr(games.api, "away", False),
    "restart": lambda games: games.restart(),
    "clock on by an hour": lambda games: setattr(games, "leap", games.leap + 3600),
    "clock back by an hour": lambda games: setattr(games, "leap", games.leap - 3600),
    "clock on by four minutes": lambda games: setattr(games, "leap", games.leap + 240),
    "made anew": lambda games: (games.delete(), games.create(15)),
    "somebody sets 30": lambda games: games.fleet.scale(30),
    "a review that lies": lambda games: games.stray({}),
    "a review that comes late": lambda games: games.stray(games.past[0]),
    "clock back by a minute": lambda games: setattr(games, "leap", games.leap - 60),
    "deleted": lambda games: games.delete(),
    "servers cannot start": lambda games: setattr(games.fleet, "can_start", False),
    "servers can start": lambda games: setattr(games.fleet, "can_start", True),
}
operations = st.lists(
    st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(1, 8), st.booleans()), min_size=4, max_size=14
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operations,
    st.sampled_from(["webhook", "scale", "observe"]),
    st.sampled_from(["agones", "review"]),
    st.booleans(),
    st.booleans(),
)
def test_whatever_happens_no_busy_server_goes_and_no_fault_shrinks(play, sequence, apply, source, chained, dry_run):
    """Sizes that the client says or writes: within what is in use and the maximum; smaller only when it may know."""
    if source == "review":
        apply = "webhook"
    games = play(apply=apply, source=source, chained=chained, dry_run=dry_run)
    games.fleet.allocate(9)
    note(f"{sequence} {apply} {source} chained={chained}")
    for name, steps, reviewed in sequence:
        OPERATIONS[name](games)
        for _ in range(steps):
            watched_step(games, reviewed)
    assert not games.api.writes or (apply == "scale" and not dry_run)


def watched_step(games: Games, reviewed: bool) -> None:
    games.now += STEP
    games.steps += 1
    if games.steps % 2:
        before, held, patched = games.fleet.replicas, games.fleet.status["allocatedReplicas"], len(games.api.patched)
        view = games.run_pass()
        answer = view.seen.answer
        games.agreed.append((games.now, answer.ahead if answer else None))
        if len(games.api.patched) > patched:
            check(games, games.api.patched[-1], before, held)
    games.fleet.tick()
    if not reviewed:
        return
    before, held = games.fleet.replicas, games.fleet.status["allocatedReplicas"]
    said = games.review()
    if said is not None:
        check(games, said, before, held)


def check(games: Games, size: int, before: int, held: int) -> None:
    """A size that the client said or wrote, for a Fleet of `before` servers of which `held` are allocated."""
    assert not games.dry_run
    assert games.config.fleets[0].apply != "observe"
    assert held <= size <= max(MAXIMUM, held)
    if size < before:
        window = [ahead for at, ahead in games.agreed if games.agreed[-1][0] - at < 180]
        assert len(window) == 3
        assert None not in window, "it shrinks although an answer of the last minutes is missing"
        assert size >= min(MAXIMUM, max(window))
