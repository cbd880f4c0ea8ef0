"""The backtest's report of the stretch that is on the page."""

from autopilot.backtest.comparison import compare
from autopilot.backtest.html import page
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import decide_again
from autopilot.explore.play import Played


def report_of(played: Played, config: ReplayConfig, price: float) -> str:
    """The report as one HTML document: what `autopilot backtest` would say of the same stretch."""
    scenario = played.scenario
    return page([compare(scenario, decide_again(scenario, config), config)], config.policy.name, price)
