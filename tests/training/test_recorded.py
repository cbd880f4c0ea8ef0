import gzip

import numpy as np
import pytest

from autopilot.core import features
from autopilot.core.fleet import DEFAULT_LEAD
from autopilot.demand.series import DemandSeries
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.ports import Predictions
from autopilot.training.dataset import ROW
from autopilot.training.fleet_ppo import ending
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError, Stopped
from autopilot.training.recorded import (
    left_out,
    read_channel,
    recorded_rows,
    recorded_traces,
    split,
    weigh,
)
from autopilot.training.report import verdict_line
from autopilot.training.verdict import Judging, decide, recorded_costs, scenario_of, simulated_costs

DAY = 86400.0
LEAD = (10.0, 15.0)


def series(days=6.0, step=300.0, level=50.0):
    times = 1.7e9 + np.arange(0, days * DAY, step)
    rng = np.random.default_rng(0)
    return DemandSeries(times, rng.poisson(level * (1 + 0.3 * np.sin(times / DAY * 2 * np.pi))).astype(float))


def fleet(**given):
    return split("mine", series(**given), 0.25)


def test_the_last_part_is_kept_for_the_verdict():
    one = fleet()
    assert one.learned.times[-1] < one.verdict_from
    assert (one.verdict_from - one.series.times[0]) / DAY == pytest.approx(0.75 * 6, abs=0.01)


def test_a_record_of_a_day_is_too_short():
    with pytest.raises(JobError, match=r"mine spans 1 days .* at least 2"):
        fleet(days=1.0)


def test_rows_never_look_into_what_is_kept_for_the_verdict():
    one = fleet()
    training, validation = recorded_rows([one], LEAD, seed=1)
    assert len(training) + len(validation) <= len(one.learned)
    assert len(training) > 3 * len(validation) > 0
    known = set(one.learned.demand.astype(np.float32).tolist())
    assert set(training.needed.ravel().tolist()) | set(validation.needed.ravel().tolist()) <= known


@pytest.mark.parametrize(
    ("step", "near", "far"), [(60.0, 10, 20), (300.0, 2, 4), (600.0, 1, 2), (1800.0, 1, 1), (3600.0, 1, 1)]
)
def test_what_was_needed_is_the_demand_at_both_horizons(step, near, far):
    one = fleet(step=step, days=20.0)
    training, _ = recorded_rows([one], LEAD, seed=1)
    demand = one.learned.demand.astype(np.float32)
    assert (training.step_minutes == step / 60).all()
    for row in (training.take(np.arange(3)) if len(demand) < 30_000 else training.take(np.arange(0))).demand:
        at = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(demand, ROW) == row).all(axis=1))[0]
        needed = training.needed[np.flatnonzero((training.demand == row).all(axis=1))[0]]
        np.testing.assert_array_equal(needed[:, 0], demand[at + near : at + near + ROW])
        np.testing.assert_array_equal(needed[:, 1], demand[at + far : at + far + ROW])
    assert training.observations.shape[1:] == (ROW, features.WIDTH)
    assert np.isfinite(training.observations).all()


def test_weights_give_the_recorded_fleets_their_share():
    own, others = recorded_rows([fleet()], LEAD, seed=1)
    heavy = weigh(own, others, 0.75)
    assert heavy.weight.sum() / (heavy.weight.sum() + others.weight.sum()) == pytest.approx(0.75, abs=1e-4)


