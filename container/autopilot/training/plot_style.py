"""How the plots of training look: like those of a backtest, with the grid behind what is drawn."""

from typing import Any

from autopilot.backtest import plots

STYLE: dict[Any, Any] = plots.STYLE | {"axes.axisbelow": True}
