"""Drift: worse forecasts than for weeks are said, with what moved; a weekend and a noisy day are no news."""

import numpy as np
import pytest

from autopilot.core.drift import LEAST_BEFORE, RECENT_DAYS, beyond_training, day_features, drift_of
from autopilot.core.fleet import Lead
from autopilot.core.trained_on import FEATURES, DaySpread, TrainedOn

SLOTS = 288
HOUR = np.arange(SLOTS) / SLOTS * 2 * np.pi


def demand(days: int = 12, seed: int = 1, level: float = 100) -> np.ndarray:
    """Days of Poisson noise around a daily curve, [D, S]."""
    rng = np.random.default_rng(seed)
    return rng.poisson(level * (1 + 0.4 * np.sin(HOUR)), (days, SLOTS)).astype(float)


def errors(days: int = 12, seed: int = 2) -> np.ndarray:
    return 0.1 * (1 + 0.05 * np.random.default_rng(seed).standard_normal(days))


def crowd(day: np.ndarray) -> np.ndarray:
    out = day.copy()
    out[:, 100:140] *= 3
    return out


CASES = [
    ("three times the players", lambda day: 3 * day, {"level", "noise"}),
    (
        "no rhythm any more",
        lambda day: np.full_like(day, 100.0),
        {"daily swing", "noise", "likeness to the day before"},
    ),
    ("flash crowds", crowd, {"growth within a lead", "fall within a lead", "daily swing"}),
    ("twice the noise", lambda day: np.random.default_rng(3).normal(day.mean(), 40, day.shape), {"noise"}),
    ("nights become days", lambda day: np.roll(day, 144, axis=1), {"likeness to the day before"}),
]


@pytest.mark.parametrize(("case", "change", "features"), CASES, ids=[case for case, _, _ in CASES])
def test_what_moved_is_named(case, change, features):
    days, off = demand(), errors()
    days[-RECENT_DAYS:] = change(days[-RECENT_DAYS:])
    if case == "nights become days":  # the second such day is like the first
        days[-1] = np.roll(days[-1], 100)
    off[-RECENT_DAYS:] = 0.3
    found = drift_of(off, day_features(days, 3))
    assert found is not None
    assert found.feature in features
    assert found.ratio == pytest.approx(3, rel=0.1)
    assert str(found).startswith("forecast errors are 3.0 times what they were; what moved furthest: ")


@pytest.mark.parametrize(
    ("case", "last"),
    [("as ever", [0.1, 0.1]), ("one bad day", [0.1, 0.5]), ("a bad day, and a good one", [0.5, 0.1]),
     ("a little worse", [0.14, 0.14]), ("better", [0.02, 0.02])],
)  # fmt: skip
def test_less_is_no_news(case, last):
    off = errors()
    off[-2:] = last
    assert drift_of(off, day_features(demand(), 3)) is None, case


@pytest.mark.parametrize(
    ("case", "off"),
    [("bad weekends", np.where(np.arange(14) % 7 >= 5, 0.5, 0.1)), ("every other day", [0.1, 0.3] * 6 + [0.31, 0.32])],
)
def test_what_was_as_bad_before_is_no_news(case, off):
    assert drift_of(np.array(off), day_features(demand(14), 3)) is None, case


@pytest.mark.parametrize("days", range(LEAST_BEFORE + RECENT_DAYS))
def test_without_a_week_before_nobody_can_say(days):
    off = errors(max(days, 1))[:days]
    off[-2:] = 9
    assert drift_of(off, np.zeros((days, len(FEATURES)))) is None


def test_a_fleet_that_nobody_plays_has_features_all_the_same():
    assert np.isfinite(day_features(np.zeros((3, SLOTS)), 3)).all()


def test_gaps_are_left_out():
    days = demand()
    days[:, 50:60] = np.nan
    assert np.isfinite(day_features(days, 3)).all()


WIDE = dict.fromkeys(FEATURES, (-1e9, 1e9))
SPREAD = DaySpread(15, 0.25, WIDE | {"level": (2.0, 500.0), "noise": (0.0, 0.8)})


def test_what_moved_is_held_against_training_as_far_as_that_is_known():
    days, off = demand(), errors()
    days[-RECENT_DAYS:] *= 9
    off[-RECENT_DAYS:] = 0.3
    features = day_features(days, 3)
    assert str(drift_of(off, features)).endswith("(what training showed is not known)")
    said = str(drift_of(off, features, SPREAD))
    assert said.startswith("forecast errors are 3.0 times what they were")
    assert said.endswith(("(training showed 2 to 500)", "(training showed 0 to 0.8)"))


@pytest.mark.parametrize(
    ("case", "off", "scale", "said"),
    [
        ("as in training", [0.24, 0.24], 1, None),
        ("one day beyond it", [0.24, 0.9], 1, None),
        ("both, by a fleet of another size", [0.3, 0.4], 30, "level, 2.99e+03 (training showed 2 to 500)"),
        ("both, by a fleet like those of training", [0.3, 0.4], 1, "none of its habits alone is unlike training"),
    ],
)
def test_a_young_fleet_is_held_against_training(case, off, scale, said):
    spread = DaySpread(15, 0.25, SPREAD.features | {"noise": (0.0, 1e9)})
    found = beyond_training(np.array(off), day_features(scale * demand(2), 3), spread)
    assert (found is None) == (said is None), case
    if said:
        assert str(found).startswith("forecast errors are 0.35 of the level, beyond what training showed (0.25); ")
        assert said in str(found)


def test_one_server_more_or_less_is_no_news_of_a_tiny_fleet():
    tiny = day_features(demand(2, level=2), 3)
    assert beyond_training(np.array([0.45, 0.45]), tiny, SPREAD) is None
    assert beyond_training(np.array([0.9, 0.9]), tiny, SPREAD) is not None


def test_of_less_than_two_days_nobody_can_say():
    assert beyond_training(np.array([9.0]), day_features(demand(1), 3), SPREAD) is None


@pytest.mark.parametrize(("lead", "of"), [(Lead(), 15), (Lead(3, 3), 15), (Lead(20, 30), 30), (Lead(60, 60), 30)])
def test_a_fleet_is_held_against_days_of_its_lead(lead, of):
    known = TrainedOn((5, 60), tuple(DaySpread(one, 0.2, WIDE) for one in (15, 30)))
    assert known.spread(lead).lead == of
    assert known.covers(lead) == (lead.end >= 5)