def test_traces_hold_what_may_be_learned_from_and_no_more():
    one = fleet()
    training, validation = recorded_traces([one])
    assert validation.slots == len(one.learned)
    assert training.slots == pytest.approx(0.8 * validation.slots, abs=1)
    assert training.slot[0] == validation.slot[0] == int(one.series.times[0] // 300)


def test_what_is_validated_on_is_not_trained_on():
    training, validation = recorded_traces([fleet(), fleet(days=4.0)])
    judged = ~np.isnan(validation.demand)
    for row in range(2):
        trained = np.flatnonzero(~np.isnan(training.demand[row]))
        assert 1 <= np.flatnonzero(judged[row])[0] - trained[-1] <= 2
    np.testing.assert_array_equal(validation.demand[judged], validation.seen[judged])


def test_a_fleet_that_is_hardly_seen_before_its_verdict_is_refused():
    times = 1.7e9 + np.array([0.0, *np.arange(5 * DAY, 6 * DAY, 300)])
    one = split("late", DemandSeries(times, np.full(len(times), 5.0)), 0.25)
    with pytest.raises(JobError, match="late has next to no observations before"):
        recorded_traces([one])


def test_ppo_is_judged_on_the_ends_of_recorded_fleets_from_their_first_to_their_last_slot():
    _, validation = recorded_traces([fleet(days=20.0), fleet(days=10.0)])
    traces, steps = ending(validation, 2016)
    longest = (~np.isnan(validation.demand)).sum(axis=1).max()
    assert steps == longest == pytest.approx(0.2 * 0.75 * 20 * 288, abs=2)
    assert traces.slots == 2016 + steps + 1
    for row in range(len(traces)):
        ours = validation.demand[row % 2]
        known = np.flatnonzero(~np.isnan(ours))
        assert not np.isnan(traces.demand[row, -1])
        np.testing.assert_array_equal(traces.demand[row, ~np.isnan(traces.demand[row])], ours[known])
        assert traces.slot[row] + traces.slots == validation.slot[row % 2] + known[-1] + 1


def test_the_fleets_of_a_channel_are_its_csv_files(tmp_path):
    for name in ("b.csv", "a.CSV", "notes.txt"):
        rows = (f"{int(at)},{int(d)}" for at, d in zip(series().times, series().demand, strict=True))
        (tmp_path / name).write_text("timestamp,demand\n" + "\n".join(rows))
    (tmp_path / "c.d.csv.gz").write_bytes(gzip.compress((tmp_path / "b.csv").read_bytes()))
    assert [one.name for one in read_channel(tmp_path, 0.25)] == ["a", "b", "c.d"]


def test_several_fleets_of_a_file_are_read_and_hidden_files_are_not(tmp_path):
    rows = (f"{at:.0f},{fleet},{d:.0f}" for fleet in ("eu", "us")
            for at, d in zip(series().times, series().demand, strict=True))  # fmt: skip
    (tmp_path / "both.csv").write_text("timestamp,fleet,demand\n" + "\n".join(rows))
    (tmp_path / "._both.csv").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "notes.txt").write_text("eu is from the spring")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "ap.csv").write_text("timestamp,demand\n")
    assert [one.name for one in read_channel(tmp_path, 0.25)] == ["eu", "us"]
    assert left_out(tmp_path) == ["archive/", "notes.txt"]


def test_two_files_of_one_fleet_are_refused(tmp_path):
    rows = "".join(f"{at:.0f},{d:.0f}\n" for at, d in zip(series().times, series().demand, strict=True))
    (tmp_path / "eu.csv").write_text(rows)
    (tmp_path / "eu.csv.gz").write_bytes(gzip.compress(rows.encode()))
    with pytest.raises(JobError, match="two files of the training channel hold a fleet called 'eu'"):
        read_channel(tmp_path, 0.25)


def test_daily_data_is_refused_in_words():
    with pytest.raises(JobError, match="the data is daily, which cannot answer this"):
        scenario_of(fleet(days=400.0, step=DAY), DEFAULT_LEAD)


class Times:
    """A policy that asks for a multiple of demand."""

    name, width = "times", 1

    def __init__(self, factor):
        self.factor = factor

    def predict(self, windows, lead, missing_price):
        servers = windows.demand[:, -1].astype(float) * self.factor
        return Predictions(servers, servers[:, None].astype(np.float32), np.empty((len(servers), 0), np.float32))


CANDIDATES = {"default": Times(1.2), "calibrated": CalibratedPolicy(), "trained": Times(4.0)}


def test_a_wasteful_policy_loses_on_recorded_and_on_simulated_fleets():
    hparams = Hyperparameters(validation_fleets=4)
    for costs in (recorded_costs([fleet()], hparams, CANDIDATES), simulated_costs(4, hparams, CANDIDATES)):
        verdict = decide(costs, "a test")
        assert verdict.chosen != "trained"
        assert verdict.ratios["calibrated"] == 1.0
        assert verdict.ratios["trained"] > 2


@pytest.mark.parametrize(
    ("hparams", "better"),
    [
        pytest.param({"missing_weight": 100.0}, "trained", id="missing servers are dear"),
        pytest.param({"idle_weight": 100.0}, "default", id="idle servers are dear"),
        pytest.param({"over_prov_factor": 100.0}, "default", id="so are they by their other name"),
    ],
)
def test_the_verdict_weighs_missing_and_idle_servers_as_it_was_told(hparams, better):
    candidates = {"default": Times(1.0), "calibrated": CalibratedPolicy(), "trained": Times(1.6)}
    hparams = Hyperparameters(validation_fleets=4, **hparams)
    for costs in (recorded_costs([fleet()], hparams, candidates), simulated_costs(4, hparams, candidates)):
        ratios = decide(costs, "a test").ratios
        assert min(("default", "trained"), key=ratios.get) == better


class Steady:
    """A policy that asks for a hundred servers, always."""

    name, width = "steady", 1

    def predict(self, windows, lead, missing_price):
        servers = np.full(len(windows.demand), 100.0)
        return Predictions(servers, servers[:, None].astype(np.float32), np.empty((len(servers), 0), np.float32))


