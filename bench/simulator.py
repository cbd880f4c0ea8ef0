"""How much the simulated fleets look like real traces: growth, repetition, jumps. Prints, draws, and judges nothing.

PYTHONPATH=container python bench/simulator.py --traces ../shared/traces --scorer ../shared/bench/fleet_score.py

Everything is put on a grid of ten minutes, in whole servers, scaled to a mean of --mean (simulated fleets below it are
left out). Traces stand one in a row; of the simulated fleets, the 10, 50 and 90 % quantiles. `--plot` writes a picture.

  growth    standard deviation of the growth over ten minutes, % of the mean
  keeps     correlation of one growth with the next: 1 smooth, 0 a random walk, below 0 noise
  repeats   correlation of the growth with that of the day before
  error     what a line through the last four points misses the next by (robust standard deviation, % of the mean)
  kurtosis  of those errors: 3 for normal noise, large where rare jumps are all there is
  jumps     errors of more than six robust standard deviations, % of the steps
  worst     the largest error, % of the mean
  swing     the highest demand relative to the lowest
"""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from autopilot.sim.demand import DAY, generate
from autopilot.sim.games import generate_games
from autopilot.sim.services import generate_services

Doubles = npt.NDArray[np.float64]
Generator = Callable[[np.random.Generator, int, int], npt.NDArray[np.float32]]

SHARED = Path(__file__).resolve().parents[2] / "shared"
GENERATORS: dict[str, Generator] = {
    "sim/demand.py": generate,
    "sim/games.py": generate_games,
    "sim/services.py": generate_services,
}
MEASURES = ("growth", "keeps", "repeats", "error", "kurtosis", "jumps", "worst", "swing")
QUANTILES = (0.1, 0.5, 0.9)
STEP = 10
_DAY = DAY // STEP


def measures(demand: Doubles) -> dict[str, float]:
    """The numbers above for a series [T] on the ten-minute grid."""
    growth, mean = np.diff(demand), float(demand.mean())
    error = line_errors(demand)
    spread = max(1.4826 * float(np.median(np.abs(error))), 0.004 * mean)
    centred = error - error.mean()
    return {
        "growth": 100 * float(growth.std()) / mean,
        "keeps": correlation(growth[1:], growth[:-1]),
        "repeats": correlation(growth[_DAY:], growth[:-_DAY]),
        "error": 100 * 1.4826 * float(np.median(np.abs(error))) / mean,
        "kurtosis": float(np.mean(centred**4) / max(np.mean(centred**2) ** 2, 1e-12)),
        "jumps": 100 * float(np.mean(np.abs(error) > 6 * spread)),
        "worst": 100 * float(np.abs(error).max()) / mean,
        "swing": float(demand.max() / max(demand.min(), 1)),
    }


def line_errors(demand: Doubles) -> Doubles:
    """What a line through four points misses the next by, [T - 4]."""
    windows = np.lib.stride_tricks.sliding_window_view(demand, 5)
    past, following = windows[:, :4], windows[:, 4]
    at = np.arange(4) - 1.5
    slope = (past * at).sum(axis=1) / (at**2).sum()
    errors: Doubles = following - (past.mean(axis=1) + 2.5 * slope)
    return errors


def correlation(one: Doubles, other: Doubles) -> float:
    """Pearson's; NaN where one of them never changes."""
    spread = one.std() * other.std()
    return float(np.mean((one - one.mean()) * (other - other.mean())) / spread) if spread > 0 else float("nan")


def traces(directory: Path, scorer: ModuleType, mean: float) -> dict[str, dict[str, float]]:
    """The measures of every trace, on the part of it that is scored."""
    found = {}
    for path in sorted(directory.glob("*.csv.gz")):
        frame, step = scorer.load(path, mean)
        scored = np.flatnonzero(frame["scored"].to_numpy())
        demand = frame["demand"].to_numpy()[scored[0] : scored[-1] + 1][STEP // step - 1 :: STEP // step]
        found[path.name.split(".")[0]] = measures(demand)
    return found


def simulated(generator: Generator, fleets: int, mean: float) -> list[dict[str, float]]:
    """The measures of simulated fleets of at least that mean."""
    minutes = generator(np.random.default_rng(5), fleets, 5 * DAY)
    return [measures(one[STEP - 1 :: STEP].astype(np.float64)) for one in minutes if one.mean() >= mean]


def quantiles(fleets: Sequence[dict[str, float]], name: str) -> Doubles:
    """Quantiles of one measure over the fleets."""
    return np.nanquantile([fleet[name] for fleet in fleets], QUANTILES)


def table(real: dict[str, dict[str, float]], made: dict[str, list[dict[str, float]]]) -> str:
    """One line a trace, three a generator."""
    lines = [f"{'':32s}" + "".join(f"{name:>10s}" for name in MEASURES)]
    lines += [f"{name:32s}" + "".join(f"{found[one]:10.2f}" for one in MEASURES) for name, found in real.items()]
    for name, fleets in made.items():
        rows = np.array([quantiles(fleets, one) for one in MEASURES]).T
        for level, row in zip(QUANTILES, rows, strict=True):
            lines.append(f"{f'{name}, {level:.0%} of {len(fleets)}':32s}" + "".join(f"{value:10.2f}" for value in row))
    return "\n".join(lines)


def draw(path: Path, real: dict[str, dict[str, float]], made: dict[str, list[dict[str, float]]]) -> None:
    """A panel a measure: a point a trace, and a bar from the 10 to the 90 % quantile a generator."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, len(MEASURES) // 2, figsize=(14, 6), layout="constrained")
    for panel, name in zip(panels.ravel(), MEASURES, strict=True):
        for at, fleets in enumerate(made.values()):
            low, middle, high = quantiles(fleets, name)
            panel.plot([at, at], [low, high], color="#1f6feb", linewidth=10, alpha=0.3, solid_capstyle="butt")
            panel.plot(at, middle, "_", color="#1f6feb", markersize=14)
        games = [key.startswith(("osrs", "dota2", "steam")) for key in real]
        for at, kind in ((len(made), True), (len(made) + 1, False)):
            values = [found[name] for found, game in zip(real.values(), games, strict=True) if game is kind]
            panel.plot(np.full(len(values), at), values, "o", color="#222", alpha=0.6)
        if name not in ("keeps", "repeats"):
            panel.set_yscale("symlog", linthresh=0.1)
        panel.set_xticks(range(len(made) + 2), [*made, "games", "services"], rotation=25, ha="right", fontsize=8)
        panel.set_title(name)
    figure.savefig(path, dpi=110)


def load_scorer(path: Path) -> ModuleType:
    """The scorer as a module."""
    spec = importlib.util.spec_from_file_location("fleet_score", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Print the table, and draw it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=SHARED / "traces")
    parser.add_argument("--scorer", type=Path, default=SHARED / "bench" / "fleet_score.py")
    parser.add_argument("--mean", type=float, default=100.0)
    parser.add_argument("--fleets", type=int, default=300)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    real = traces(args.traces, load_scorer(args.scorer), args.mean)
    made = {name: simulated(generator, args.fleets, args.mean) for name, generator in GENERATORS.items()}
    print(table(real, made))
    if args.plot:
        draw(args.plot, real, made)


if __name__ == "__main__":
    main()
