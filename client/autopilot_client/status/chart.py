"""The chart of the status page: the last six hours as paths and labels of an SVG. Geometry alone, for the template.

It is read without colour: demand is a solid line, the decided size a dashed one, the size in the cluster an area.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autopilot_client.status.trail import SLOT_SECONDS, SLOTS, Point

WIDTH, HEIGHT, LEFT, BOTTOM = 480, 210, 40, 24
LINES: tuple[tuple[str, str, Callable[[Point], float]], ...] = (
    ("size", "size in the cluster", lambda p: p.replicas),
    ("line decided", "decided size", lambda p: p.allocation),
    ("line", "demand", lambda p: p.demand),
)
"""Class, meaning, value: an area first, the lines over it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws.

    paths   (class, meaning, path) of each line
    marks   (y, servers) of the grid
    hours   (x, time of day) below it
    """

    paths: tuple[tuple[str, str, str], ...]
    marks: tuple[tuple[float, str], ...]
    hours: tuple[tuple[float, str], ...]


def draw(points: Sequence[Point], now: float) -> Chart | None:
    """The last six hours: three lines over one scale of servers; None where there is too little to draw."""
    known = [v for point in points for _, _, of in LINES if not math.isnan(v := of(point))]
    if len(points) < 2 or not known:
        return None
    top = max(1.0, *known) * 1.08
    first = (int(now // SLOT_SECONDS) - SLOTS + 1) * SLOT_SECONDS
    paths = tuple((kind, meaning, _path(points, of, (first, top), kind == "size")) for kind, meaning, of in LINES)
    step = _round_step(top / 4)
    marks = tuple((_y(i * step, top), f"{i * step:g}") for i in range(5) if i * step <= top)
    hours = range(-(-first // 3600) * 3600, first + SLOTS * SLOT_SECONDS, 3600)
    shown = tuple((x, clock(at)) for at in hours if LEFT + 12 < (x := _x(at, first)) < WIDTH - 20)
    return Chart(paths, marks, shown)


def clock(at: float) -> str:
    """The time of day, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def _path(points: Sequence[Point], of: Callable[[Point], float], scale: tuple[int, float], closed: bool) -> str:
    """An SVG path over (first second, top): a line, or the area under it; a gap where nothing is known."""
    first, top = scale
    return "".join(_stretch([(_x(p.at, first), _y(of(p), top)) for p in run], closed) for run in _known(points, of))


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


def _stretch(places: Sequence[tuple[float, float]], closed: bool) -> str:
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if closed:
        return f"{line}V{_y(0, 1):.1f}H{places[0][0]:.1f}Z"
    return line if len(places) > 1 else f"{line}h2"


def _x(at: int, first: int) -> float:
    return LEFT + (at - first) / (SLOT_SECONDS * (SLOTS - 1)) * (WIDTH - LEFT - 6)


def _y(value: float, top: float) -> float:
    return (HEIGHT - BOTTOM) * (1 - value / top) + 4


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10, ... that is at least a step."""
    power = 10.0 ** math.floor(math.log10(max(step, 0.25)))
    return max(1.0, next(m * power for m in (1, 2, 5, 10) if m * power >= step))