@pytest.mark.parametrize(("start_minutes", "better"), [(0.0, "default"), (240.0, "trained")])
def test_the_verdict_counts_what_starting_servers_costs(start_minutes, better):
    candidates = {"default": Times(1.1), "calibrated": CalibratedPolicy(), "trained": Steady()}
    costs = recorded_costs([fleet()], Hyperparameters(start_minutes=start_minutes), candidates)
    ratios = decide(costs, "a test").ratios
    assert min(("default", "trained"), key=ratios.get) == better


def with_demand(one, demand):
    return split("mine", DemandSeries(one.series.times, demand), 0.25)


def test_a_fleet_without_demand_where_it_is_judged_is_refused_before_the_training():
    one = fleet()
    ended = with_demand(one, np.where(one.series.times < one.verdict_from, one.series.demand, 0.0))
    with pytest.raises(JobError, match="mine has no demand at all in the part that is kept for the verdict"):
        scenario_of(ended, DEFAULT_LEAD)


def only(one, kept):
    return split("mine", DemandSeries(one.series.times[kept], one.series.demand[kept]), 0.25)


def test_a_record_whose_learned_part_is_a_hole_says_so():
    one = fleet()
    kept = one.series.times >= one.verdict_from
    kept[0] = True
    with pytest.raises(JobError, match="no 12 observations in a row, and a lead after them, to train on"):
        recorded_rows([only(one, kept)], LEAD, seed=1)


def test_a_fleet_that_teaches_nothing_leaves_the_others_theirs():
    one = fleet()
    kept = one.series.times >= one.verdict_from
    kept[0] = True
    alone, _ = recorded_rows([one], LEAD, seed=1)
    both, _ = recorded_rows([one, only(one, kept)], LEAD, seed=1)
    np.testing.assert_array_equal(alone.observations, both.observations)


def test_the_verdict_can_be_stopped():
    def stopped():
        raise Stopped

    for judging in (
        lambda: recorded_costs([fleet()], Hyperparameters(), CANDIDATES, Judging(check=stopped)),
        lambda: simulated_costs(4, Hyperparameters(), CANDIDATES, Judging(check=stopped)),
    ):
        with pytest.raises(Stopped):
            judging()


def test_the_verdict_is_the_geometric_mean_over_fleets():
    costs = {"calibrated": days(10.0, 1000.0), "trained": days(5.0, 2000.0)}
    assert decide(costs, "x").ratios["trained"] == pytest.approx(1.0, abs=0.05)


def days(*fleets: float) -> list[np.ndarray]:
    """One day of each fleet."""
    return [np.array([cost]) for cost in fleets]


def test_a_tie_keeps_what_served_before():
    cost = days(3.0)
    assert decide({"default": cost, "calibrated": cost, "trained": cost}, "x").chosen == "default"


def noisy(factor: float, spread: float, shape: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Costs of days [fleets, days] around a factor of what the same days cost by default."""
    rng, base = np.random.default_rng(seed), np.random.default_rng(99).gamma(9, 1, shape)
    return list(base * factor * np.exp(rng.normal(0, spread, shape)))


@pytest.mark.parametrize("shape", [(1, 30), (4, 10), (60, 1)], ids=["one fleet", "four fleets", "many fleets"])
@pytest.mark.parametrize(
    ("case", "factor", "spread", "chosen"),
    [
        ("a gain within the noise", 0.97, 0.5, "default"),
        ("a clear gain", 0.8, 0.1, "trained"),
        ("a loss", 1.2, 0.1, "default"),
    ],
)
def test_nothing_takes_the_place_of_the_default_for_a_gain_within_the_noise(case, factor, spread, chosen, shape):
    costs = {
        "default": noisy(1.0, 0.0, shape, 0), "calibrated": noisy(1.3, 0.1, shape, 1),
        "trained": noisy(factor, spread, shape, 2),
    }  # fmt: skip
    verdict = decide(costs, "x")
    assert verdict.chosen == chosen, case
    assert (
        verdict.intervals["trained"].low
        < verdict.ratios["trained"] / verdict.ratios["default"]
        < (verdict.intervals["trained"].high)
    )
    assert ("no difference" in verdict_line(verdict)) == (spread > 0.2)


def test_too_few_days_are_no_reason_to_replace_the_default():
    costs = {"default": days(3.0), "calibrated": days(4.0), "trained": days(1.0)}
    verdict = decide(costs, "x")
    assert (verdict.chosen, verdict.intervals["trained"]) == ("default", None)
    assert "too little was judged" in verdict_line(verdict)
