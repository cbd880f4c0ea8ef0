"""The worlds as Gymnasium has them: by name, one or many, with pictures, and as the known examples' agents see them."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from autopilot.environments import FLEET, SERVICE
from autopilot.environments.seed_observation import FiveDemands, TwentyFive
from autopilot.sim.environment import ACTION_LIMIT
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

SHORT = {FLEET: {"steps": 24}, SERVICE: {"minutes": 40}}
NOTHING = {FLEET: np.zeros(1, np.float32), SERVICE: np.zeros(2, np.float32)}
EITHER = pytest.mark.parametrize("name", [FLEET, SERVICE])
FORMS = pytest.mark.parametrize(
    ("name", "told"), [(FLEET, {}), (SERVICE, {}), (SERVICE, {"faithful": True})], ids=["fleet", "service", "faithful"]
)


def made(name, **told):
    return gymnasium.make(name, **(SHORT[name] | told))


@FORMS
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")  # a recommendation; 0 to 10 is the example's
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")  # make puts order keeping around it
def test_gymnasium_s_own_check_passes_with_both_ways_to_render(name, told):
    check_env(made(name, **told).unwrapped)


def test_a_fleet_s_episode_is_truncated_and_tells_its_cost():
    fleet = made(FLEET)
    fleet.reset(seed=3)
    for at in range(24):
        _, reward, terminated, truncated, info = fleet.step(np.array([0.3], np.float32))
        assert reward == pytest.approx(-5 * info["missing"] - info["idle"])
        assert (terminated, truncated) == (False, at == 23)


@pytest.mark.parametrize("faithful", [False, True])
def test_a_service_s_episode_is_truncated_and_tells_its_minutes(faithful):
    service = made(SERVICE, faithful=faithful)
    service.reset(seed=3)
    for at in range(1, 41):
        _, reward, terminated, truncated, info = service.step(np.array([1.0, 1.0], np.float32))
        served = info["load"] - info["failed"]
        assert reward == pytest.approx(served * 0.0009 - info["active"] * 0.05 - 200 * info["down"], rel=1e-5)
        assert (terminated, truncated) == (False, at == 40)


def test_a_seed_makes_a_faithful_episode_begin_anew_and_none_goes_on():
    service = made(SERVICE, faithful=True)
    first, _ = service.reset(seed=1)
    service.step(NOTHING[SERVICE])
    assert not np.array_equal(service.reset()[0][:20], first[:20])
    np.testing.assert_array_equal(service.reset(seed=1)[0], first)


@EITHER
def test_many_are_stepped_together_and_the_next_episode_follows(name):
    many = gymnasium.make_vec(name, num_envs=3, **SHORT[name])
    seen, _ = many.reset(seed=5)
    assert many.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert seen in many.observation_space
    assert len(np.unique(seen, axis=0)) == 3
    acts, over = np.tile(NOTHING[name], (3, 1)), False
    while not over:
        _, rewards, terminated, truncated, info = many.step(acts)
        over = truncated.all()
        assert not terminated.any()
        assert rewards.shape == next(iter(info.values())).shape == (3,)
    begun, rewards, _, truncated, _ = many.step(acts)
    assert not rewards.any()
    assert not truncated.any()
    assert not np.array_equal(begun, seen)
    np.testing.assert_array_equal(many.reset(seed=5)[0], seen)
    with pytest.raises(TypeError, match="one seed for all"):
        many.reset(seed=[1, 2, 3])


@EITHER
def test_text_and_picture_show_the_last_steps(name):
    text, picture = (made(name, render_mode=mode) for mode in ("ansi", "rgb_array"))
    for env in (text, picture):
        env.reset(seed=1)
        env.step(NOTHING[name])
    assert text.render().startswith("step 1: needs ")
    before = picture.render()
    assert (before.dtype, before.shape) == (np.uint8, (360, 640, 3))
    picture.step(NOTHING[name])
    assert (picture.render() != before).any()


def test_the_autopilot_s_agent_sees_five_demands_and_five_sizes_oldest_first():
    fleet = FiveDemands(made(FLEET))
    seen, info = fleet.reset(seed=2)
    np.testing.assert_array_equal(seen, [*[info["demand"]] * 5, *[info["size"]] * 5])
    infos = [fleet.step(np.array([at / 10], np.float32))[-1] for at in range(5)]
    seen, *_ = fleet.step(np.array([0.5], np.float32))
    np.testing.assert_array_equal(seen[:4], [one["demand"] for one in infos[1:]])
    np.testing.assert_array_equal(seen[5:9], [one["size"] for one in infos[1:]])
    assert seen in fleet.observation_space
    assert FiveDemands(made(FLEET), sizes=False).reset(seed=2)[0].shape == (5,)


def test_a_fleet_s_size_is_the_one_that_the_action_means():
    sizes = []
    for action in (-1.0, 0.0, 1.0):
        fleet = made(FLEET)
        fleet.reset(seed=2)
        sizes.append(fleet.step(np.array([action], np.float32))[-1]["size"])
    assert sizes[2] / sizes[1] == pytest.approx(np.exp(ACTION_LIMIT), rel=0.1)
    assert sizes[0] < sizes[1]


def test_the_notebook_s_agent_sees_25_numbers_of_a_service():
    service = TwentyFive(made(SERVICE))
    seen, _ = service.reset(seed=2)
    assert seen.shape == (25,)
    assert seen in service.observation_space
    assert ServiceEnvironment(1, ServiceConfig(faithful=True)).width == 25
