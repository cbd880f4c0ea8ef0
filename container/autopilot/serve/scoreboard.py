"""GET /scoreboard, and its sums for /metrics: what the judge wrote down, read by whichever worker is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from autopilot.learning.board import Board, BoardError, PlayerSums
from autopilot.serve.wire.errors import RequestError

FORMAT = 1
"""Version of the JSON document."""
MOST_FLEETS = 1000
"""In one answer, some 3 KB each."""


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """The board beside what it is about: what serves, the candidate or why there is none, and the price."""

    board: Board
    policy: str
    candidate: str | None = None
    candidate_problem: str = ""
    server_hour: float | None = None

    def answer(self, fleets: Sequence[str]) -> bytes:
        """The figures of these fleets, or of all where none is named, as JSON. Raises RequestError."""
        if len(fleets) > MOST_FLEETS:
            raise RequestError(400, "too_many", f"at most {MOST_FLEETS} fleets at a time", "fleet")
        try:
            shown, known = self.board.entries(fleets, MOST_FLEETS), self.board.counts().judged
            totals = self.board.totals()
        except BoardError as error:
            raise RequestError(503, "scoreboard_unavailable", str(error)) from error
        return msgspec.json.encode({
            "format": FORMAT, "policy": self.policy, "candidate": self.candidate,
            "candidate_problem": self.candidate_problem, "server_hour": self.server_hour,
            "fleets": [msgspec.Raw(one) for one in shown], "left_out": 0 if fleets else known - len(shown),
            "totals": self._totals(totals),
        })  # fmt: skip

    def _totals(self, sums: Sequence[PlayerSums]) -> list[dict[str, object]]:
        scores = {days: {one.player: self.figures(one) for one in sums if one.days == days}
                  for days in dict.fromkeys(one.days for one in sums)}  # fmt: skip
        most = {days: max(one.fleets for one in sums if one.days == days) for days in scores}
        return [{"days": days, "fleets": most[days], "scores": figures} for days, figures in scores.items()]

    def figures(self, sums: PlayerSums) -> dict[str, float]:
        """What is shown of one player's sums; `money` only where a price is set."""
        figures = {"fleets": sums.fleets, "missing_server_hours": sums.missing, "idle_server_hours": sums.idle,
                   "paid_server_hours": sums.paid, "cost_server_hours": sums.cost}  # fmt: skip
        return figures if self.server_hour is None else figures | {"money": self.server_hour * sums.paid}


_LABELS = ("days", "player")
_FIGURES = {
    "missing_server_hours": "Server-hours that players missed in the last days, over all fleets",
    "idle_server_hours": "Server-hours that ran and that nobody needed in the last days, over all fleets",
    "paid_server_hours": "Server-hours that ran or booted in the last days, over all fleets",
    "cost_server_hours": "Missing server-hours at their price and idle ones, in idle ones, over all fleets",
    "money": "What was paid in the last days, at AUTOPILOT_SERVER_HOUR, over all fleets",
    "fleets": "Fleets of which a player's figures of the last days are known",
}


_COUNTS = {
    "judged": "Fleets that were judged today or yesterday",
    "served_by_rule": "Of them, those that the rule serves",
    "drifting": "Of them, those whose forecasts have drifted",
    "beyond_training": "Of them, those whose forecasts or lead are beyond what the policy saw when it learned",
}


class ScoreboardCollector(Collector):
    """The sums over all fleets as gauges: six players, three periods and six figures, however many fleets there are."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard

    def describe(self) -> list[Metric]:
        """Nothing is read before somebody asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What the board has now; nothing where it cannot be read."""
        try:
            counts, sums = self._scoreboard.board.counts(), self._scoreboard.board.totals()
        except BoardError:
            return
        for name, meaning, fleets in zip(_COUNTS, _COUNTS.values(), counts, strict=True):
            yield GaugeMetricFamily(f"autopilot_fleets_{name}", meaning, fleets)
        for figure, meaning in _FIGURES.items():
            family = GaugeMetricFamily(f"autopilot_scoreboard_{figure}", meaning, labels=_LABELS)
            for one in sums:
                if (value := self._scoreboard.figures(one).get(figure)) is not None:
                    family.add_metric((f"{one.days:g}", one.player), value)
            yield family
