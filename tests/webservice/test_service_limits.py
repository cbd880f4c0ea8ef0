import numpy as np
import pytest

from autopilot.webservice.evaluation import estimate, play
from autopilot.webservice.limits import KnownLoad, beginnings, hazards_of, informed
from autopilot.webservice.load import draw_spikes
from autopilot.webservice.rules import best_foresight, planned
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

CONFIG = ServiceConfig(faithful=True, minutes=3000)


@pytest.fixture(scope="module")
def expected():
    """Expected profits of the same episodes, by what a player knows."""
    known = KnownLoad(40, CONFIG)
    environment = ServiceEnvironment(40, CONFIG, known)
    rules = {
        "all": best_foresight(CONFIG),
        "noise": informed(known, CONFIG, sees_noise=True),
        "nothing": informed(known, CONFIG),
        "planned": planned(CONFIG),
    }
    return {name: play(environment, rule, 3).expected for name, rule in rules.items()}


def test_the_load_is_that_of_the_faithful_environment():
    one, other = ServiceEnvironment(3, CONFIG), ServiceEnvironment(3, CONFIG, KnownLoad(3, CONFIG))
    one.reset(1, 2)
    other.reset(1, 2)
    np.testing.assert_array_equal(one.ahead, other.ahead)


@pytest.mark.parametrize(("more", "less"), [("all", "noise"), ("noise", "nothing"), ("nothing", "planned")])
def test_who_knows_more_earns_more(expected, more, less):
    assert estimate(expected[more] - expected[less]).low > 0


def test_planning_misses_little_of_what_can_be_known(expected):
    missed = (expected["nothing"] - expected["planned"]).mean()
    assert missed < 0.01 * expected["nothing"].mean()


def test_spikes_begin_as_often_as_their_chance_says():
    rng = np.random.default_rng(1)
    spikes = np.stack([draw_spikes(rng, 10_002, 7500.0) for _ in range(60)], axis=1)
    hazard, begins = hazards_of(spikes), beginnings(spikes)
    assert begins.sum() == pytest.approx(hazard.sum(), rel=0.08)
    assert (hazard[begins == 1] > 0).all(), "none begins where none can"
    late = hazard > 0.004
    assert begins[late].sum() == pytest.approx(hazard[late].sum(), rel=0.2)


def test_a_player_without_a_load_says_so():
    with pytest.raises(RuntimeError, match="reset the environment first"):
        informed(KnownLoad(1, CONFIG), CONFIG)()
