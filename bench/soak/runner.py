"""One run from beginning to end: the world moves, faults come and go, clients make passes, all is written down.

In lockstep (speed 0) the clients make one pass for each step of the world, when they are told to. With a speed they go
by themselves, and the world keeps pace with the wall's clock.
"""

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autopilot_client.ports import KubeError
from bench.soak.door import Answered
from bench.soak.failover import Failover, draw_failovers, fail_over, taking
from bench.soak.faults import SoakFault, draw_faults
from bench.soak.ledger import Ledger, Pass
from bench.soak.options import MAX_AGE_SECONDS, Options
from bench.soak.stage import DEMAND_MODES, Injector, staged
from bench.soak.world import World, cast_of, draw_demand, ended_by, start_world

Progress = Callable[[int, str], bool]
"""Is told the pass and the faults in force; says whether to go on."""
FALSE_AND_PLAUSIBLE = "demand source says 0"
DONE = ("scaled", "already right")


@dataclass(slots=True)
class Run:
    """What a run came to: its account, and [T, N] columns of the passes that were made."""

    options: Options
    faults: list[SoakFault]
    failovers: list[Failover] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    demand: list[np.ndarray] = field(default_factory=list)
    size: list[np.ndarray] = field(default_factory=list)
    ready: list[np.ndarray] = field(default_factory=list)
    allocation: list[np.ndarray] = field(default_factory=list)
    missing: list[np.ndarray] = field(default_factory=list)
    idle: list[np.ndarray] = field(default_factory=list)
    held: list[np.ndarray] = field(default_factory=list)
    failed_passes: int = 0
    leaders: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wall_seconds: float = 0.0
    latest: float = 0.0
    """With a speed: how late a step of the world began at most, in seconds of the wall."""

    def column(self, name: str) -> np.ndarray:
        """One of the columns as an array [T, N]."""
        return np.array(getattr(self, name))


