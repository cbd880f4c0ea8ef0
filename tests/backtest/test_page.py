"""The report in a real browser, at a desk's width and a phone's."""

import pytest

from autopilot.backtest.comparison import compare
from autopilot.backtest.html import page
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import decide_again, scenario_for
from autopilot.policy.calibrated import CalibratedPolicy
from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations
from tests.explore.conftest import fleet_of

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


def test_everybody_can_read_the_report(tmp_path):
    config = ReplayConfig(CalibratedPolicy())
    scenarios = [scenario_for(name, fleet_of(days, outage=True).demand) for name, days in (("eu", 9), ("us", 7))]
    results = [compare(one, decide_again(one, config), config) for one in scenarios]
    (tmp_path / "report.html").write_text(page(results, "calibrated-rule", 0.1))
    with browser() as opened:
        for width in WIDTHS:
            errors = []
            shown = open_page(opened, (tmp_path / "report.html").as_uri(), width, errors)
            assert (errors, violations(shown), overflow(shown)) == ([], [], 0)
