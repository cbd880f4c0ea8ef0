"""Recorded fleets: the user's own demand, split into what is learned from and what is kept for the verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autopilot.core import features
from autopilot.core.cost import MISSING_PRICE, RegularSeries, regular
from autopilot.core.history import SLOT_SECONDS
from autopilot.core.series import series_windows
from autopilot.demand.csv_file import read_fleets_csv
from autopilot.demand.series import LEAST_LEARNED_DAYS, DemandSeries
from autopilot.sim.traces import Traces, traces_from_observations
from autopilot.training.dataset import ROW, Rows, join, with_rules
from autopilot.training.job import JobError

MOST_DECISIONS = 20_000
"""Of one fleet: a year of five-minute slots is thinned to this."""
_VALIDATED = 0.2
_ENDINGS = (".csv", ".csv.gz")


@dataclass(frozen=True, slots=True)
class RecordedFleet:
    """A fleet's demand, and the time (seconds since the epoch) at which the part kept for the verdict begins."""

    name: str
    series: DemandSeries
    verdict_from: float

    @property
    def learned(self) -> DemandSeries:
        """What may be learned from."""
        return _before(self.series, self.verdict_from)


def read_channel(
    directory: Path, verdict_share: float, check: Callable[[], None] = lambda: None
) -> list[RecordedFleet]:
    """The fleets of a channel of CSV files, plain or gzip, one or several a file. Raises JobError or DemandCsvError.

    `check` is called before each file, and may raise to end it.
    """
    files = demand_files(directory)
    if not files:
        names = ", ".join(sorted(path.name for path in directory.iterdir())[:5]) or "nothing"
        raise JobError(f"the training channel holds no .csv file (found {names}): put one file a fleet there")
    fleets: dict[str, RecordedFleet] = {}
    for path in files:
        check()
        for name, series in read_fleets_csv(path).items():
            if name in fleets:
                raise JobError(f"two files of the training channel hold a fleet called {name!r}: rename or remove one")
            fleets[name] = split(name, series, verdict_share)
    return list(fleets.values())


def demand_files(directory: Path) -> list[Path]:
    """The CSV files of a channel, plain or gzip, by name."""
    return [path for path in sorted(directory.iterdir()) if _is_demand(path)]


def left_out(directory: Path) -> list[str]:
    """What of a channel is not read, by name: folders, files of other kinds; hidden files (`._eu.csv`) are not worth a
    word.
    """  # fmt: skip
    visible = [path for path in sorted(directory.iterdir()) if not path.name.startswith(".")]
    return [f"{path.name}/" if path.is_dir() else path.name for path in visible if not _is_demand(path)]


def _is_demand(path: Path) -> bool:
    return path.name.lower().endswith(_ENDINGS) and not path.name.startswith(".") and path.is_file()


def split(name: str, series: DemandSeries, verdict_share: float) -> RecordedFleet:
    """Keep the last part of a fleet's record for the verdict. Raises JobError if the record is too short."""
    span = float(series.times[-1] - series.times[0])
    if span < LEAST_LEARNED_DAYS * 86400:
        raise JobError(
            f"{name} spans {span / 86400:.2g} days of demand: at least {LEAST_LEARNED_DAYS:g} are needed to train on it"
        )
    return RecordedFleet(name, series, float(series.times[0]) + span * (1.0 - verdict_share))


def recorded_traces(fleets: Sequence[RecordedFleet]) -> tuple[Traces, Traces]:
    """Traces to train on, and to validate on, out of what may be learned from.

    The latter are the whole of it, but what was needed is known in their last part alone, which the former lack: what
    came before is seen, and costs nothing.
    """
    learned = [one.learned for one in fleets]
    borders = [_border(one) for one in learned]
    training = [_before(one, border) for one, border in zip(learned, borders, strict=True)]
    for fleet, part in zip(fleets, training, strict=True):
        if not len(part):
            raise JobError(
                f"{fleet.name} has next to no observations before the part that is kept for the verdict: bring a "
                "longer record with fewer gaps, or give a smaller verdict_share"
            )
    whole = _traces(learned)
    slots = whole.slot[:, None] + np.arange(whole.slots)
    late = slots * SLOT_SECONDS >= np.array(borders)[:, None]
    return _traces(training), Traces(np.where(late, whole.demand, np.float32(np.nan)), whole.seen, whole.slot)