class Soak:
    """The loop over all passes."""

    def __init__(self, options: Options, progress: Progress) -> None:
        self.options, self._progress = options, progress
        self.cast = cast_of(options.fleets)
        demand = draw_demand(options, self.cast)
        failovers = draw_failovers(options, self.cast, demand)
        self.demand = fail_over(demand, failovers)
        self.world: World = start_world(options, self.demand[0])
        self.run = Run(options, draw_faults(options), failovers)
        self._answered = np.full((2, len(self.cast)), np.nan)
        self._missing_history = np.zeros(len(self.cast), bool)
        self._rolled = np.zeros(len(self.cast), bool)

    def go(self) -> Run:
        """Make all passes, or as many as the wall-clock limit allows."""
        maximum = np.maximum(50, 4 * self.demand.max(axis=0))
        options, began = self.options, time.monotonic()
        options.out.mkdir(parents=True, exist_ok=True)
        with (
            staged(options, self.cast, self.world.size, maximum) as stage,
            gzip.open(options.out / "passes.jsonl.gz", "wt", encoding="utf-8", compresslevel=4) as passes,
            (options.out / "faults.jsonl").open("w", encoding="utf-8") as faults,
        ):
            self._stage, self._passes, self._faults = stage, passes, faults
            self._injector = Injector(stage, options.seed)
            self._publish(0)
            stage.place.wall = time.time()
            for name in stage.names:
                stage.start_replica(name)
            self._passing(began + options.minutes * 60)
            self.run.notes = stage.notes
            self._end_all()
        self.run.wall_seconds = time.monotonic() - began
        return self.run

    def _passing(self, until: float) -> None:
        before = self.world.size
        for step in range(1, self.options.steps):
            if time.monotonic() > until:
                self.run.notes.append(f"stopped by the limit of --minutes after {step} passes")
                return
            self._pace(step)
            self.world.step(before, self.demand[step])
            active = self._turn_faults(step)
            self._publish(step)
            before = self._contested(before)
            told = self._passes_of(step, active)
            before = self._account(step, active, told, before)
            if not self._progress(step, ", ".join(fault.kind.name for fault in active)):
                return

    def _pace(self, step: int) -> None:
        if self.options.speed:
            due = self._stage.place.wall + step * self.options.pass_seconds / self.options.speed
            self.run.latest = max(self.run.latest, time.time() - due)
            time.sleep(max(0.0, due - time.time()))

    def _turn_faults(self, step: int) -> list[SoakFault]:
        """End what is over, begin what is due; what is in force now."""
        for fault in self.run.faults:
            if fault.last == step:
                self._injector.end(fault)
                self._note_fault(fault, "end", step)
        for fault in self.run.faults:
            if fault.first == step:
                self._note_fault(fault, "begin", step)
                self._injector.begin(fault)
        active = [fault for fault in self.run.faults if fault.covers(step)]
        self._injector.keep_clients(active)
        return active

    def _note_fault(self, fault: SoakFault, what: str, step: int) -> None:
        document = {"fault": fault.kind.name, "what": what, "step": step, "at": self.options.at(step)}
        self._faults.write(json.dumps(document | {"wall": time.time()}) + "\n")
        self._faults.flush()

    def _end_all(self) -> None:
        for fault in self.run.faults:
            if fault.covers(self.run.ledger.passes + 1):
                self._injector.end(fault)

    def _publish(self, step: int) -> None:
        world, stage = self.world, self._stage
        stage.matchmaker.publish(self.options.at(step), self.cast.names, world.sessions, world.queue)
        stage.cluster.publish(world)
        stage.pods.follow(world)

    def _contested(self, before: np.ndarray) -> np.ndarray:
        """The sizes in force after somebody else has set theirs: what that removes is not the client's doing."""
        rival = self._stage.rival
        rival.act()
        found = self._stage.cluster.read_sizes() if rival.sizes else None
        return before if found is None else found

    def _passes_of(self, step: int, active: list[SoakFault]) -> dict[str, dict[str, Any]]:
        """What each replica told of its pass."""
        stage = self._stage
        for fault in active:
            self._injector.during(fault, step)
        if self.options.speed:
            time.sleep(0.8 * self.options.pass_seconds / self.options.speed)
            lines = {name: (replica.told() or [None])[-1] for name, replica in stage.replicas.items()}
        else:
            for replica in stage.replicas.values():
                replica.tick(self.options.at(step))
            lines = {name: replica.passed() for name, replica in stage.replicas.items()}
        self._injector.settle()
        for name in list(stage.replicas):
            if not stage.replicas[name].alive:
                del stage.replicas[name]
        told = {name: line for name, line in lines.items() if line and line.get("views")}
        self.run.failed_passes += sum(bool(line and line.get("failed")) for line in lines.values())
        stage.leader = next((name for name, line in told.items() if line["leads"]), "")
        return told

    def _account(
        self, step: int, active: list[SoakFault], told: dict[str, dict[str, Any]], before: np.ndarray
    ) -> np.ndarray:
        """Write the pass down; the sizes that are in force after it."""
        answered, lost = self._answers(received(self._stage.door.answered(), told))
        after = self._stage.cluster.read_sizes()
        blind = lost | self._unknown(step, active)
        lied = self._lied(step, active)
        leader = told.get(self._stage.leader) or next(iter(told.values()), None)
        seen = before if after is None else after
        one = Pass(self.options.at(step), self.world.demand, before, seen, self.world.sessions,
                   self._ended(before, seen), blind, lied, self._rolling(), answered,
                   self._taking(step, active, leader))  # fmt: skip
        if after is None:
            self.run.ledger.unreadable(one)
        else:
            self.run.ledger.add(one, self.cast.names)
        self._write(one, leader)
        return seen

    def _answers(self, by_replica: dict[str, dict[str, Answered]]) -> tuple[np.ndarray, np.ndarray]:
        """The lowest answers of this pass [N], and for whom the leader had none that rests on the history [N]."""
        names, leader = self.cast.names, by_replica.get(self._stage.leader, {})
        mine = leader or next(iter(by_replica.values()), {})
        lost = np.array([name not in mine or mine[name].history == "unavailable" for name in names])
        sizes = np.full(len(names), np.nan)
        for said in by_replica.values():
            sizes = np.fmin(sizes, [said[name].size if name in said else np.nan for name in names])
        if self.options.speed:  # a pass may straddle two steps of the world
            self._answered = np.stack([sizes, self._answered[0]])
            sizes = np.fmin(*self._answered)
            lost, self._missing_history = lost & self._missing_history, lost
        return sizes, lost

    def _unknown(self, step: int, active: list[SoakFault]) -> np.ndarray:
        """Fleets whose demand a fault made unknown, for the whole of the pass, [N]."""
        unknown = np.zeros(len(self.cast), bool)
        for fault in active:
            name = fault.kind.name
            if name not in DEMAND_MODES or name in (FALSE_AND_PLAUSIBLE, "demand source's clock an hour ahead"):
                continue
            passes = step - fault.first + 1 - bool(self.options.speed)
            if name == "demand source stale" and passes * self.options.pass_seconds <= MAX_AGE_SECONDS:
                continue  # old, but younger than what the configuration allows
            if passes > 0:
                unknown |= self.cast.by_matchmaker
            if passes > 0 and name == "demand source says null":
                unknown |= self.cast.by_status
        return unknown

    def _lied(self, step: int, active: list[SoakFault]) -> np.ndarray:
        lies = any(fault.kind.name == FALSE_AND_PLAUSIBLE for fault in active)
        return self.cast.by_matchmaker & lies

    def _taking(self, step: int, active: list[SoakFault], leader: dict[str, Any] | None) -> np.ndarray:
        """Fleets that have another region's players, where the leader could know it and set the size by itself, [N]."""
        if any(fault.kind.part == "demand" for fault in active):
            return np.zeros(len(self.cast), bool)
        views = {view[0]: view for view in leader["views"]} if leader else {}
        knew = [name in views and not views[name][7] and views[name][8] in DONE for name in self.cast.names]
        took = taking(self.run.failovers, step, len(self.cast)) & self.cast.by_matchmaker & np.array(knew)
        if self.options.speed:  # a pass may straddle two steps of the world
            took &= taking(self.run.failovers, step - 1, len(self.cast))
        return took

    def _rolling(self) -> np.ndarray:
        """Deployments whose status has told of a rollout for the whole of the pass, [N]."""
        now = np.isin(np.arange(len(self.cast)), list(self._stage.cluster.rolled))
        before, self._rolled = self._rolled, now
        return now & before if self.options.speed else now

    def _ended(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Live sessions that this resize ended, or would have ended, [N]."""
        ended = ended_by(before, after, self.world.sessions)
        try:
            chosen = self._stage.pods.shrink(before, after)
        except KubeError:
            return ended
        return np.where(self.cast.pods, chosen, ended)

    def _write(self, one: Pass, leader: dict[str, Any] | None) -> None:
        run, world = self.run, self.world
        views = {view[0]: view for view in leader["views"]} if leader else {}
        if leader:
            run.ledger.tell(leader["views"])
        allocation = np.array([
            np.nan if name not in views or views[name][3] is None else views[name][3] for name in self.cast.names
        ])  # fmt: skip
        held = np.array([name in views and views[name][6] == "outage_hold" for name in self.cast.names])
        columns = {"demand": one.need, "size": one.after, "ready": world.state.ready, "allocation": allocation}
        for name, values in (columns | {"missing": world.missing, "idle": world.idle, "held": held}).items():
            getattr(run, name).append(np.array(values))
        run.leaders.append(self._stage.leader)
        fleets = {
            name: [one.need[i], one.before[i], *(views[name][3:4] if name in views else [None]), one.after[i],
                   *(views[name][5:9] if name in views else ["", "no client", "", ""])]
            for i, name in enumerate(self.cast.names)
        }  # fmt: skip
        self._passes.write(json.dumps({"at": one.at, "leader": self._stage.leader, "fleets": fleets}) + "\n")


def received(
    by_replica: dict[str, dict[str, Answered]], told: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Answered]]:
    """The answers without those that came too late: the door passed them on, and the client had given up waiting."""
    late = {
        (replica, view[0])
        for replica, line in told.items()
        for view in line["views"]
        if view[7] == "endpoint_unavailable"
    }
    return {
        replica: {name: one for name, one in said.items() if (replica, name) not in late}
        for replica, said in by_replica.items()
    }
