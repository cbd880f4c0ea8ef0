import numpy as np
import pytest

from autopilot.sim.demand import DAY
from autopilot.sim.mixture import generate_mixture


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_there_are_as_many_fleets_as_asked_for_however_few(count):
    assert generate_mixture(np.random.default_rng(3), count, DAY).shape == (count, DAY)


def test_one_seed_gives_one_mixture():
    first, again = (generate_mixture(np.random.default_rng(3), 20, DAY) for _ in range(2))
    np.testing.assert_array_equal(first, again)
