"""One fleet's history, decided again by the autopilot and by every rule, and played in the same simulated fleet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from autopilot.backtest.benchmark_rules import HPA, product_rules, reference_rules
from autopilot.backtest.excerpts import Excerpt, Excerpts
from autopilot.backtest.replay import REASONS, ReplayConfig, Replayed
from autopilot.backtest.scenario import Scenario, on_grid, set_by_client
from autopilot.core.cost import Doubles, Interval, Score, ratio_interval
from autopilot.core.fleet import Lead, Reason

AUTOPILOT = "autopilot"
CALIBRATED = "calibrated rule"
REACTIVE_20 = "reactive +20%"
_BUFFERS = range(101)  # per cent


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result for one fleet.

    notes        what people should know about the data
    period       seconds since the epoch of the first and the last scored step
    scores       name → score: the autopilot, the calibrated rule, and every rule
    references   names among them from which `best_rule` was chosen, besides the buffers
    buffer       the best fixed buffer in hindsight, in per cent, and its score
    best         the cheapest of the rules and buffers on this very history, and its score: nobody could have known
    intervals    the autopilot's cost relative to the others', by the names of `ratios`
    reasons      share of decisions that each reason decided, most frequent first
    typical      the week (or all) with the median cost
    worst        the day with the most missing server-minutes; None where none was missing
    outage       the longest outage hold and some hours around it; None where nothing was held
    daily        missing server-hours of each day: (start of the day, autopilot, best fixed buffer)
    """

    fleet: str
    notes: tuple[str, ...]
    step_minutes: int
    lead: Lead
    period: tuple[float, float]
    scored_steps: int
    scores: Mapping[str, Score]
    references: frozenset[str]
    buffer: tuple[int, Score]
    best: tuple[str, Score]
    reasons: Mapping[Reason, float]
    typical: Excerpt
    worst: Excerpt | None
    outage: Excerpt | None
    daily: tuple[Doubles, Doubles, Doubles]
    intervals: Mapping[str, Interval | None]

    @property
    def hours(self) -> float:
        """Scored hours."""
        return self.scored_steps * self.step_minutes / 60

    @property
    def autopilot(self) -> Score:
        """The autopilot's own score."""
        return self.scores[AUTOPILOT]

    def ratio(self, to: Score) -> float | None:
        """The autopilot's cost relative to another; None where the other's is zero."""
        return self.autopilot.cost / to.cost if to.cost > 0 else None

    @property
    def ratios(self) -> dict[str, float | None]:
        """The autopilot's cost relative to what it has to beat."""
        return {
            "best_rule": self.ratio(self.best[1]),
            "best_fixed_buffer": self.ratio(self.buffer[1]),
            "calibrated_rule": self.ratio(self.scores[CALIBRATED]),
            "reactive_20": self.ratio(self.scores[REACTIVE_20]),
        }


def compare(scenario: Scenario, replayed: Replayed, config: ReplayConfig) -> Comparison:
    """Play the autopilot's sizes beside every rule's."""
    grid = scenario.grid
    own, calibrated = set_by_client(scenario, replayed, config), on_grid(grid, replayed.calibrated)
    rivals = play_rivals(scenario)
    percent, best = rivals.buffer[0], rivals.best[0]
    others = {
        "best_rule": rule_sizes(scenario, best), "best_fixed_buffer": buffered(scenario, percent),
        "calibrated_rule": calibrated, "reactive_20": buffered(scenario, 20),
    }  # fmt: skip
    held = np.zeros(len(grid), np.bool_)
    held[grid.known] = replayed.reason == REASONS.index(Reason.OUTAGE_HOLD)
    excerpts = Excerpts(scenario, own, others["best_fixed_buffer"], held)
    times = grid.times[scenario.scored]
    return Comparison(
        fleet=scenario.fleet,
        notes=(*scenario.series.notes, *_notes(scenario)),
        step_minutes=grid.step_minutes,
        lead=scenario.lead,
        period=(float(times[0]), float(times[-1])),
        scored_steps=len(times),
        scores=rivals.scores | {AUTOPILOT: scenario.score(own), CALIBRATED: scenario.score(calibrated)},
        references=rivals.references,
        buffer=rivals.buffer,
        best=rivals.best,
        reasons=_shares(replayed.reason[scenario.scored[grid.known]]),
        typical=excerpts.typical(),
        worst=excerpts.worst(),
        outage=excerpts.outage(),
        daily=excerpts.daily(),
        intervals=intervals(scenario, own, others),
    )


