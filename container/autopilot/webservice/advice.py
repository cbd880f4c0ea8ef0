"""The use case of a web service's caller: a minute's raw numbers in, machines to add and to remove out."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
import numpy.typing as npt

from autopilot.ports import HistoryUnavailableError, Policy, ServiceStates
from autopilot.webservice.minutes import ServiceMemory
from autopilot.webservice.observation import MAX_DELTA, WIDTH, WIDTH_FAITHFUL, Minute

WIDTHS = (WIDTH_FAITHFUL, WIDTH)


@dataclass(frozen=True, slots=True)
class ServiceMinute:
    """What a service's caller tells of one minute.

    transactions, failed  in that minute
    machines              active ones
    starting              machines that become ready in 1, 2, ... minutes; None: what was advised before was done
    """

    service: str
    observed_at: float
    transactions: float
    failed: float
    machines: int
    down: bool = False
    starting: Sequence[float] | None = None

    def streams(self) -> Minute:
        """As observations are made of it, for one service."""
        values = (self.transactions, self.failed, float(self.down), float(self.machines))
        return Minute(*(np.array([value]) for value in values))


@dataclass(frozen=True, slots=True)
class Advice:
    """Machines to add (ready in five minutes) and to remove (at once).

    history   `ok`, `cold` (its first minute), `unavailable` (the store: as if it were the first)
    actions   what the policy said, before whole machines were made of it
    """

    minute: ServiceMinute
    add: int
    remove: int
    history: str
    policy: str
    actions: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


class WrongModelError(Exception):
    """The model that serves does not know web services."""


@dataclass(frozen=True, slots=True)
class ServiceAdvisor:
    """Advises services by a policy that sees 25 or 29 numbers; what it must remember of them lies in `states`."""

    policy: Policy
    states: ServiceStates

    def advise(self, told: ServiceMinute) -> Advice:
        """What to do after a minute. The same minute may be told again. Raises WrongModelError; ValueError for a minute
        before the last one."""
        if self.policy.width not in WIDTHS:
            raise WrongModelError(
                f"{self.policy.name} is a model for fleets: set AUTOPILOT_MODEL_DIR to one of environment=service"
            )
        known, history = self._recalled(told.service)
        minute = floor(told.observed_at / 60)
        memory = ServiceMemory.of_first(minute, told.streams()) if known is None else known.told(minute, told.streams())
        if told.starting is not None:
            memory = memory.starts(told.starting)
        said = self.policy.act(memory.observed(self.policy.width))
        actions = said.actions[0]
        add, remove = (int(min(max(floor(one), 0), MAX_DELTA)) for one in actions.tolist())
        kept = self._keep(told.service, memory.ordered(float(add)))
        history = history if kept else "unavailable"
        return Advice(told, add, min(remove, told.machines), history, self.policy.name, actions, said.logits[0])

    def _recalled(self, service: str) -> tuple[ServiceMemory | None, str]:
        try:
            content = self.states.load(service)
        except HistoryUnavailableError:
            return None, "unavailable"
        memory = None if content is None else ServiceMemory.decoded(content)
        return memory, "cold" if memory is None else "ok"

    def _keep(self, service: str, memory: ServiceMemory) -> bool:
        try:
            self.states.save(service, memory.minute, memory.encoded())
        except HistoryUnavailableError:
            return False
        return True
