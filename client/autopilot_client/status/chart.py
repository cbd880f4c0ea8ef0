"""The chart of the status page: the last six hours as paths and labels of an SVG. Geometry alone, for the template.

It is read without colour: demand is a solid line, the forecast a dashed one, the decided size a dotted one, and the
size in the cluster an area.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autopilot_client.status.clock import clock
from autopilot_client.status.trail import SLOT_SECONDS, SLOTS, Point

WIDTH, HEIGHT, TOP, BOTTOM = 480, 224, 14, 24
_DIGIT = 8.5
"""Width of a digit of a label."""
LINES: tuple[tuple[str, str, Callable[[Point], float]], ...] = (
    ("size", "size in the cluster", lambda p: p.replicas),
    ("line decided", "decided size", lambda p: p.allocation),
    ("line forecast", "forecast", lambda p: p.forecast),
    ("line", "demand", lambda p: p.demand),
)
"""Class, meaning, value: an area first, the lines over it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws.

    left    where the scale begins: as far right as its longest label needs
    paths   (class, meaning, path) of each line
    marks   (y, servers) of the grid
    hours   (x, time of day) below it
    """

    left: float
    paths: tuple[tuple[str, str, str], ...]
    marks: tuple[tuple[float, str], ...]
    hours: tuple[tuple[float, str], ...]


def draw(points: Sequence[Point], now: float) -> Chart | None:
    """The last six hours: three lines over one scale of servers; None where there is too little to draw."""
    known = [v for point in points for _, _, of in LINES if not math.isnan(v := of(point))]
    if len(points) < 2 or not known:
        return None
    top = max(1.0, *known) * 1.08
    step = _round_step(top / 4)
    labels = [(i * step, f"{i * step:,.10g}") for i in range(5) if i * step <= top]
    left = 12 + _DIGIT * max(len(label) for _, label in labels)
    scale = _Scale((int(now // SLOT_SECONDS) - SLOTS + 1) * SLOT_SECONDS, top, left)
    paths = tuple((kind, meaning, _path(points, of, scale, kind == "size")) for kind, meaning, of in LINES)
    hours = range(-(-scale.first // 3600) * 3600, scale.first + SLOTS * SLOT_SECONDS, 3600)
    shown = tuple((x, clock(at)) for at in hours if left + 14 < (x := scale.x(at)) < WIDTH - 22)
    return Chart(left, paths, tuple((scale.y(value), label) for value, label in labels), shown)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a time and a number of servers lie."""

    first: int
    top: float
    left: float

    def x(self, at: float) -> float:
        return self.left + (at - self.first) / (SLOT_SECONDS * (SLOTS - 1)) * (WIDTH - self.left - 6)

    def y(self, value: float) -> float:
        return TOP + (HEIGHT - BOTTOM - TOP) * (1 - value / self.top)


def _path(points: Sequence[Point], of: Callable[[Point], float], scale: _Scale, closed: bool) -> str:
    """An SVG path: a line, or the area under it; a gap where nothing is known."""
    runs = ([(scale.x(p.at), scale.y(of(p))) for p in run] for run in _known(points, of))
    return "".join(_stretch(places, closed, scale.y(0)) for places in runs)


def _known(points: Sequence[Point], of: Callable[[Point], float]) -> list[list[Point]]:
    """The stretches without a gap."""
    runs: list[list[Point]] = []
    for point in points:
        if math.isnan(of(point)):
            continue
        if runs and point.at - runs[-1][-1].at == SLOT_SECONDS:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _stretch(places: Sequence[tuple[float, float]], closed: bool, floor: float) -> str:
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if closed:
        return f"{line}V{floor:.1f}H{places[0][0]:.1f}Z"
    return line if len(places) > 1 else f"{line}h2"


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10, ... that is at least a step."""
    power = 10.0 ** math.floor(math.log10(max(step, 0.25)))
    return max(1.0, next(m * power for m in (1, 2, 5, 10) if m * power >= step))
