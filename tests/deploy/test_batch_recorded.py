"""Batch Transform on recorded data: a month of three fleets through the real stack, beside the backtest's decisions."""

import csv

import numpy as np
import pytest

from autopilot.backtest.replay import ReplayConfig, replay
from autopilot.demand.csv_file import read_fleets_csv
from autopilot.wiring import BUILT_IN_MODEL, build_policy
from testkit.aws.batch_driver import TransformJob, transform
from testkit.aws.real_server import serving

MARCH = 1_772_323_200
STEP, STEPS = 900, 30 * 96
HEADER = "fleet,demand,observed_at\n"


@pytest.fixture(scope="module")
def month():
    """Rows of three fleets, mixed as a log has them."""
    rng, day = np.random.default_rng(3), np.arange(STEPS) * STEP / 86400
    shape = 1 + 0.4 * np.sin(2 * np.pi * day)
    demand = {fleet: rng.poisson(level * shape).tolist() for fleet, level in (("eu", 80), ("us", 300), ("ap", 12))}
    return [f"{fleet},{demand[fleet][at]},{MARCH + STEP * at}\n" for at in range(STEPS) for fleet in demand]


@pytest.fixture(scope="module")
def replayed(month, tmp_path_factory):
    """Sizes that the backtest's replay decides, by fleet."""
    path = tmp_path_factory.mktemp("month") / "month.csv"
    path.write_text("fleet,demand,timestamp\n" + "".join(month))
    config = ReplayConfig(build_policy(BUILT_IN_MODEL))
    return {
        fleet: replay(fleet, series, np.arange(len(series)), config).allocation.astype(int).tolist()
        for fleet, series in read_fleets_csv(path).items()
    }


@pytest.mark.parametrize("strategy", ["MULTI_RECORD", "SINGLE_RECORD"])
def test_a_month_of_three_fleets_is_decided_as_the_backtest_decides_it(month, replayed, strategy):
    job = TransformJob("text/csv", "text/csv", strategy=strategy)
    with serving(SAGEMAKER_BATCH="true", MODEL_SERVER_WORKERS="2") as url:
        out = transform(url, (HEADER + "".join(month)).encode(), job).decode().splitlines()
    header, *rows = csv.reader(out)
    assert header[:4] == ["fleet", "observed_at", "curr_demand", "num_of_gameservers"]
    assert len(rows) == len(month)
    assert not any(row[-1] for row in rows)
    sizes = {fleet: [int(row[3]) for row in rows if row[0] == fleet] for fleet in replayed}
    assert sizes == replayed
