"""What simple rules would have done on the sample days.

They see what was reported, as the autopilot does, and all are judged by what players needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from autopilot.backtest.benchmark_rules import reference_rules
from autopilot.backtest.bill import Bill, bill
from autopilot.core.cost import Course, Doubles, Score, regular, score
from autopilot.core.fleet import DEFAULT_LEAD
from autopilot.demo.sample_day import SHOWN_DAYS, STEP_MINUTES, needed
from autopilot.sim.fleet import draw_leads, play

PRICE = 0.10
"""Of a server-hour."""
AUTOPILOT, PLUS_20, BEST_RULE = "autopilot", "+20 %", "best rule in hindsight"
_SHOWN_STEPS = SHOWN_DAYS * 1440 // STEP_MINUTES


@dataclass(frozen=True, slots=True)
class Contestant:
    """One player over the days that are shown: the servers that were ready at each step, and what it came to.

    `rule`: which one it is, where the name does not say it.
    """

    name: str
    ready: Doubles
    score: Score
    rule: str = ""

    @property
    def bill(self) -> Bill:
        """The money."""
        return bill(self.score, PRICE)


def sides(times: Sequence[datetime], demands: Sequence[int], sizes: Doubles) -> list[Contestant]:
    """The autopilot, which set `sizes`, beside +20 % and the best rule in hindsight, in the same fleet."""
    reported = np.array(demands, np.float64)
    own = _side(AUTOPILOT, sizes)
    buffered = _side(PLUS_20, np.ceil(1.2 * reported - 1e-9))
    best = min(_rules(times, reported), key=lambda side: side.score.cost)
    return [own, buffered, best]


def played(sizes: Doubles) -> Course:
    """The course of the fleet that is set to `sizes` at each step of the sample days."""
    return play(sizes, draw_leads(DEFAULT_LEAD, STEP_MINUTES, len(sizes), seed=0))


def _rules(times: Sequence[datetime], reported: Doubles) -> Iterator[Contestant]:
    grid = regular(np.array([at.timestamp() for at in times]), reported)
    for minutes in (DEFAULT_LEAD.shortest, DEFAULT_LEAD.longest):
        for name, decided in reference_rules(grid, minutes):
            one = _side(BEST_RULE, np.ceil(np.maximum(decided, reported)))
            yield replace(one, rule=f"{name}, {minutes:g} min ahead")


def _side(name: str, sizes: Doubles) -> Contestant:
    course = played(sizes)
    counted = np.arange(len(sizes)) >= len(sizes) - _SHOWN_STEPS
    figures = score(np.array(needed(), np.float64), [course], counted, STEP_MINUTES)
    return Contestant(name, course.ready[counted], figures)
