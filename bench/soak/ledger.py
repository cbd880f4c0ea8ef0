"""The account of a run: what every pass did to every fleet, and which promises it broke. Pure; arrays are [N]."""

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from bench.soak.options import STABILIZATION_MINUTES


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over all fleets, [N] each.

    need       servers that players really need
    before     size that was asked for before the pass
    after      size that is asked for after it
    sessions   servers with a live session
    ended      live sessions that the resize would have ended
    blind      a fault made demand, the endpoint's answer or its history missing or nonsense
    lied       a fault made the demand a wrong number that looks like one
    rolling    the fleet's status tells of a rollout
    answered   the endpoint's forecast in this pass (the lowest, where it was asked twice); NaN where there was none
    taking     the fleet has the players of a region that failed over, and the client knew its demand and set its size
    """

    at: float
    need: np.ndarray
    before: np.ndarray
    after: np.ndarray
    sessions: np.ndarray
    ended: np.ndarray
    blind: np.ndarray
    lied: np.ndarray
    rolling: np.ndarray
    answered: np.ndarray
    taking: np.ndarray


@dataclass(slots=True)
class Ledger:
    """What the passes add up to.

    sessions_killed   live sessions that a resize ended or would have ended, had the controller obeyed
    removed_blind     servers removed in a pass for whose fleet a fault made data missing or nonsense
    removed_on_lies   servers removed on a lie, as far as they were needed
    removed_rolling   servers of Deployments removed while a new version is rolled out
    undercut          servers removed although a forecast of the last three minutes still asked for them
    left_short        servers that the players of a failed region needed, and that the client did not ask for at once
    """

    sessions_killed: int = 0
    removed_blind: int = 0
    removed_on_lies: int = 0
    removed_rolling: int = 0
    undercut: int = 0
    left_short: int = 0
    removed: int = 0
    resizes: int = 0
    passes: int = 0
    instances: list[dict[str, object]] = field(default_factory=list)
    reasons: "Counter[str]" = field(default_factory=Counter)
    outcomes: "Counter[str]" = field(default_factory=Counter)
    rungs: "Counter[str]" = field(default_factory=Counter)
    _answers: "deque[tuple[float, np.ndarray]]" = field(default_factory=deque)
    _unread: "list[tuple[Pass, np.ndarray]]" = field(default_factory=list)

    def unreadable(self, one: Pass) -> None:
        """A pass whose outcome cannot be read, for the API server is away: the next that can be read tells of both."""
        self._unread.append((one, self._answer(one)))
        self.passes += 1

    def add(self, one: Pass, names: tuple[str, ...]) -> None:
        """Count one pass. What changed in passes that could not be read is judged by the mildest of them."""
        passes, standing = [one], self._answer(one)
        for earlier, stood in self._unread:
            passes, standing = [*passes, earlier], np.minimum(standing, stood)
        self._unread = []
        gone = np.maximum(one.before - one.after, 0.0)
        need = np.minimum.reduce([each.need for each in passes])
        found = {
            "sessions_killed": one.ended,
            "removed_blind": np.where(np.logical_and.reduce([each.blind for each in passes]), gone, 0.0),
            "removed_on_lies": np.where(one.lied, below(one.before, one.after, need), 0.0),
            "removed_rolling": np.where(np.logical_and.reduce([each.rolling for each in passes]), gone, 0.0),
            "undercut": below(one.before, one.after, standing),
            "left_short": np.where(one.taking, np.maximum(one.need - one.after, 0.0), 0.0),
        }
        for name, servers in found.items():
            setattr(self, name, getattr(self, name) + int(servers.sum()))
            self._note(name, servers, one, names)
        self.removed += int(gone.sum())
        self.resizes += int((one.before != one.after).sum())
        self.passes += 1

    def tell(self, views: list[list[object]]) -> None:
        """Count what the leader told of a pass."""
        for view in views:
            rung, reason, _, outcome = (str(word) for word in view[5:9])
            self.rungs[rung] += 1
            self.reasons[reason] += 1
            self.outcomes[outcome] += 1

    @property
    def broken(self) -> list[str]:
        """The promises that were broken, in words; empty when all were kept."""
        promises = {
            "live sessions were ended by a size that the client set": self.sessions_killed,
            "servers were removed on data that a fault made missing or nonsense": self.removed_blind,
            "needed servers were removed on a lie of the demand source": self.removed_on_lies,
            "servers were removed while a new version was rolled out": self.removed_rolling,
            "servers were removed that a forecast of the last three minutes asked for": self.undercut,
            "servers for a failed region's players were not asked for at once": self.left_short,
        }
        return [f"{count} {what}" for what, count in promises.items() if count]

    def _answer(self, one: Pass) -> np.ndarray:
        """The highest forecast of the client's window with this pass's own, [N]; 0 where there was none."""
        while self._answers and one.at - self._answers[0][0] >= STABILIZATION_MINUTES * 60:
            self._answers.popleft()
        self._answers.append((one.at, one.answered))
        return np.fmax.reduce([np.nan_to_num(answered) for _, answered in self._answers])

    def _note(self, name: str, servers: np.ndarray, one: Pass, names: tuple[str, ...]) -> None:
        for i in np.flatnonzero(servers).tolist():
            if len(self.instances) < 500:
                what = {"promise": name, "at": one.at, "fleet": names[i], "servers": int(servers[i])}
                sizes = {"before": one.before[i], "after": one.after[i], "need": one.need[i]}
                self.instances.append(what | sizes | {"sessions": one.sessions[i], "answered": str(one.answered[i])})


def below(before: np.ndarray, after: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Servers that a resize took from under a floor, [N]; what was missing before is not counted."""
    return np.clip(np.minimum(before, floor) - after, 0.0, None)