@dataclass(frozen=True, slots=True)
class Rivals:
    """What rules and buffers cost: see Comparison."""

    scores: dict[str, Score]
    references: frozenset[str]
    buffer: tuple[int, Score]
    best: tuple[str, Score]


def play_rivals(scenario: Scenario) -> Rivals:
    """Play every rule and every buffer on the history of a fleet. Raises ValueError where nothing was demanded."""
    scores = {name: scenario.score(decided) for name, decided in _players(scenario)}
    products = {name: scenario.score(decided) for name, decided in product_rules(scenario.grid, scenario.lead.longest)}
    references = frozenset(scores) | {HPA}
    scores |= products
    buffer = best_buffer(scenario)
    rule = min(sorted(references), key=lambda name: scores[name].cost)
    best = (rule, scores[rule])
    if buffer[1].cost < best[1].cost:
        best = (f"buffer {buffer[0]}%", buffer[1])
    scores[REACTIVE_20] = scenario.score(buffered(scenario, 20))
    return Rivals(scores, references, buffer, best)


def best_buffer(scenario: Scenario) -> tuple[int, Score]:
    """The fixed buffer that was cheapest, in per cent, and its score: nobody could have known."""
    scores = {percent: scenario.score(buffered(scenario, percent)) for percent in _BUFFERS}
    percent = min(_BUFFERS, key=lambda one: scores[one].cost)
    return percent, scores[percent]


def intervals(scenario: Scenario, own: Doubles, others: Mapping[str, Doubles]) -> dict[str, Interval | None]:
    """Where the cost of one player relative to each of the others lies, by bootstrap over days."""
    _, cost = scenario.daily(own)
    return {name: ratio_interval(cost, scenario.daily(decided)[1]) for name, decided in others.items()}


def buffered(scenario: Scenario, percent: int) -> Doubles:
    """Demand of each step and a share of it, [T] servers."""
    return scenario.grid.demand * (1 + percent / 100)


def _players(scenario: Scenario) -> Iterator[tuple[str, Doubles]]:
    """Every rule, looking ahead the shortest or the longest lead, as its latest answer or the highest of one lead."""
    grid, lead = scenario.grid, scenario.lead
    near, far = grid.ahead(lead.shortest), grid.ahead(lead.longest)
    for ahead in sorted({near, far}):
        minutes = ahead * grid.step_minutes
        for name, decided in reference_rules(grid, minutes):
            label = name if near == far else f"{name}, {minutes} min"
            yield label, decided
            window = np.concatenate([np.full(far, decided[0]), decided])
            yield f"{label}, highest of a lead", np.lib.stride_tricks.sliding_window_view(window, far + 1).max(axis=1)


def rule_sizes(scenario: Scenario, wanted: str) -> Doubles:
    """What one rule or buffer decided, [T], found again by its name: all of them at once would fill the memory."""
    buffers = ((f"buffer {percent}%", buffered(scenario, percent)) for percent in _BUFFERS)
    products = product_rules(scenario.grid, scenario.lead.longest)
    return next(decided for name, decided in chain(_players(scenario), products, buffers) if name == wanted)


def _notes(scenario: Scenario) -> Iterator[str]:
    grid = scenario.grid
    unknown = len(grid) - int(grid.known.sum())
    if unknown:
        yield f"{unknown} of {len(grid)} steps have no observation: nothing is decided or scored there"
    if grid.step_minutes > scenario.lead.longest:
        yield (
            f"the lead is {grid.step_minutes} minutes here, because demand was observed every {grid.step_minutes} "
            "minutes"
        )


def _shares(codes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> dict[Reason, float]:
    counts = np.bincount(codes, minlength=len(REASONS))
    order = np.argsort(-counts, kind="stable")
    return {REASONS[code]: float(counts[code] / max(len(codes), 1)) for code in order if counts[code]}