def _traces(parts: Sequence[DemandSeries]) -> Traces:
    return traces_from_observations([(one.times, one.demand) for one in parts])


def _border(learned: DemandSeries) -> float:
    """The time at which the part begins that is validated on."""
    return float(learned.times[0]) + (1.0 - _VALIDATED) * float(learned.times[-1] - learned.times[0])


def recorded_rows(fleets: Sequence[RecordedFleet], lead: tuple[float, float], seed: int) -> tuple[Rows, Rows]:
    """Rows of decisions to train on, and later ones to validate on, out of what may be learned from.

    They look as far ahead as a lead of `lead` minutes asks for. Raises JobError where all fleets together have none.
    """
    training, validation = [], []
    for number, one in enumerate(fleets):
        series = one.learned
        border = _border(series)
        rng = np.random.default_rng((seed, number, 5))
        training.append(_rows(_before(series, border), lead, (-np.inf, border), rng))
        validation.append(_rows(series, lead, (border, np.inf), rng))
    return _all_of(training, "train"), _all_of(validation, "validate")


def later_rows(fleets: Sequence[RecordedFleet], lead: tuple[float, float], seed: int) -> Rows:
    """Rows of decisions in the part of what may be learned from that is not trained on. Raises JobError for none."""
    parts = []
    for number, one in enumerate(fleets):
        series = one.learned
        parts.append(_rows(series, lead, (_border(series), np.inf), np.random.default_rng((seed, number, 7))))
    return _all_of(parts, "validate")


def _all_of(parts: Sequence[Rows | None], what: str) -> Rows:
    filled = [one for one in parts if one is not None]
    if not filled:
        raise JobError(
            f"the recorded fleets have no {ROW} observations in a row, and a lead after them, to {what} on before the "
            "part that is kept for the verdict: bring longer records with fewer gaps, or give a smaller verdict_share"
        )
    return join(filled)


def weigh(recorded: Rows, others: Rows, share: float) -> Rows:
    """The recorded rows with weights that give them this share of the loss beside the others."""
    if share >= 1.0:
        return recorded
    factor = share / (1.0 - share) * float(others.weight.sum()) / float(recorded.weight.sum())
    return replace(recorded, weight=recorded.weight * np.float32(factor))


def _before(series: DemandSeries, time: float) -> DemandSeries:
    until = int(np.searchsorted(series.times, time))
    return DemandSeries(series.times[:until], series.demand[:until])


def _rows(
    series: DemandSeries, lead: tuple[float, float], between: tuple[float, float], rng: np.random.Generator
) -> Rows | None:
    """Rows at known steps of a series whose outcome is known too, at times in `between`; None where there are none."""
    if len(series) < 2:
        return None
    grid = regular(series.times, series.demand)
    far = features.far_minutes(lead[1])
    near_steps, far_steps = grid.ahead(features.NEAR_MINUTES), grid.ahead(far)
    starts = _starts(grid, ROW - 1 + far_steps, between)
    if not len(starts):
        return None
    if len(starts) > MOST_DECISIONS // ROW:
        starts = np.sort(rng.choice(starts, MOST_DECISIONS // ROW, replace=False))
    steps = starts[:, None] + np.arange(ROW)
    demand = grid.demand.astype(np.float32)
    needed = np.stack([demand[steps + near_steps], demand[steps + far_steps]], axis=2)
    seen = [
        features.observe(windows, (features.NEAR_MINUTES, far), MISSING_PRICE)
        for windows in series_windows(series.times, series.demand, grid.observed[steps.ravel()])
    ]
    observations = np.concatenate(seen).reshape(*steps.shape, -1)
    return with_rules(observations, demand[steps], needed, grid.step_minutes, np.ones(len(starts), np.float32))


def _starts(grid: RegularSeries, span: int, between: tuple[float, float]) -> npt.NDArray[np.int64]:
    """Steps from which on `span` more are known, at times in `between`."""
    known = grid.known & (grid.times >= between[0]) & (grid.times < between[1])
    if len(known) <= span:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.lib.stride_tricks.sliding_window_view(known, span + 1).all(axis=1))
