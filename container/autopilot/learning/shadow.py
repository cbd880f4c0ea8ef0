"""A candidate beside the served policy: it decides the same live requests, a moment later, and nobody gets its answer.

What it would have cost is on the scoreboard, from the stored days; here it shows that it copes with what is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple, Protocol

from autopilot.core.decide import Decisions, FleetContext, decide_believed
from autopilot.core.guardrail import GuardrailRules
from autopilot.learning.background import Background
from autopilot.ports import Policy

MOST_FLEETS = 256
"""Of one call, the first: the windows of more would take megabytes while they wait."""
_MOST_WAITING = 4
_SHARE = 0.1
"""Of one core, at most; what comes in faster is left out."""


class ShadowOutcome(StrEnum):
    """What became of a live decision that a candidate may make as well."""

    DECIDED = "decided"
    SKIPPED = "skipped"
    """There was no time, or too many at once."""
    FAILED = "failed"
    """A defect of the candidate: the log has its traceback."""


class ShadowCounts(Protocol):
    """Who is told what a candidate does."""

    def shadowed(self, outcome: ShadowOutcome, fleets: int) -> None:
        """So many decisions came to this."""
        ...

    def shadow_servers(self, served: int, candidate: int) -> None:
        """Servers that both forecast in the same decisions."""
        ...


class _Batch(NamedTuple):
    contexts: Sequence[FleetContext]
    made: Decisions


class ShadowCandidate:
    """Lets a candidate decide what was decided. See ports.Shadow."""

    def __init__(
        self,
        policy: Policy,
        rules: GuardrailRules,
        counts: ShadowCounts,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._policy, self._counts = policy, counts
        self._rules = replace(rules, max_step_up=None, max_step_down=None, stabilization_minutes=0.0)
        given = {} if pause is None else {"pause": pause}
        self._background = Background(self._decide, self._failed, most=_MOST_WAITING, share=_SHARE, **given)

    @property
    def name(self) -> str:
        """The candidate's name and checksum."""
        return self._policy.name

    def decided(self, contexts: Sequence[FleetContext], made: Decisions) -> None:
        """These decisions were made: the candidate may make them as well. At once; never raises."""
        if not self._background.offer(_Batch(contexts, made)):
            self._counts.shadowed(ShadowOutcome.SKIPPED, len(contexts))

    def _decide(self, batch: _Batch) -> None:
        part = slice(0, MOST_FLEETS)
        contexts = [one._replace(by_rule=False) for one in batch.contexts[part]]
        own = decide_believed(contexts, batch.made.belief.of(part), [], self._policy.predict, self._rules)
        self._counts.shadowed(ShadowOutcome.DECIDED, len(contexts))
        self._counts.shadowed(ShadowOutcome.SKIPPED, len(batch.contexts) - len(contexts))
        self._counts.shadow_servers(
            sum(one.forecast for one in batch.made.each[part]), sum(one.forecast for one in own.each)
        )

    def _failed(self, batch: _Batch) -> None:
        self._counts.shadowed(ShadowOutcome.FAILED, len(batch.contexts))
