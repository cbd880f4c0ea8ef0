"""The live phase that acts while it learns: at each observation a decision, explored, through the guardrail.

It remembers nothing of its own. A decision rests on the recording, on the model that the last verdict let serve, and on
an exploration that is a function of the hour; so what is stopped and started again goes on as if nothing had been.
What was decided is written down line by line, for the report.
"""

import contextlib
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.decide import Doubles, Predictions
from autopilot.core.fleet import FleetNow, Lead, Limits
from autopilot.core.history import DAYS_BACK, Windows
from autopilot.history.cache import RecentHistory
from autopilot.history.none import NoHistory
from autopilot.ports import Policy
from autopilot.service import Answer, Ask, Autopilot, DecisionConfig
from autopilot.training.hyperparameters import Hyperparameters

Pairs = Sequence[tuple[float, float]]
"""What was observed, (seconds since the epoch, servers), oldest first."""

_EXPLORED_SLOTS = 12
"""An exploration lasts an hour: shorter than the lead it would only undo itself."""
_LOOKED_BACK = (max(DAYS_BACK) + 1) * 86_400.0
_STANDS = 2.0
"""A decision stands for so many times the time between two observations."""


class ExploringPolicy:
    """A policy whose predictions are moved by chance, an hour at a time, by `share` at most. See ports.Policy.

    `policy` is what decides, and may be replaced at any time.
    """

    def __init__(self, policy: Policy, share: float, seed: int) -> None:
        self.policy = policy
        self._share, self._seed = share, seed

    @property
    def name(self) -> str:
        """Name and version of what decides."""
        return self.policy.name

    @property
    def width(self) -> int:
        """Length of the observation vector."""
        return self.policy.width

    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        """What the coming lead needs, in servers, explored."""
        predictions = self.policy.predict(windows, lead, missing_price)
        return replace(predictions, servers=predictions.servers * [self.explored(int(slot)) for slot in windows.slot])

    def act(self, observations: npt.NDArray[np.float32]) -> Predictions:
        """The raw answer as it is."""
        return self.policy.act(observations)

    def explored(self, slot: int) -> float:
        """What a prediction is multiplied by in a slot, between 1 - share and 1 + share."""
        drawn = np.random.default_rng((self._seed, slot // _EXPLORED_SLOTS)).uniform(-1.0, 1.0)
        return 1.0 + self._share * float(drawn)


class MadeDecision(NamedTuple):
    """The last decision, and when it was made, by the clock of the actor."""

    answer: Answer
    made_at: float


class LiveActor:
    """Decides for the live fleet at each observation, and keeps the last decision for who asks.

    `acts` is where decisions are written down, see `read_acts`.
    """

    def __init__(
        self, hparams: Hyperparameters, policy: Policy, acts: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.fleet = hparams.live_fleet
        self._acts, self._clock = acts, clock
        self._fresh_seconds = _STANDS * hparams.learning_freq
        self._limits = Limits(hparams.min_servers, hparams.max_servers or None)
        self._policy = ExploringPolicy(policy, hparams.live_exploration, hparams.seed)
        operator = DecisionConfig(
            lead=Lead(hparams.lead_minutes_min, hparams.lead_minutes_max), missing_price=hparams.missing_price
        )
        self._autopilot = Autopilot(self._policy, RecentHistory(NoHistory(), off=True), operator)
        self._standing: MadeDecision | None = None

    @property
    def policy_name(self) -> str:
        """Name and version of what decides now."""
        return self._policy.name

    def serve(self, policy: Policy) -> None:
        """Decide by another policy from now on: only ever by what a verdict let serve."""
        self._policy.policy = policy

    def heard(self, pairs: Pairs) -> None:
        """Decide at the last of what was observed. Raises OSError where that cannot be written down."""
        at, demand = pairs[-1]
        now = FleetNow(self.fleet, at, demand, limits=self._limits)
        answer = self._autopilot.decide([Ask(now, pairs=pairs[bisect_left(pairs, (at - _LOOKED_BACK,)) :])])[0]
        if isinstance(answer, Answer):  # nothing is refused whose demand and history are given
            self._standing = MadeDecision(answer, self._clock())
            decision = answer.decision
            with self._acts.open("a", encoding="utf-8") as file:
                file.write(f"{at:.3f},{demand:.10g},{decision.forecast},{decision.allocation},{answer.policy}\n")

    def standing(self) -> Answer | None:
        """The last decision; None where there is none, or the source has been silent for too long to go by it."""
        one = self._standing
        return one.answer if one is not None and self._clock() - one.made_at <= self._fresh_seconds else None


def acts_of(recording: Path) -> Path:
    """Where the decisions on a recording are written down."""
    return recording.with_name(f"{recording.stem}-acts.csv")


class Acts(NamedTuple):
    """What was decided, in order: times in seconds since the epoch, servers, [T] each, and by which policy."""

    times: Doubles
    demand: Doubles
    forecast: Doubles
    allocation: Doubles
    policy: tuple[str, ...]


def read_acts(path: Path) -> Acts:
    """The decisions that were written down; a line that an interruption cut off is left out."""
    lines = path.read_text("utf-8", "replace").split("\n")[:-1] if path.exists() else []
    rows: list[tuple[float, ...]] = []
    names: list[str] = []
    for line in lines:
        with contextlib.suppress(ValueError):
            *numbers, name = line.split(",", 4)
            at, demand, forecast, allocation = map(float, numbers)
            if not rows or at > rows[-1][0]:
                rows.append((at, demand, forecast, allocation))
                names.append(name)
    times, needed, forecasts, allocations = np.array(rows, np.float64).reshape(-1, 4).T
    return Acts(times, needed, forecasts, allocations, tuple(names))
