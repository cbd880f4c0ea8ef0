"""Who serves each fleet, the policy or the calibrated rule: judged once a day from what the store has of it.

On a thread of its own, so that no decision waits for it, and at a small share of one core. The verdict rests on the
stored days alone: every worker and every replica comes to the same, and so does one that starts anew.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from autopilot.backtest.replay import DAY_SECONDS, ReplayConfig
from autopilot.core.decide import FleetContext
from autopilot.learning.stored import StoredFleet, read_fleet
from autopilot.ports import History, HistoryUnavailableError

log = logging.getLogger("autopilot.learning")

MOST_FLEETS = 50_000
"""Of a worker: others are served by the policy."""
_FIRST_AFTER = 600.0
"""Seconds from a fleet's first decision: a worker that starts has other things to do."""
_AFTER_MIDNIGHT = 1200.0
"""Seconds: late observations of yesterday are in the store by then."""
_AGAIN_AFTER = 3600.0
"""Seconds: after a store that did not answer."""
_SHARE = 0.05
"""Of one core, at most."""


class _Verdict(NamedTuple):
    due: float
    by_rule: bool


class DailyJudge:
    """Judges fleets of a history. Thread-safe; its thread begins with the first fleet that is due.

    `pause` waits between two fleets, so many seconds.
    """

    def __init__(
        self, history: History, config: ReplayConfig, *, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._history, self._config, self._pause = history, config, pause
        self._verdicts: dict[str, _Verdict] = {}
        self._waiting: queue.Queue[FleetContext] = queue.Queue(MOST_FLEETS)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def serves_rule(self, context: FleetContext) -> bool:
        """Whether the calibrated rule serves a fleet; where it is due, it will be judged."""
        fleet, at = context.now.fleet, context.now.observed_at
        known = self._verdicts.get(fleet)
        if known is None:
            if len(self._verdicts) < MOST_FLEETS:
                self._verdicts[fleet] = _Verdict(at + _FIRST_AFTER, False)
            return False
        if at >= known.due:
            self._verdicts[fleet] = _Verdict(at + _AGAIN_AFTER, known.by_rule)
            self._enqueue(context)
        return known.by_rule

    def judge(self, context: FleetContext) -> bool:
        """Judge a fleet now, by its days before the UTC day of its observation. Raises HistoryUnavailableError."""
        fleet, at = context.now.fleet, context.now.observed_at
        config = replace(
            self._config, lead=context.lead, missing_price=context.missing_price, limits=context.now.limits
        )
        by_rule = _serves_rule(read_fleet(self._history, fleet, at // DAY_SECONDS * DAY_SECONDS), config, at)
        before = self._verdicts.get(fleet)
        if by_rule != (before is not None and before.by_rule):
            log.warning("%s is served by %s from now on: it costs less there", fleet, _NAMES[by_rule])
        due = (at // DAY_SECONDS + 1) * DAY_SECONDS + _AFTER_MIDNIGHT
        self._verdicts[fleet] = _Verdict(due, by_rule)
        return by_rule

    def _enqueue(self, context: FleetContext) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="judge", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(context)
        except queue.Full:
            log.debug("%s is judged later: too many fleets are waiting", context.now.fleet)

    def _work(self) -> None:
        while True:
            waiting = self._waiting.get()
            began = time.thread_time()
            try:
                self.judge(waiting)
            except HistoryUnavailableError as error:
                log.info("%s is judged later: %s", waiting.now.fleet, error)
            self._pause((time.thread_time() - began) * (1 / _SHARE - 1))


_NAMES = {False: "the policy", True: "the calibrated rule"}


def _serves_rule(stored: StoredFleet, config: ReplayConfig, at: float) -> bool:
    from autopilot.backtest.earning import trial  # noqa: PLC0415 - megabytes, ten minutes after a worker's start
    from autopilot.learning.scoreboard import scenario_of  # noqa: PLC0415

    try:
        return bool(trial(scenario_of(stored, config), config).serves_rule(np.array([at // DAY_SECONDS]))[0])
    except ValueError:  # too little is stored, or too rarely observed, to play anything
        return False
