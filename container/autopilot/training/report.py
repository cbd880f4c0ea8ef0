"""The report of a fleet policy's training: what serves and why, what was learned, and what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autopilot.core.cost import Score
from autopilot.policy.metadata import Metadata
from autopilot.training.job import write_atomically
from autopilot.training.leaderboard import Leaderboard
from autopilot.training.report_fleets import ShownFleet
from autopilot.training.report_page import (
    CommandLine,
    Details,
    Heading,
    PageTable,
    Paragraph,
    Part,
    Picture,
    png_of,
    write_page,
)
from autopilot.training.report_plots import DayCurves, course_plot, curve_plot, day_plot
from autopilot.training.verdict import CALIBRATED, DEFAULT, TRAINED, Verdict
from autopilot.training.watched import CourseRow, as_csv

History = Sequence[Mapping[str, float]]
REPORT = "report.html"
COURSE, DAY, ACTING = "training", "day", "acting"
"""Names of the pictures, each beside its table: training.png, training.csv."""
_EXPECTED = {
    "forecast_loss": "Loss of the forecast: falls, then flattens. Rising: lower the learning rate.",
    "closed_loop_loss": "Cost of rows of decisions in the closed loop, likewise; it begins anew, and is noisier.",
    "distillation_loss": "Distance from the mean of the ensemble: falls most towards the end.",
    "score": "Cost of validation fleets in the closed loop relative to the best simple rule in hindsight: falls in "
    "both stages. Below 1 is better than it.",
    "reward": "Mean reward of a step while exploring: rises, then levels off.",
    "policy_loss": "Loss of the policy: noise about a little below zero.",
    "value_loss": "Error of the value function, in spreads of the returns: falls, then flattens.",
    "entropy": "Entropy of the action's distribution: falls with the exploration.",
    "approx_kl": "KL divergence, how far an update moved the policy: 0.001 to 0.03 is healthy.",
    "clip_fraction": "Share of samples at the clip: 0.05 to 0.3.",
    "explained_variance": "Of the returns by the value function: rises towards 1.",
    "std": "Exploration: falls slowly.",
    "validation_profit": "Expected profit of an episode in dollars, of the deterministic policy: rises.",
    "validation_gain": "The same, less that of the 30-minute peak rule on the same episodes: above 0 beats it.",
    "validation_cost": "Cost relative to the calibrated rule on the same episodes: below 1 is better than it.",
}
_CANDIDATES = {
    CALIBRATED: "the calibrated rule",
    DEFAULT: "the model that was started from",
    TRAINED: "what this run learned",
}


@dataclass(frozen=True)
class TrainingStory:
    """What a run has to show besides its verdict; what is empty is left out.

    history  metrics of each iteration
    course   one day, as the network of each iteration played it
    day      the same day before and after
    fleets   some of the fleets that were judged
    acted    what the live phase decided, and its reward
    board    the trials that this one was chosen of
    """

    history: History = ()
    course: Sequence[CourseRow] = ()
    day: DayCurves | None = None
    fleets: Sequence[ShownFleet] = ()
    acted: DayCurves | None = None
    next_steps: Sequence[tuple[str, str]] = field(default=())
    board: Leaderboard | None = None


def write_report(out: Path, metadata: Metadata, verdict: Verdict, story: TrainingStory) -> Path:
    """Write the report of a run of a fleet policy, and its graphs as pictures and tables beside it; where it is."""
    parts: list[Part] = [
        Paragraph(verdict_line(verdict), verdict=True),
        _verdict_table(verdict),
        *(part for step in story.next_steps for part in (Paragraph(step[0]), CommandLine(step[1], step[0]))),
        *(_trials(story.board) if story.board is not None else []),
        *_fleets(story.fleets),
        *_graphs(out, story),
        *([Heading("Learning curves"), *curves(story.history)] if story.history else []),
        *settings_of(metadata),
    ]
    write_page(out / REPORT, metadata.version, parts)
    return out / REPORT


def verdict_line(verdict: Verdict) -> str:
    """The verdict as a sentence."""
    others = ", ".join(f"{name} {ratio:.3f}" for name, ratio in sorted(verdict.ratios.items(), key=lambda one: one[1]))
    return (
        f"Served: {verdict.chosen}. Cost relative to the calibrated rule, geometric mean of {verdict.fleets} fleets "
        f"({verdict.judged_on}): {others}.{_differences(verdict)}"
    )


def _differences(verdict: Verdict) -> str:
    """What the intervals say, in words."""
    base = _base_of(verdict)
    parts = []
    for name, interval in verdict.intervals.items():
        if interval is None:
            parts.append(f"{name}: too little was judged")
        else:
            parts.append(
                f"{name} {interval.low:.3f} to {interval.high:.3f}{'' if interval.differs else ', no difference'}"
            )
    return f" Relative to {base}, 95 % interval: {'; '.join(parts)}." if parts else ""


def _base_of(verdict: Verdict) -> str:
    """The candidate that the intervals are relative to."""
    return next(name for name in verdict.ratios if name not in verdict.intervals)


def _verdict_table(verdict: Verdict) -> PageTable:
    ordered = sorted(verdict.ratios.items(), key=lambda one: one[1])
    rows = [
        (name, _CANDIDATES.get(name, ""), f"{ratio:.3f}", _interval(verdict, name),
         "yes" if name == verdict.chosen else "")
        for name, ratio in ordered
    ]  # fmt: skip
    head = ("candidate", "what it is", "cost to the calibrated rule's", f"to {_base_of(verdict)}'s, 95 %", "serves")
    served = [name for name, _ in ordered].index(verdict.chosen)
    return PageTable("The candidates and what they cost", head, rows, own=served)


def _interval(verdict: Verdict, name: str) -> str:
    interval = verdict.intervals.get(name)
    if interval is not None:
        return f"{interval.low:.3f} to {interval.high:.3f}"
    return "too little was judged" if name in verdict.intervals else ""


def _trials(board: Leaderboard) -> list[Part]:
    """The trials, the best first, and how to have the one that was chosen alone."""
    own = None if board.chosen is None else board.ranked.index(board.chosen)
    parts: list[Part] = [
        Heading("Trials"),
        Paragraph(board.sentence),
        PageTable("Trials and what they cost on validation fleets", board.head, board.rows(), own=own),
    ]
    if board.command:
        parts.append(CommandLine(board.command, "the chosen trial alone"))
    return parts


def _fleets(fleets: Sequence[ShownFleet]) -> list[Part]:
    """Some fleets: what everybody costs there, and their last days before and after."""
    parts: list[Part] = [Heading("Fleets before and after")] if fleets else []
    for fleet in fleets:
        parts.append(Heading(fleet.name, level=3))
        parts.append(
            Picture(
                png_of(day_plot(fleet.days)),
                f"{fleet.name}: demand, and servers ready before and after",
                "The last days that were judged: what was needed, and the servers that would have been ready, before "
                "(what was started from, or else the calibrated rule) and after.",
            )
        )
        parts.append(_costs_table(fleet))
    return parts


def _costs_table(fleet: ShownFleet) -> PageTable:
    least = min(fleet.costs.values(), key=lambda one: one.cost).cost
    rows = [(name, *_cells(score, least)) for name, score in fleet.costs.items()]
    head = ("who", "cost %", "to the cheapest", "missing %", "idle %")
    return PageTable(f"Costs of {fleet.name}", head, rows, own=list(fleet.costs).index(TRAINED))


def _cells(score: Score, least: float) -> tuple[str, ...]:
    to_least = f"{score.cost / least:.2f}" if least > 0 else ""
    return f"{score.cost:.2f}", to_least, f"{score.under:.2f}", f"{score.over:.2f}"


def _graphs(out: Path, story: TrainingStory) -> list[Part]:
    """Demand, allocation and reward: in the course of training, of one day, and as the live phase acted."""
    parts: list[Part] = []
    if story.course:
        picture = _kept(out, COURSE, png_of(course_plot(story.course)), as_csv(CourseRow._fields, story.course))
        caption = "One day again and again, as the network of each iteration plays it: the allocation finds the demand."
        parts += [Heading("In the course of training"), Picture(picture, "demand, allocation and reward", caption)]
    for name, heading, day in ((DAY, "The day, before and after", story.day), (ACTING, "As it acted", story.acted)):
        if day is not None:
            picture = _kept(out, name, png_of(day_plot(day)), day_csv(day))
            caption = "Demand, the allocation, and the reward of what was ready: minus five for each missing server, "
            caption += "minus one for each idle one, unless other weights were given."
            parts += [Heading(heading), Picture(picture, f"{heading}: demand, allocation, reward", caption)]
    return parts


def _kept(out: Path, name: str, png: bytes, table: str) -> bytes:
    write_atomically(out / f"{name}.png", png)
    write_atomically(out / f"{name}.csv", table.encode())
    return png


def day_csv(day: DayCurves) -> str:
    """A day as CSV, under the known example's names; `_before` where there is a before and an after."""
    columns = {"timestamp": day.times.astype(int).tolist(), "curr_demand": day.demand.tolist()}
    for name, lines in (("curr_alloc", day.lines), ("reward", day.rewards)):
        *before, after = lines
        columns |= {f"{name}_before": lines[one].tolist() for one in before} | {name: lines[after].tolist()}
    return as_csv(list(columns), list(zip(*columns.values(), strict=True)))


def curves(history: History) -> list[Part]:
    """The learning curves that the history tells of."""
    return [
        Picture(png_of(curve_plot(name, history)), f"{name} over the run", expected)
        for name, expected in _EXPECTED.items()
        if any(name in entry for entry in history)
    ]


def settings_of(metadata: Metadata) -> list[Part]:
    """What was set, and the versions of what trained."""
    hparams = [(name, str(value)) for name, value in metadata.hyperparameters.items()]
    libraries = list(metadata.libraries.items())
    return [
        Details(
            "Hyperparameters and versions",
            [
                PageTable("Hyperparameters", ("hyperparameter", "value"), hparams),
                PageTable("Versions", ("library", "version"), libraries),
            ],
        )
    ]
