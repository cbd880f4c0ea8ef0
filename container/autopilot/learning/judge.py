"""When each fleet is judged, and who serves it, the policy or the calibrated rule: once a day from what is stored, and
three times on a fleet's first day.

On a thread of its own, so that no decision waits for it, and at a small share of one core. The verdict rests on the
stored days alone: every worker and every replica comes to the same, and so does one that starts anew. What one worker
has found out the others of its container read from the board.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from autopilot.backtest.replay import DAY_SECONDS, PART_SECONDS, ReplayConfig
from autopilot.core.decide import FleetContext
from autopilot.core.fleet import Lead
from autopilot.core.trained_on import TrainedOn
from autopilot.learning.background import Background
from autopilot.learning.board import Board, BoardError, ServedBy
from autopilot.learning.stored import StoredFleet, read_fleet
from autopilot.ports import History, HistoryUnavailableError, Policy

log = logging.getLogger("autopilot.learning")

MOST_FLEETS = 50_000
"""Of a worker: others are served by the policy."""
_FIRST_AFTER = 600.0
"""Seconds from a fleet's first decision: a worker that starts has other things to do."""
_LATE = 1200.0
"""Seconds after a day, or a part of one: late observations of it are in the store by then."""
_AGAIN_AFTER = 3600.0
"""Seconds: after a store that did not answer."""
_SHARE = 0.05
"""Of one core, at most."""


class _Known(NamedTuple):
    due: float
    by_rule: bool
    lead: Lead | None = None


class JudgementOutcome(StrEnum):
    """What became of a judgement that was due."""

    JUDGED = "judged"
    SHARED = "shared"
    """Another worker had it on the board."""
    UNAVAILABLE = "unavailable"
    """The history did not answer: later."""
    FAILED = "failed"
    """A defect, whose traceback is in the log: later."""


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """What is judged, and how.

    earns        whether the rule takes over from a policy that loses to it; else it is only written down
    server_hour  price of one server-hour; None: no money
    candidate    a model that does not serve, to be played as well
    trained_on   what the policy that serves learned from; None: not known
    """

    replay: ReplayConfig
    earns: bool = True
    server_hour: float | None = None
    candidate: Policy | None = None
    trained_on: TrainedOn | None = None


class DailyJudge:
    """Judges fleets of a history. Thread-safe; its thread begins with the first fleet that is due.

    `pause` waits between two fleets, so many seconds; `count` is told what became of each.
    """

    def __init__(
        self,
        history: History,
        config: JudgeConfig,
        board: Board,
        *,
        count: Callable[[JudgementOutcome], object] = lambda _: None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._history, self._config, self._board = history, config, board
        self._count = count
        self._verdicts: dict[str, _Known] = {}
        self._background = Background(self._try, self._failed, most=MOST_FLEETS, share=_SHARE, pause=pause)

    def serves_rule(self, context: FleetContext) -> bool:
        """Whether the calibrated rule serves a fleet; where it is due, it will be judged."""
        fleet, at = context.now.fleet, context.now.observed_at
        known = self._verdicts.get(fleet)
        if known is None:
            if len(self._verdicts) < MOST_FLEETS:
                self._verdicts[fleet] = _Known(at + _FIRST_AFTER, False)
            return False
        if at >= known.due:
            self._verdicts[fleet] = known._replace(due=at + _AGAIN_AFTER)
            if not self._background.offer(context):
                log.debug("%s is judged later: too many fleets are waiting", fleet)
        return known.by_rule

    def judge(self, context: FleetContext) -> bool:
        """Judge a fleet now, by its days before the UTC day of its observation; whether the rule serves it.

        A fleet without a whole day before that is judged by the parts of days that are over.
        Raises HistoryUnavailableError, and BoardError where the verdict stands, but could not be written down.
        """
        fleet, at = context.now.fleet, context.now.observed_at
        asked = self._asked(context)
        shared = self._shared(fleet, at, asked)
        if shared is not None:
            self._decree(context, shared)
            self._count(JudgementOutcome.SHARED)
            return shared.by_rule
        from autopilot.learning.judgement import judged  # noqa: PLC0415 - megabytes, minutes after a worker's start

        before = self._verdicts.get(fleet)
        stored, until = self._stored(fleet, at)
        entry = judged(stored, context, self._config, (until, asked), before and before.lead)
        if entry.drifts:
            log.warning("%s has drifted: /scoreboard says what moved", fleet)
        self._decree(context, ServedBy(entry.by_rule, until))
        self._board.keep(entry)
        self._count(JudgementOutcome.JUDGED)
        return entry.by_rule

    def _stored(self, fleet: str, at: float) -> tuple[StoredFleet, float]:
        """What a fleet is judged by, and until when nothing is added to it: midnight, or the end of a part of a day."""
        midnight = at // DAY_SECONDS * DAY_SECONDS
        stored = read_fleet(self._history, fleet, midnight)
        if len(stored) and stored.series.times[0] <= midnight - 2 * PART_SECONDS:
            return stored, midnight + DAY_SECONDS
        part = at // PART_SECONDS * PART_SECONDS
        return read_fleet(self._history, fleet, part), part + PART_SECONDS

    def _shared(self, fleet: str, at: float, asked: str) -> ServedBy | None:
        try:
            return self._board.verdict(fleet, at, asked)
        except BoardError:  # who serves does not depend on it: `keep` will say what is wrong
            return None

    def _asked(self, context: FleetContext) -> str:
        """What a judgement depends on besides the stored days."""
        names = [one and one.name for one in (self._config.replay.policy, self._config.candidate)]
        return repr((context.lead, context.missing_price, context.now.limits, names))

    def _decree(self, context: FleetContext, verdict: ServedBy) -> None:
        fleet, before = context.now.fleet, self._verdicts.get(context.now.fleet)
        if verdict.by_rule != (before is not None and before.by_rule):
            log.warning("%s is served by %s from now on: it costs less there", fleet, _NAMES[verdict.by_rule])
        self._verdicts[fleet] = _Known(verdict.until + _LATE, verdict.by_rule, context.lead)

    def _try(self, context: FleetContext) -> None:
        try:
            self.judge(context)
        except HistoryUnavailableError as error:
            log.info("%s is judged later: %s", context.now.fleet, error)
            self._count(JudgementOutcome.UNAVAILABLE)
        except BoardError as error:
            log.error("%s is judged, and is missing on the scoreboard: %s", context.now.fleet, error)
            self._count(JudgementOutcome.FAILED)

    def _failed(self, context: FleetContext) -> None:
        """Who serves this fleet stays, and it is tried again."""
        log.error("%s could not be judged; it is tried again in an hour", context.now.fleet)
        self._count(JudgementOutcome.FAILED)


_NAMES = {False: "the policy", True: "the calibrated rule"}
