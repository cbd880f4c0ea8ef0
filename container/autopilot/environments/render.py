"""What an environment shows of itself: its last step as text, its last steps as a picture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SHOWN_STEPS = 288


class Levels(NamedTuple):
    """After one step: its number and what was needed and there, in `unit`."""

    step: int
    needed: float
    there: float
    unit: str


def as_line(shown: Sequence[Levels]) -> str:
    """The last step as a line of text; empty before the first reset."""
    if not shown:
        return ""
    last = shown[-1]
    gap = last.there - last.needed
    state = f"{gap:.1f} idle" if gap >= 0 else f"{-gap:.1f} missing"
    return f"step {last.step}: needs {last.needed:.1f} {last.unit}, has {last.there:.1f}, {state}\n"


def as_picture(shown: Sequence[Levels]) -> npt.NDArray[np.uint8]:
    """The last steps, needed and there, as pixels [H, W, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  training needs no pictures
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    at = [one.step for one in shown]
    axes.plot(at, [one.there for one in shown], color="#0b62a8", drawstyle="steps-post", label="there")
    axes.plot(at, [one.needed for one in shown], color="#222222", ls="--", label="needed")
    axes.set(xlabel="step", ylabel=shown[-1].unit if shown else "", ylim=(0, None))
    axes.legend(loc="upper left")
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels: npt.NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return pixels
