"""One fleet of many to backtest: what it takes, as one value that can be sent away, and what comes back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autopilot.backtest.comparison import Comparison, compare
from autopilot.backtest.earning import earned
from autopilot.backtest.replay import Progress, ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, scenario_for, set_by_client
from autopilot.demand.csv_file import read_fleets_csv
from autopilot.demand.series import DemandCsvError, DemandSeries


@dataclass(frozen=True, slots=True)
class FleetToCompare:
    """A fleet of a file, and which of how many of both it is, counted from 1."""

    path: Path
    name: str
    series: DemandSeries
    file: int
    files: int
    fleet: int
    fleets: int

    @property
    def title(self) -> str:
        """Its name, and its place where there are several."""
        of_files = f"file {self.file} of {self.files}: " if self.files > 1 else ""
        of_fleets = f"fleet {self.fleet} of {self.fleets}: " if self.fleets > 1 else ""
        return f"{of_files}{of_fleets}{self.name}"


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison of a fleet, and what the client would have set, where that was asked for.

    sizes  times in seconds since the epoch, and servers
    """

    result: Comparison
    sizes: tuple[tuple[float, int], ...]


Watch = Callable[[str, Scenario], AbstractContextManager[Progress]]
"""What shows how far one fleet is."""


def unwatched(title: str, scenario: Scenario) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    del title, scenario
    return nullcontext(lambda _: None)


@dataclass(frozen=True, slots=True)
class CompareFleet:
    """The function of a fleet alone; it can be sent away unless it is watched."""

    config: ReplayConfig
    per_server: float = 1.0
    warm_up: float | None = None
    with_sizes: bool = False
    watch: Watch = unwatched

    def __call__(self, one: FleetToCompare) -> Compared:
        """Decide again, and compare. Raises DemandCsvError, which names the file, where that cannot be done."""
        try:
            return self._compared(one)
        except ValueError as error:
            text = f"{one.name}: {error}" if one.fleets > 1 else str(error)
            raise DemandCsvError(one.path, None, text) from error

    def _compared(self, one: FleetToCompare) -> Compared:
        config, servers = self.config, in_servers(one.series, self.per_server)
        scenario = scenario_for(one.name, servers, config.lead, config.missing_price, self.warm_up)
        scenario = replace(scenario, limits=config.limits)
        with self.watch(one.title, scenario) as progress:
            replayed = decide_again(scenario, earned(scenario, config), progress)
        result = compare(scenario, replayed, config)
        if not self.with_sizes:
            return Compared(result, ())
        known, sizes = scenario.grid.known, set_by_client(scenario, replayed, config)
        pairs = zip(scenario.grid.times[known].tolist(), sizes[known].tolist(), strict=True)
        return Compared(result, tuple((at, int(size)) for at, size in pairs))


def fleets_to_compare(files: Sequence[Path], refused: Callable[[DemandCsvError], None]) -> Iterator[FleetToCompare]:
    """The fleets of some files, one file at a time; a file that cannot be used is handed to `refused`."""
    for number, path in enumerate(files, 1):
        try:
            fleets = read_fleets_csv(path)
        except DemandCsvError as error:
            refused(error)
            continue
        for count, (name, series) in enumerate(fleets.items(), 1):
            yield FleetToCompare(path, name, series, number, len(files), count, len(fleets))


def in_servers(series: DemandSeries, per_server: float) -> DemandSeries:
    """A series of players as whole servers of `per_server` players each; as it is where that is 1."""
    if per_server == 1:
        return series
    return replace(series, demand=np.ceil(series.demand / per_server - 1e-9))
